"""How large a picture may be. Pages and the API say it, so nothing is imported here."""

from __future__ import annotations

DECODE_MEMORY = 150_000_000  # bytes that reading one picture may take
TOGETHER_MEMORY = 150_000_000  # bytes for all pictures that are read at one time, and the text tower
TEXT_MEMORY = 130_000_000  # bytes of that for the text tower (ViT-B/32's) while it is loaded

# The most pixels of an ordinary colour picture whose full size, decoded, fits into that with a file of some megabytes.
# A JPEG can be decoded small and a GIF has a byte per pixel: these fit at any size that is allowed.
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF")
PIXELS = {"PNG": 30_000_000, "BMP": 30_000_000, "TIFF": 16_000_000, "WebP": 12_000_000, "AVIF": 12_000_000}


def pixel_limits(max_pixels: int) -> dict[str, int]:
    """The most pixels per format, where `max_pixels` is the most of any."""
    return {name: min(max_pixels, PIXELS.get(name, max_pixels)) for name in FORMATS}


def smaller_limits(max_pixels: int) -> str:
    """Which formats have a lower limit, for a sentence: "30 as PNG or BMP, 16 as TIFF"; "" where none has."""
    names: dict[int, list[str]] = {}
    for name, most in pixel_limits(max_pixels).items():
        if most < max_pixels:
            names.setdefault(most, []).append(name)
    return ", ".join(f"{most / 1e6:g} as {' or '.join(group)}" for most, group in sorted(names.items(), reverse=True))
