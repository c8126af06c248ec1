"""Hostile WebP."""

from __future__ import annotations

import struct

from classifier.tests.hostile.common import FULL, Cases, exif_bomb, flat, noise
from classifier.tests.photos import encoded


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def piece(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<L", len(data)) + data + b"\0" * (len(data) % 2)


def canvas(width: int, height: int, flags: int = 0) -> bytes:
    return piece(
        b"VP8X", bytes((flags, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )


def cases() -> Cases:
    small = encoded(noise(), "WEBP", lossless=True)[12:]
    animation = piece(b"ANIM", bytes(6))

    def frame(width: int = 64, height: int = 64, image: bytes = small) -> bytes:
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        return piece(b"ANMF", bytes(6) + sides + (40).to_bytes(3, "little") + b"\0" + image)

    return {
        "10,000 frames": ("read", lambda: riff(canvas(64, 64, 2), animation, frame() * (FULL // len(frame())))),
        "frames without number": (
            "BrokenImage",
            lambda: riff(
                canvas(64, 64, 2),
                animation,
                (t := frame(1, 1, encoded(flat(1, 1), "WEBP", lossless=True)[12:])) * (FULL // len(t)),
            ),
        ),
        "the largest canvas, a frame of one pixel": (
            "TooManyPixels",
            lambda: riff(canvas(1 << 24, 1 << 24, 2), animation, frame()),
        ),
        "a canvas of 49 megapixels": ("TooManyPixels", lambda: riff(canvas(7000, 7000, 2), animation, frame())),
        "a canvas that is not the picture's": ("any", lambda: riff(canvas(2000, 2000), small)),
        "12 megapixels, lossless": (
            "read",
            lambda: encoded(flat(4000, 3000), "WEBP", lossless=True, quality=0, method=0),
        ),
        "12 megapixels, lossy": ("read", lambda: encoded(flat(4000, 3000), "WEBP", quality=0, method=0)),
        "12 megapixels, transparent": (
            "TooManyPixels",
            lambda: encoded(flat(4000, 3000, "RGBA"), "WEBP", quality=0, method=0),
        ),
        "1 by 16,383": ("ImageError", lambda: encoded(flat(1, 16383), "WEBP", lossless=True)),
        "two million chunks": ("BrokenImage", lambda: riff(canvas(64, 64), small, b"ABCD\0\0\0\0" * (FULL // 8))),
        "colour profile of twenty megabytes": (
            "read",
            lambda: riff(canvas(64, 64, 0x20), piece(b"ICCP", bytes(FULL)), small),
        ),
        "EXIF bomb": ("read", lambda: riff(canvas(64, 64, 8), small, piece(b"EXIF", exif_bomb()))),
        "no picture": ("BrokenImage", lambda: riff(canvas(64, 64))),
        "an animation without frames": ("BrokenImage", lambda: riff(canvas(64, 64, 2), animation)),
        "alpha alone": ("BrokenImage", lambda: riff(canvas(64, 64, 0x10), piece(b"ALPH", bytes(100)))),
        "only the first bytes": ("BrokenImage", lambda: b"RIFF\xff\xff\xff\xffWEBP"),
        "lengths beyond the file": (
            "BrokenImage",
            lambda: b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff" + bytes(100),
        ),
    }
