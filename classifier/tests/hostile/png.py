"""Hostile PNG."""

from __future__ import annotations

import struct
import zlib

from classifier.tests.hostile.common import FULL, Cases, exif_bomb, flat, zeros
from classifier.tests.photos import encoded


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def header(width: int, height: int, bits: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, bits, colour, 0, 0, interlaced))


def cases() -> Cases:
    data, end = chunk(b"IDAT", zeros(64 * 193)), chunk(b"IEND")
    start = header(64, 64)

    def flat_png(width: int, height: int, bits: int, colour: int, bytes_per_pixel: float, interlaced: int = 0) -> bytes:
        length = int(height * (width * bytes_per_pixel + 1)) + 100_000 * interlaced
        return png(header(width, height, bits, colour, interlaced), chunk(b"IDAT", zeros(length)), end)

    return {
        "65,535 by 65,535 and nothing else": ("TooManyPixels", lambda: png(header(65535, 65535))),
        "two milliards by two milliards": ("TooManyPixels", lambda: png(header(2**31 - 1, 2**31 - 1), data, end)),
        "0 by 0": ("BrokenImage", lambda: png(header(0, 0), data, end)),
        "1 by 60,000": ("ImageError", lambda: encoded(flat(1, 60_000), "PNG")),
        "49 megapixels in colour": ("TooManyPixels", lambda: flat_png(7000, 7000, 8, 2, 3)),
        "the largest in colour": ("read", lambda: flat_png(5470, 5470, 8, 2, 3)),
        "the largest with transparency": ("read", lambda: flat_png(6120, 5500, 8, 6, 4)),
        "the largest with 16 bits": ("read", lambda: flat_png(6120, 5500, 16, 6, 8)),
        "the largest grey, interlaced": ("read", lambda: flat_png(7000, 7000, 8, 0, 1, 1)),
        "the largest with one bit": ("read", lambda: flat_png(7000, 7000, 1, 0, 0.125)),
        "a gigabyte of image data": ("read", lambda: png(start, chunk(b"IDAT", zeros(10**9)), end)),
        "a gigabyte of colour profile": (
            "read",
            lambda: png(start, chunk(b"iCCP", b"a\0\0" + zeros(10**9)), data, end),
        ),
        "compressed text bombs": (
            "read",
            lambda: png(start, *(chunk(b"zTXt", b"%d\0\0" % n + zeros(10**6)) for n in range(500)), data, end),
        ),
        "international text bombs": (
            "read",
            lambda: png(start, *(chunk(b"iTXt", b"%d\0\1\0\0\0" % n + zeros(10**6)) for n in range(500)), data, end),
        ),
        "EXIF bomb": ("read", lambda: png(start, chunk(b"eXIf", exif_bomb()), data, end)),
        "a million empty chunks": ("BrokenImage", lambda: png(start, chunk(b"abCd") * (FULL // 12), data, end)),
        "a million empty data chunks": ("BrokenImage", lambda: png(start, chunk(b"IDAT") * (FULL // 12), data, end)),
        "a million texts behind the data": (
            "BrokenImage",
            lambda: png(start, data, chunk(b"tEXt", b"a\0b") * (FULL // 15), end),
        ),
        "an animation of 10,000 frames": (
            "read",
            lambda: png(
                start,
                chunk(b"acTL", struct.pack(">LL", 10_000, 0)),
                data,
                *(
                    chunk(b"fcTL", struct.pack(">LLLLLHHBB", 2 * n, 64, 64, 0, 0, 1, 10, 0, 0))
                    + chunk(b"fdAT", struct.pack(">L", 2 * n + 1) + data[8:-4])
                    for n in range(10_000)
                ),
                end,
            ),
        ),
        "a chunk longer than the file": ("BrokenImage", lambda: png(start, b"\x7f\xff\xff\xffabCd", data, end)),
        "two headers": ("any", lambda: png(start, header(60_000, 60_000), data, end)),
        "no header": ("BrokenImage", lambda: png(data, end)),
        "no data": ("BrokenImage", lambda: png(start, end)),
        "palette missing": ("any", lambda: png(header(64, 64, 8, 3), chunk(b"IDAT", zeros(64 * 65)), end)),
        "palette of ten megabytes": (
            "BrokenImage",
            lambda: png(header(64, 64, 8, 3), chunk(b"PLTE", bytes(10**7)), data, end),
        ),
        "colour type that is none": ("BrokenImage", lambda: png(header(64, 64, 8, 5), data, end)),
        "data that is not deflated": ("BrokenImage", lambda: png(start, chunk(b"IDAT", b"\0" * 1000), end)),
        "HTML in a text": ("read", lambda: png(start, chunk(b"tEXt", b"a\0<script>alert(1)</script>"), data, end)),
        "only the first bytes": ("BrokenImage", lambda: b"\x89PNG\r\n\x1a\n"),
    }
