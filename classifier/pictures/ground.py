"""Transparent pictures laid on a ground on which what they show can be seen."""

from __future__ import annotations

from typing import cast

from PIL import Image, ImageChops

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
SAMPLE_SIDE = 256  # pixels looked at on each side
VISIBLE = 32  # levels of 255 by which a pixel must differ from white to be seen on it
SEEN_SHARE = 0.02  # of what is opaque: where less than that can be seen on white, nothing can
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
UNSET_ALPHA = ("BMP", "TIFF")  # formats whose writers leave the fourth sample at zero where they mean nothing by it

Ground = tuple[int, int, int]


def ground_of(image: Image.Image) -> Ground | None:
    """What to lay the transparent parts of a loaded picture on; None where none are meant.

    White, as a page is; black for a drawing that white would swallow.
    """
    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return None
    if image.mode == "RGBA" and image.format in UNSET_ALPHA:
        alpha = cast(tuple[tuple[int, int], ...], image.getextrema())[3]
        if alpha == (0, 0):
            return None
    sides = min(image.width, SAMPLE_SIDE), min(image.height, SAMPLE_SIDE)
    sample = as_rgba(image.resize(sides, Image.Resampling.NEAREST))
    opaque = sum(level * count for level, count in enumerate(sample.getchannel("A").histogram())) / 255
    red, green, blue = laid_on(sample, WHITE).split()
    darkest = ImageChops.darker(ImageChops.darker(red, green), blue)
    seen = sum(darkest.histogram()[: 256 - VISIBLE])
    return BLACK if seen < SEEN_SHARE * opaque else WHITE


def laid_on(image: Image.Image, ground: Ground) -> Image.Image:
    """A picture with alpha or a transparent colour as RGB."""
    rgba = as_rgba(image)
    result = Image.new("RGB", rgba.size, ground)
    result.paste(rgba, mask=rgba)
    return result


def as_rgba(image: Image.Image) -> Image.Image:
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
