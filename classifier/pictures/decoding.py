"""Decoding a checked picture in this process, and what is said of one that cannot be: all that the sandbox needs."""

from __future__ import annotations

import math
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image

from classifier.capacity.limits import decode_memory
from classifier.errors import BrokenImage, Busy, ImageError, TooManyPixels, UnsupportedImage
from classifier.pictures import pixels

LONGEST_RATIO = 50  # of the longer side to the shorter; CLIP looks at the middle square only
# What Pillow says of kinds it lacks; of all else it says that the file is damaged.
LACKING = re.compile(
    r"unsupported(?! BMP Palette)|not (yet )?supported|cannot handle|unknown (pixel|raw|data)", re.IGNORECASE
)

# Pillow's remarks on odd files quote them, and would be kept and logged once for each.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Picture:
    """A picture that can be classified."""

    image: Image.Image  # upright RGB, possibly decoded smaller than the file says
    format: str  # "JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF" or "AVIF"
    width: int  # pixels of the upright original
    height: int


def picture_decode(file: BinaryIO, name: str, max_pixels: int) -> Picture:
    """Decode in this process, whatever memory it takes, a file whose first bytes announce `name`."""
    with explained(name):
        opened = pixels.open_bare(file, name)
        pixels_check(opened, max_pixels)
        return decoded(opened)


def decoded(opened: pixels.Opened) -> Picture:
    width, height = opened.size
    return Picture(pixels.upright_rgb(opened), opened.name, width, height)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes an `ImageError`: Pillow's readers raise a dozen kinds."""
    try:
        yield
    except (ImageError, Busy):
        raise
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold on to what was decoded
        if isinstance(error, (MemoryError, Image.DecompressionBombError)):
            raise TooManyPixels(f"This {name} picture takes too much memory to read. Make it smaller.") from error
        if LACKING.search(str(error)):
            raise UnsupportedImage(
                f"This {name} is of a rare kind that we cannot read. Save it as a PNG or JPEG and send that."
            ) from error
        raise BrokenImage(
            f"This {name} picture is damaged or cut short and cannot be read. Save it again, or send another one."
        ) from error


def pixels_check(opened: pixels.Opened, max_pixels: int) -> None:
    width, height = opened.size
    size = f"{width:,} by {height:,} pixels"
    megapixels = width * height / 1e6
    if width * height > max_pixels:
        raise TooManyPixels(
            f"This picture is {size} ({megapixels:,.1f} megapixels); the limit is {max_pixels / 1e6:,.3g} megapixels. "
            "Make it smaller and send it again."
        )
    if max(width, height) > LONGEST_RATIO * min(width, height):
        raise ImageError(
            f"This picture is {size}, too narrow to be recognised. "
            f"Cut it so that the longer side is at most {LONGEST_RATIO} times the shorter."
        )
    needed = opened.memory(opened.divisor)
    if needed > decode_memory():
        most = math.floor(10 * megapixels * decode_memory() / needed) / 10
        raise TooManyPixels(
            f"This picture is {size} ({megapixels:,.1f} megapixels); of {opened.kind} like this we can read "
            f"{most:,g} megapixels. Make it smaller, or save it as an ordinary JPEG."
        )
