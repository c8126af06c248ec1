"""How large a picture may be. Pages and the API say it, so nothing heavy is imported here."""

from __future__ import annotations

from classifier.capacity.container import LEAST, MOST

# The most pixels of an ordinary colour picture whose full size, decoded, fits into `MOST` with a file of some
# megabytes. A JPEG can be decoded small and a GIF has a byte per pixel: these fit at any size that is allowed.
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF")
PIXELS = {"PNG": 30_000_000, "BMP": 30_000_000, "TIFF": 16_000_000, "WebP": 12_000_000, "AVIF": 12_000_000}

_decode_memory = MOST


def decode_memory() -> int:
    """Bytes that reading one picture may take: all that is shared out, since pictures that need less come beside it."""
    return _decode_memory


def decode_memory_set(size: int, most: int = MOST) -> None:
    """What the model leaves; never so little that no photo can be read. `most` is what a server may take for it."""
    global _decode_memory
    _decode_memory = max(LEAST, min(most, size))


def pixel_limits(max_pixels: int) -> dict[str, int]:
    """The most pixels per format, where `max_pixels` is the most of any."""
    share = decode_memory() / MOST
    fitting = {name: int(most * share / 100_000) * 100_000 for name, most in PIXELS.items()}
    return {name: min(max_pixels, fitting.get(name, max_pixels)) for name in FORMATS}


def smaller_limits(max_pixels: int) -> str:
    """Which formats have a lower limit, for a sentence: "30 as PNG or BMP, 16 as TIFF"; "" where none has."""
    names: dict[int, list[str]] = {}
    for name, most in pixel_limits(max_pixels).items():
        if most < max_pixels:
            names.setdefault(most, []).append(name)
    return ", ".join(f"{most / 1e6:g} as {' or '.join(group)}" for most, group in sorted(names.items(), reverse=True))
