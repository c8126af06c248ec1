"""From a picture file to upright RGB pixels, within a stated memory.

Up to `EXACT_PIXELS` nothing is lost that OpenAI's `.convert("RGB")` keeps. A larger picture is divided: a JPEG while it
is decoded, which saves the time and the memory of the full picture; any other after that, band by band.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from classifier.capacity.limits import decode_memory
from classifier.pictures import containers, samples
from classifier.pictures.containers import jpeg_end
from classifier.pictures.ground import Ground, ground_of, laid_on

READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each takes memory of its own

EXACT_PIXELS = 12_500_000  # a phone's 12 megapixels
SHORT_SIDE = 896  # pixels that the shorter side of a divided picture keeps; CLIP looks at 224 of them
BAND = 64  # rows converted at a time, a multiple of every divisor

# EXIF orientation (TIFF 6.0, tag 274) -> what makes the picture upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (UPRIGHT[5], UPRIGHT[6], UPRIGHT[7], UPRIGHT[8])
SAMPLE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # per pixel in Pillow; all others 4


@dataclass
class Opened:
    """A picture whose header was read and whose pixels were not."""

    image: ImageFile.ImageFile
    name: str
    turn: Image.Transpose | None
    extra: int  # bytes of memory that its container asks for: coefficients, or the file itself
    stream: BinaryIO  # what `image` reads from
    shorter: int = 0  # pixels that suffice for the shorter side, of a picture of any size; 0: see EXACT_PIXELS

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the upright picture, undivided."""
        width, height = self.image.size
        return (height, width) if self.turn in SIDEWAYS else (width, height)

    @property
    def kind(self) -> str:
        """For a sentence, with its article."""
        if self.name == "JPEG":
            return "a progressive JPEG" if self.extra else "a JPEG"
        return "an AVIF" if self.name == "AVIF" else f"a {self.name}"

    @property
    def divisor(self) -> int:
        """What the sides are divided by: 1, 2, 4 or 8."""
        size = self.image.size
        least = 1
        if size[0] * size[1] > EXACT_PIXELS:
            least = max((d for d in (2, 4, 8) if min(size) >= d * SHORT_SIDE), default=2)
        if self.name != "JPEG":
            return least
        if self.shorter:
            least = max((d for d in (2, 4, 8) if min(size) >= d * self.shorter), default=least)
        # Coefficients that are held meanwhile may leave too little room for the picture itself.
        return next((d for d in (1, 2, 4, 8) if d >= least and self.memory(d) <= decode_memory()), least)

    def memory(self, divisor: int) -> int:
        """Bytes that reading takes at its peak: measured per format, see docs/operations.md."""
        image, pixels = self.image, self.image.width * self.image.height
        own = SAMPLE_BYTES.get(image.mode, 4) * pixels
        result = 4 * pixels // divisor**2
        if self.name == "JPEG":
            own //= divisor**2
        reading = {"WebP": (13 if image.mode == "RGBA" else 12) * pixels, "AVIF": 12 * pixels, "TIFF": 2 * own}
        shared = _is_plain(image) and (divisor == 1 or self.name == "JPEG")
        return max(
            reading.get(self.name, own) + self.extra,
            own if shared else own + result,
            2 * result if self.turn is not None else 0,
        )


def open_bare(file: BinaryIO, name: str, shorter: int = 0) -> Opened:
    """Read the header. Raises what Pillow raises, `containers.Damaged`, or an `ImageError`."""
    bare = containers.bare(name, file)
    image = READERS[name](bare.stream)
    exif = bare.exif or (image.info.get("exif", b"") if name == "AVIF" else b"")
    return Opened(image, name, UPRIGHT.get(containers.orientation(exif)), bare.extra, bare.stream, shorter)


def upright_rgb(opened: Opened) -> Image.Image:
    """Decode. The result holds on to nothing of the file."""
    divisor, size = opened.divisor, opened.image.size
    loaded = _jpeg_load(opened, divisor) if opened.name == "JPEG" else _loaded(opened.image)
    result = _rgb(loaded, 1 if opened.name == "JPEG" else divisor)
    loaded.close()
    opened.image.close()
    if divisor > 1:
        result = _proportioned(result, size)
    return result.transpose(opened.turn) if opened.turn is not None else result


def _proportioned(divided: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Without the last row or column, where dividing had to round up and CLIP would see another shape for it.

    CLIP's longer side is a whole number of pixels, rounded down: a 3:2 picture has 336 by 224, one a hair narrower 335.
    """
    for width, height in itertools.product((divided.width, divided.width - 1), (divided.height, divided.height - 1)):
        if _longer_side(width, height) == _longer_side(*size):
            return divided if (width, height) == divided.size else divided.crop((0, 0, width, height))
    return divided


def _longer_side(width: int, height: int) -> int:
    return int(224 * max(width, height) / max(1, min(width, height)))


def _loaded(image: ImageFile.ImageFile) -> Image.Image:
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        return _webp_load(image)
    if isinstance(image, AvifImagePlugin.AvifImageFile):
        return _avif_load(image)
    image.load()
    return image


def _jpeg_load(opened: Opened, divisor: int) -> Image.Image:
    """Divided while it is decoded. Without an end marker it is taken if every pixel is there."""
    end = jpeg_end.data_end(opened.stream)
    if end is None:
        return _drafted(opened.image, divisor)
    checksums = set()
    for filler in jpeg_end.FILLERS:
        opened.image = READERS["JPEG"](jpeg_end.ended(opened.stream, end, filler))
        checksums.add(_checksum(_drafted(opened.image, divisor)))
    if len(checksums) > 1:
        raise containers.Damaged("pixels are missing")
    return opened.image


def _drafted(image: ImageFile.ImageFile, divisor: int) -> ImageFile.ImageFile:
    image.draft(None, (image.width // divisor, image.height // divisor))
    image.load()
    return image


def _checksum(image: Image.Image) -> int:
    """Of the pixels, band by band: a copy of all would double the memory."""
    checksum = 0
    for top in range(0, image.height, BAND):
        checksum = zlib.crc32(image.crop((0, top, image.width, min(top + BAND, image.height))).tobytes(), checksum)
    return checksum


def _webp_load(image: WebPImagePlugin.WebPImageFile) -> Image.Image:
    """As Pillow's own `load`, but the decoder's two canvases are freed before ours is made."""
    mode, frame = image.rawmode, image._decoder.get_next()
    if frame is None:
        raise OSError("the first frame cannot be decoded")
    image._decoder = None
    return Image.frombuffer(mode, image.size, frame[0], "raw", mode, 0, 1)


def _avif_load(image: AvifImagePlugin.AvifImageFile) -> Image.Image:
    pixels = image._decoder.get_frame(0)[0]
    image._decoder = None
    return Image.frombytes(image.mode, image.size, pixels)


def _is_plain(image: Image.Image) -> bool:
    return image.mode == "RGB" and "transparency" not in image.info


def _rgb(image: Image.Image, divisor: int) -> Image.Image:
    """RGB, transparent parts on a ground. Band by band, so that only the result is added."""
    if divisor == 1 and _is_plain(image):
        plain = image._new(image.im)  # without the reader
        plain.info = {}
        return plain
    scale, ground = samples.scale_of(image), ground_of(image)
    result = Image.new("RGB", (-(-image.width // divisor), -(-image.height // divisor)))
    for top in range(0, image.height, BAND):
        band = _band_rgb(image.crop((0, top, image.width, min(top + BAND, image.height))), scale, ground)
        result.paste(band.reduce(divisor) if divisor > 1 else band, (0, top // divisor))
    return result


def _band_rgb(band: Image.Image, scale: samples.Scale | None, ground: Ground | None) -> Image.Image:
    if scale is not None:
        band = scale.grey(band)
    return band.convert("RGB") if ground is None else laid_on(band, ground)
