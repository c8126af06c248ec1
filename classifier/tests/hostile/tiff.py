"""Hostile TIFF."""

from __future__ import annotations

import struct
import zlib

from classifier.tests.hostile import jpeg
from classifier.tests.hostile.common import FULL, Cases, flat, zeros
from classifier.tests.photos import encoded


def tiff(tags: list[tuple[int, int, int, int]], data: bytes = b"", following: int = 0) -> bytes:
    """A directory of (tag, type, count, value or offset) at 8; `data` behind it, from `after(len(tags))` on."""
    entries = b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<LH", 8, len(tags) & 0xFFFF) + entries + struct.pack("<L", following) + data


def after(tags: int) -> int:
    return 14 + 12 * tags


SHORT, LONG = 3, 4


def grey(width: int, height: int, compression: int = 1, **changed: int) -> list[tuple[int, int, int, int]]:
    tags = {
        256: width,
        257: height,
        258: 8,
        259: compression,
        262: 1,
        273: after(9),
        277: 1,
        278: height,
        279: min(width * height, 2**32 - 1),
    }
    tags.update({int(tag[1:]): value for tag, value in changed.items()})
    return [(tag, LONG, 1, value) for tag, value in tags.items()]


def cases() -> Cases:
    small = bytes(4096)
    tile = {277: 1, 322: 65_520, 323: 65_520, 324: after(10), 325: 20}
    return {
        "an ordinary one": ("read", lambda: tiff(grey(64, 64), small)),
        "65,535 by 65,535": ("TooManyPixels", lambda: tiff(grey(65535, 65535), small)),
        "four milliards by four milliards": ("TooManyPixels", lambda: tiff(grey(2**32 - 1, 2**32 - 1), small)),
        "0 by 0": ("BrokenImage", lambda: tiff(grey(0, 0), small)),
        "1 by 60,000": ("ImageError", lambda: tiff(grey(1, 60_000), bytes(60_000))),
        "49 megapixels, deflated": ("read", lambda: tiff(grey(7000, 7000, 8, t279=len(z := zeros(49_000_000))), z)),
        "49 megapixels, fax": ("any", lambda: encoded(flat(7000, 7000, "1"), "TIFF", compression="group4")),
        "a gigabyte in a strip of 64 by 64": ("any", lambda: tiff(grey(64, 64, 8, t279=len(z := zeros(10**9))), z)),
        "a strip of four milliard bytes": (
            "BrokenImage",
            lambda: tiff(grey(64, 64, 8, t279=2**32 - 1), zlib.compress(small)),
        ),
        "strips of four milliard rows": (
            "any",
            lambda: tiff(grey(64, 64, 8, t278=2**32 - 1, t279=len(z := zlib.compress(small))), z),
        ),
        "a tile of 65,520 by 65,520": (
            "any",
            lambda: tiff([*grey(64, 64, 8)[:5], *((tag, LONG, 1, n) for tag, n in tile.items())], zlib.compress(small)),
        ),
        "five million strips": (
            "any",
            lambda: tiff(
                [t for t in grey(64, 64) if t[0] not in (273, 279)] + [(273, LONG, FULL // 4, after(8))], bytes(FULL)
            ),
        ),
        "five million strips, deflated": (
            "any",
            lambda: tiff(
                [t for t in grey(64, 64, 8) if t[0] not in (273, 279)]
                + [(273, LONG, FULL // 8, after(9)), (279, LONG, FULL // 8, after(9))],
                bytes(FULL),
            ),
        ),
        "65,535 tags, each the whole file": (
            "any",
            lambda: tiff(
                grey(64, 64)
                + [(n, 7, FULL, 0) for n in range(40_000, 65_535)]
                + [(n, 7, FULL, 0) for n in range(400, 39_000)],
                bytes(FULL // 2),
            ),
        ),
        "a tag of four milliard numbers": ("any", lambda: tiff([*grey(64, 64), (40_000, LONG, 2**32 - 1, 8)], small)),
        "a directory that follows itself": ("read", lambda: tiff(grey(64, 64), small, following=8)),
        "directories that follow each other": (
            "any",
            lambda: tiff(
                grey(64, 64, t273=after(9)), small + b"\0\0" + struct.pack("<L", 8), following=after(9) + 4096
            ),
        ),
        "EXIF directory that is its own": (
            "any",
            lambda: tiff([*grey(64, 64, t273=after(11)), (34665, LONG, 1, 8), (34853, LONG, 1, 8)], small),
        ),
        "65,535 samples per pixel": ("BrokenImage", lambda: tiff(grey(64, 64, t277=65_535), small)),
        "64 bits per sample": ("UnsupportedImage", lambda: tiff(grey(64, 64, t258=64), small)),
        "no such compression": ("UnsupportedImage", lambda: tiff(grey(64, 64, 12345), small)),
        "no directory": ("BrokenImage", lambda: b"II*\0\xff\xff\xff\x7f"),
        "a JPEG of many scans inside": (
            "any",
            lambda: tiff(grey(6000, 4000, 7, t279=len(d := jpeg.cases()["ten times as many scans"][1]())), d),
        ),
        "BigTIFF": ("UnsupportedImage", lambda: b"II+\0\x08\0\0\0" + bytes(100)),
        "only the first bytes": ("BrokenImage", lambda: b"II*\0"),
    }
