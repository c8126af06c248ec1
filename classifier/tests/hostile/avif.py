"""Hostile AVIF."""

from __future__ import annotations

import struct

from classifier.tests.hostile.common import FULL, Cases, exif_bomb, flat, noise
from classifier.tests.photos import encoded


def cases() -> Cases:
    def flat_avif(width: int, height: int, **options: object) -> bytes:
        return encoded(flat(width, height, "RGB"), "AVIF", speed=10, **options)

    def sides(width: int, height: int) -> bytes:
        return struct.pack(">LL", width, height)

    animated = {"save_all": True, "append_images": [noise() for _ in range(5)]}
    return {
        "64 megapixels": ("TooManyPixels", lambda: flat_avif(8000, 8000)),
        "64 megapixels that say 64 by 64": (
            "any",
            lambda: flat_avif(8000, 8000).replace(sides(8000, 8000), sides(64, 64)),
        ),
        "64 by 64 that say 64 megapixels": (
            "TooManyPixels",
            lambda: flat_avif(64, 64).replace(sides(64, 64), sides(8000, 8000)),
        ),
        "64 by 64 that say 12 megapixels": (
            "any",
            lambda: flat_avif(64, 64).replace(sides(64, 64), sides(4000, 3000)),
        ),
        "0 by 0": ("BrokenImage", lambda: flat_avif(64, 64).replace(sides(64, 64), sides(0, 0))),
        "12 megapixels": ("read", lambda: flat_avif(4000, 3000)),
        "an animation": ("read", lambda: encoded(noise(), "AVIF", speed=10, **animated)),
        "an animation of four milliard frames": (
            "any",
            lambda: encoded(noise(), "AVIF", speed=10, **animated).replace(
                b"stsz" + bytes(8) + struct.pack(">L", 6), b"stsz" + bytes(4) + struct.pack(">LL", 1, 2**32 - 1)
            ),
        ),
        "EXIF bomb": ("read", lambda: encoded(noise(), "AVIF", speed=10, exif=exif_bomb())),
        "boxes without end": ("BrokenImage", lambda: flat_avif(64, 64)[:32] + b"\0\0\0\x08free" * (FULL // 8)),
        "boxes inside boxes": (
            "BrokenImage",
            lambda: (
                b"\0\0\0\x18ftypavif\0\0\0\0avifmif1"
                + b"".join(struct.pack(">L4sL", 12 * n, b"meta", 0) for n in range(100_000, 0, -1))
            ),
        ),
        "only the first bytes": ("BrokenImage", lambda: b"\0\0\0\x18ftypavif\0\0\0\0avifmif1"),
    }
