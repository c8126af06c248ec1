"""From the bytes somebody sent to a checked, upright RGB picture, and back to a small JPEG. Pillow only.

Only the formats of `FORMATS` are ever opened, each by its own reader, chosen by the file's first bytes and never by its
name. Sizes are checked before pixels are decoded, and metadata is dropped: of EXIF only the orientation is looked at.
Colour profiles are ignored, as in OpenAI's pipeline, whose `.convert("RGB")` ignores them too.
"""

from __future__ import annotations

import io
import math
import unicodedata
import warnings
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

from . import containers
from .errors import BrokenImage, ImageError, ImageTooLarge, MissingImage, TooManyPixels, UnsupportedImage

FORMATS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}
EXACT_PIXELS = 12_500_000  # up to here a picture reaches the model as it is; larger ones are decoded small
SHORT_SIDE = 896  # pixels: what a larger picture keeps, four times what CLIP looks at
LONGEST_RATIO = 50  # of the longer side to the shorter; CLIP looks at the middle square only
BAND = 64  # rows converted at a time

# Pillow's remarks on odd files quote them, and would be kept and logged once for each.
warnings.filterwarnings("ignore", module=r"PIL\.")

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


@dataclass(frozen=True)
class Picture:
    """A picture that can be classified."""

    image: Image.Image  # upright RGB, possibly decoded smaller than the file says
    format: str  # one of FORMATS
    width: int  # pixels of the upright original
    height: int


def picture_read(file: BinaryIO, *, max_bytes: int, max_pixels: int) -> Picture:
    """The picture in `file`, of an animation the first frame; raises an `ImageError` that says what was wrong."""
    _size_check(file, max_bytes)
    file.seek(0)
    name = _format_name(file.read(containers.PREFIX))
    try:
        file.seek(0)
        image = FORMATS[name](file)
        _pixels_check(image, max_pixels)
        return _picture(image, name)
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise a dozen kinds: SyntaxError, struct.error, OverflowError, ...
        raise BrokenImage(
            f"This {name} picture is damaged or cut short and cannot be read. Save it again, or send another one."
        ) from error


def picture_to_jpeg(image: Image.Image, max_side: int = 512) -> bytes:
    """The picture as a JPEG without metadata, its longer side at most `max_side` pixels."""
    scale = min(1.0, max_side / max(image.size))
    size = tuple(max(1, round(side * scale)) for side in image.size)
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0) if size != image.size else image
    stream = io.BytesIO()
    small.convert("RGB").save(stream, "JPEG", quality=85, exif=b"", icc_profile=None, comment=b"")
    return stream.getvalue()


def picture_from_jpeg(data: bytes) -> Image.Image:
    """A picture that `picture_to_jpeg` wrote."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.load()
    return image


def name_clean(name: str, longest: int = 255) -> str:
    """A file name as sent, made safe to keep and show: no path, no control or direction characters, bounded."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/")).rsplit("/", 1)[-1]
    name = "".join(character for character in name if _name_keeps(character))
    name = " ".join(name.split())
    if name in (".", ".."):
        return ""
    if len(name) > longest:
        stem, dot, extension = name.rpartition(".")
        tail = dot + extension if stem and len(extension) <= 16 else ""
        name = name[: longest - len(tail)] + tail
    return name


def _name_keeps(character: str) -> bool:
    # The two joiners shape emoji and Persian; other format characters can turn the writing direction or hide text.
    return character in "\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")


def _size_check(file: BinaryIO, max_bytes: int) -> None:
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise MissingImage("The file is empty. Choose a picture to send.")
    if size > max_bytes:
        raise ImageTooLarge(f"This file is {_megabytes(size)}; the limit is {_megabytes(max_bytes)}.")


def _megabytes(size: int) -> str:
    return f"{math.ceil(size / 1e5) / 10:,g} MB"  # rounded up, so that what is over the limit never reads as at it


def _format_name(prefix: bytes) -> str:
    name = containers.format_name(prefix)
    if name in FORMATS:
        return name
    known = f"This file is {name}, not a picture we can read" if name else "This file is not a picture we can read"
    advice = "Send a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."
    if name == "a HEIC photo":
        known = "This is a HEIC photo, which we cannot read"
        advice = "Save or export it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible) and send that."
    raise UnsupportedImage(f"{known}. {advice}")


def _pixels_check(image: ImageFile.ImageFile, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixels(
            f"This picture is {width:,} by {height:,} pixels ({width * height / 1e6:,.1f} megapixels); "
            f"the limit is {max_pixels / 1e6:,.3g} megapixels. Make it smaller and send it again."
        )
    if max(image.size) > LONGEST_RATIO * min(image.size):
        raise ImageError(
            f"This picture is {width:,} by {height:,} pixels, too narrow to be recognised. "
            f"Cut it so that the longer side is at most {LONGEST_RATIO} times the shorter."
        )


def _picture(image: ImageFile.ImageFile, name: str) -> Picture:
    width, height = image.size
    if name == "JPEG":
        divisor = _divisor(image)
        image.draft(None, (image.width // divisor, image.height // divisor))
    image.load()
    turn = None
    if name != "TIFF":  # which Pillow turns by itself
        turn = UPRIGHT.get(containers.orientation(image.info.get("exif") or b""))
    upright = _rgb(image)
    if turn is not None:
        upright = upright.transpose(turn)
    if turn in SIDEWAYS:
        width, height = height, width
    return Picture(upright, name, width, height)


def _divisor(image: Image.Image) -> int:
    """By how much to divide the sides of a picture that is too large to be kept as it is: 1, 2, 4 or 8."""
    if image.width * image.height <= EXACT_PIXELS:
        return 1
    return max((d for d in (2, 4, 8) if min(image.size) >= d * SHORT_SIDE), default=2)


def _rgb(image: Image.Image) -> Image.Image:
    """RGB, transparent parts on white; large pictures divided. Band by band, so that only the result is added."""
    divisor = _divisor(image)
    if divisor == 1 and image.mode == "RGB" and "transparency" not in image.info:
        plain = image._new(image.im)  # without the reader, which holds on to the file's bytes and metadata
        plain.info = {}
        return plain
    scale = _sample_scale(image)
    size = tuple(-(-side // divisor) for side in image.size)
    result = Image.new("RGB", size)
    for top in range(0, image.height, BAND):
        band = image.crop((0, top, image.width, min(top + BAND, image.height)))
        band = _band_rgb(band, scale)
        result.paste(band.reduce(divisor) if divisor > 1 else band, (0, top // divisor))
    return result


def _sample_scale(image: Image.Image) -> tuple[float, float] | None:
    """(factor, offset) that brings samples wider than a byte to 0..255; None for all others.

    16 bits keep their high byte, as in Pillow's own reading of 16-bit colour. Of 32-bit integers and floats no range is
    agreed upon: 0..1, 0..255 and 0..65535 are taken as such, anything else is stretched between its extremes.
    """
    if image.mode.startswith("I;16"):
        return 1 / 256, 0.0
    if image.mode not in ("I", "F"):
        return None
    low, high = image.getextrema()
    if image.mode == "F" and low >= 0 and high <= 1:
        return 255.0, 0.0
    if low >= 0 and high <= 65535:
        return (1.0 if high <= 255 else 1 / 256), 0.0
    factor = 255 / (high - low) if high > low else 0.0
    return factor, -low * factor


def _band_rgb(band: Image.Image, scale: tuple[float, float] | None) -> Image.Image:
    if scale is not None:
        factor, offset = scale
        band = band.convert("F").point(lambda sample: sample * factor + offset).convert("L")
    if band.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in band.info:
        band = band.convert("RGBA")
        white = Image.new("RGB", band.size, "white")
        white.paste(band, mask=band)
        return white
    return band.convert("RGB")
