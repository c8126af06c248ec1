"""Samples wider than a byte, as sixteen-bit greys, measurements and float pictures have them, brought to 0..255."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from PIL import Image, ImageMath

from classifier.errors import ImageError, UnsupportedImage

BAND = 64  # rows looked at at a time
LARGEST = 1e38  # floats beyond it say that nothing was measured, as NaN and infinity do
BITS, PHOTOMETRIC, SAMPLE_FORMAT, NO_DATA = 258, 262, 339, 42113  # tags of TIFF and, the last, of GDAL


@dataclass(frozen=True)
class Scale:
    """How samples become 0..255. Where nothing was measured stands `low`."""

    factor: float
    offset: float
    low: float = 0.0
    no_data: float | None = None

    def grey(self, band: Image.Image) -> Image.Image:
        """A band of the picture as mode L."""
        samples = band.convert("F")
        if band.mode in ("I", "F"):
            samples = _filled(samples, _measured(samples, self.no_data), self.low)
        factor, offset = self.factor, self.offset
        return samples.point(lambda sample: sample * factor + offset).convert("L")


def scale_of(image: Image.Image) -> Scale | None:
    """What brings the samples of a loaded picture to 0..255; None where they are bytes already.

    16 bits keep their high byte, as in Pillow's own reading of 16-bit colour. Of 32-bit integers and floats no range is
    agreed upon: 0..1, 0..255 and 0..65535 are taken as such, anything else is stretched between its extremes.
    """
    tags = getattr(image, "tag_v2", {})
    white_is_zero = tags.get(PHOTOMETRIC) == 0  # which Pillow heeds in bytes only
    if image.mode.startswith("I;16"):
        return Scale(-1 / 256, 255 + 255 / 256) if white_is_zero else Scale(1 / 256, 0.0)
    if image.mode not in ("I", "F"):
        return None
    no_data = _no_data(tags)
    low, high = _extremes(image, no_data)
    if image.mode == "I" and low < 0 and tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (1,)) == (1,):
        raise UnsupportedImage("This TIFF has whole numbers too large for us. Save it as a PNG or JPEG and send that.")
    start, end = _range(image.mode, low, high)
    factor = 255 / (end - start) if end > start else 0.0
    if white_is_zero:
        return Scale(-factor, 255 + start * factor, high, no_data)
    return Scale(factor, -start * factor, low, no_data)


def _range(mode: str, low: float, high: float) -> tuple[float, float]:
    """What is black and what is white, of samples between `low` and `high`."""
    for most in (1, 255, 65535):
        if low >= 0 and high <= most and (most > 1 or mode == "F"):
            return 0.0, 65280.0 if most == 65535 else float(most)
    return low, high


def _no_data(tags: object) -> float | None:
    """The value that stands for "not measured", where the file names one."""
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        return float(str(tags.get(NO_DATA)).strip("\0 "))  # type: ignore[attr-defined]
    return None


def _extremes(image: Image.Image, no_data: float | None) -> tuple[float, float]:
    """The least and the largest sample that was measured."""
    low, high = LARGEST, -LARGEST
    for band in _bands(image):
        measured = _measured(band, no_data)
        low = min(low, cast(float, _filled(band, measured, LARGEST).getextrema()[0]))
        high = max(high, cast(float, _filled(band, measured, -LARGEST).getextrema()[1]))
    if low > high:
        raise ImageError("This picture says of each of its pixels that nothing was measured there. Send another one.")
    return low, high


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    for top in range(0, image.height, BAND):
        yield image.crop((0, top, image.width, min(top + BAND, image.height))).convert("F")


def _measured(samples: Image.Image, no_data: float | None) -> Image.Image:
    """A mask of mode L: 255 where a sample was measured."""
    mask = ImageMath.lambda_eval(
        lambda a: (a["s"] > -LARGEST) * (a["s"] < LARGEST) * (a["s"] != a["no_data"]) * 255,
        s=samples,
        no_data=LARGEST if no_data is None else no_data,
    )
    return cast(Image.Image, mask).convert("L")


def _filled(samples: Image.Image, measured: Image.Image, value: float) -> Image.Image:
    filled = Image.new("F", samples.size, value)
    filled.paste(samples, mask=measured)
    return filled
