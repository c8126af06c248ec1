"""Hostile BMP."""

from __future__ import annotations

import struct

from classifier.tests.hostile.common import FULL, Cases, noise
from classifier.tests.photos import encoded


def bmp(
    width: int, height: int, bits: int, data: bytes, compression: int = 0, colours: int = 0, offset: int = 0
) -> bytes:
    info = struct.pack("<LllHHLLllLL", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    palette = bytes(range(256)) * 4 if bits <= 8 else b""
    start = offset or 14 + len(info) + len(palette)
    return struct.pack("<2sLHHL", b"BM", 2**31 - 1, 0, 0, start) + info + palette + data


def cases() -> Cases:
    return {
        "two milliards by two milliards": ("TooManyPixels", lambda: bmp(2**31 - 1, 2**31 - 1, 24, bytes(1000))),
        "49 megapixels in the header": ("TooManyPixels", lambda: bmp(7000, 7000, 24, bytes(1000))),
        "29 megapixels in the header": ("BrokenImage", lambda: bmp(5000, 5900, 24, bytes(1000))),
        "49 megapixels with one bit": ("read", lambda: bmp(7000, 7000, 1, bytes(7000 * 876))),
        "upside down": ("read", lambda: bmp(64, -64, 24, bytes(64 * 192))),
        "as high as can be, upside down": ("any", lambda: bmp(64, -(2**31), 24, bytes(1000))),
        "negative width": ("any", lambda: bmp(-64, 64, 24, bytes(64 * 192))),
        "0 by 0": ("BrokenImage", lambda: bmp(0, 0, 24, b"")),
        "1 by 60,000": ("ImageError", lambda: bmp(1, 60_000, 24, bytes(240_000))),
        "pixels beyond the file": ("BrokenImage", lambda: bmp(64, 64, 24, bytes(64 * 192), offset=2**31)),
        "run-length compressed": ("read", lambda: bmp(64, 64, 8, b"\x40\1\0\0" * 64 + b"\0\1", 1)),
        "run-length compressed, rows without end": ("any", lambda: bmp(2000, 2000, 8, b"\0\0" * 450_000, 1)),
        "run-length compressed, runs beyond the row": ("any", lambda: bmp(4, 1_000, 8, b"\xff\1" * 450_000, 1)),
        "run-length compressed, 4 bits": ("any", lambda: bmp(2000, 2000, 4, b"\xff\1" * 400_000, 2)),
        "run-length compressed, twenty megabytes": (
            "UnsupportedImage",
            lambda: bmp(64, 64, 8, b"\0\0" * (FULL // 2), 1),
        ),
        "run-length compressed, 49 megapixels": ("UnsupportedImage", lambda: bmp(7000, 7000, 8, b"\0\1", 1)),
        "a JPEG inside": ("UnsupportedImage", lambda: bmp(64, 64, 24, encoded(noise(), "JPEG"), 4)),
        "four milliards of colours": ("BrokenImage", lambda: bmp(64, 64, 8, bytes(4096), colours=2**32 - 1)),
        "no such depth": ("UnsupportedImage", lambda: bmp(64, 64, 7, bytes(4096))),
        "header of four milliards": ("BrokenImage", lambda: b"BM" + bytes(12) + b"\xff\xff\xff\xff" + bytes(100)),
        "only the first bytes": ("BrokenImage", lambda: b"BM"),
    }
