"""Hostile JPEG."""

from __future__ import annotations

import struct
from collections.abc import Callable

from classifier.tests.hostile.common import FULL, Cases, exif_bomb, exif_loop, flat, noise
from classifier.tests.photos import encoded


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def cases() -> Cases:
    def small(**options: object) -> bytes:
        return encoded(noise(), "JPEG", **options)

    def inserted(*parts: bytes) -> Callable[[], bytes]:
        return lambda: (data := small())[:2] + b"".join(parts) + data[2:]

    def sized(width: int, height: int, **options: object) -> bytes:
        data = bytearray(small(**options))
        at = next(
            data.index(bytes((0xFF, marker, 0, 17))) for marker in (0xC0, 0xC2) if bytes((0xFF, marker, 0, 17)) in data
        )
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
        return bytes(data)

    def frame(marker: int, precision: int = 8) -> bytes:
        return small().replace(b"\xff\xc0\0\x11\x08", bytes((0xFF, marker, 0, 17, precision)))

    def scans(times: int, size: tuple[int, int] = (6000, 4000)) -> bytes:
        data = encoded(flat(*size), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        return (data[:last] + data[last:-2] * times)[:FULL] + b"\xff\xd9"

    html = b"<html><script>alert(document.cookie)</script></html>"
    return {
        "65,535 by 65,535 in the header": ("TooManyPixels", lambda: sized(65535, 65535)),
        "49 megapixels in the header": ("any", lambda: sized(7000, 7000)),
        "48 megapixels, flat": ("read", lambda: encoded(flat(8000, 6000), "JPEG")),
        "48 megapixels, progressive": ("read", lambda: encoded(flat(8000, 6000, "RGB"), "JPEG", progressive=True)),
        "48 megapixels, progressive, no subsampling": (
            "TooManyPixels",
            lambda: encoded(flat(8000, 6000, "RGB"), "JPEG", progressive=True, subsampling=0),
        ),
        "no height": ("BrokenImage", lambda: sized(64, 0)),
        "0 by 0": ("BrokenImage", lambda: sized(0, 0)),
        "1 by 60,000": ("ImageError", lambda: encoded(flat(1, 60_000), "JPEG")),
        "ten times as many scans": ("BrokenImage", lambda: scans(100)),
        "as many scans as fit": ("BrokenImage", lambda: scans(1_000_000)),
        "as many small scans as fit": ("BrokenImage", lambda: scans(1_000_000, (16, 16))),
        "as many scans as are read": ("read", lambda: scans(30)),
        "five million segments": ("BrokenImage", inserted(b"\xff\xfe\0\2" * (FULL // 4))),
        "twenty megabytes of fill bytes": ("BrokenImage", inserted(b"\xff" * FULL)),
        "twenty megabytes of junk": ("BrokenImage", lambda: (d := small())[:20] + bytes(FULL) + d[20:]),
        "a million Huffman tables": ("BrokenImage", inserted(segment(0xC4, bytes(17)) * (FULL // 21))),
        "EXIF bomb": ("read", inserted(segment(0xE1, b"Exif\0\0" + exif_bomb()))),
        "three hundred EXIF bombs": ("read", inserted(segment(0xE1, b"Exif\0\0" + exif_bomb()) * 300)),
        "EXIF that points at itself": ("read", inserted(segment(0xE1, b"Exif\0\0" + exif_loop()))),
        "ICC profile of sixteen megabytes": (
            "read",
            inserted(
                *(segment(0xE2, b"ICC_PROFILE\0" + bytes((number, 255)) + bytes(65_000)) for number in range(1, 256))
            ),
        ),
        "Photoshop blocks of no size": (
            "read",
            inserted(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * 5000)),
        ),
        "multi-picture index": ("read", inserted(segment(0xE2, b"MPF\0" + exif_bomb()[:60_000]))),
        "two frame headers": (
            "BrokenImage",
            lambda: (
                (d := small())[: d.index(b"\xff\xc4")]
                + segment(0xC0, b"\x08\xff\xff\xff\xff\1\1\x11\0")
                + d[d.index(b"\xff\xc4") :]
            ),
        ),
        "no frame header": ("BrokenImage", lambda: (d := small())[: d.index(b"\xff\xc0")] + d[d.index(b"\xff\xc4") :]),
        "no tables": (
            "BrokenImage",
            lambda: (d := small())[:2] + d[d.index(b"\xff\xc0") : d.index(b"\xff\xc4")] + d[d.index(b"\xff\xda") :],
        ),
        "arithmetic coding": ("UnsupportedImage", lambda: frame(0xC9)),
        "lossless": ("UnsupportedImage", lambda: frame(0xC3)),
        "twelve bits": ("UnsupportedImage", lambda: frame(0xC1, 12)),
        "segment longer than the file": ("BrokenImage", lambda: small()[:2] + b"\xff\xe1\xff\xff" + small()[2:100]),
        "segment of length nought": ("BrokenImage", inserted(b"\xff\xe1\0\0")),
        "HTML in a comment": ("read", inserted(segment(0xFE, html))),
        "JavaScript in a JFIF header": (
            "read",
            lambda: (d := small()).replace(d[6:11], b"JFIF\0").replace(b"\xff\xe0\0\x10", b"\xff\xe0\0\x10"),
        ),
        "HTML behind the picture": ("read", lambda: small() + html),
        "ZIP behind the picture": ("read", lambda: small() + b"PK\3\4" + bytes(1000) + b"PK\5\6" + bytes(18)),
        "PHP behind the picture": ("read", lambda: small() + b"<?php system($_GET['c']); ?>"),
        "twenty megabytes behind the picture": ("read", lambda: small() + b"\xff\xda" * (FULL // 2 - 1000)),
        "only the first bytes": ("BrokenImage", lambda: b"\xff\xd8\xff"),
    }
