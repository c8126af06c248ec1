"""Hostile GIF."""

from __future__ import annotations

import struct

from classifier.tests.hostile.common import FULL, Cases, flat, noise
from classifier.tests.photos import encoded


def cases() -> Cases:
    small = encoded(noise("P"), "GIF")
    at = small.index(b",\0\0\0\0@\0@\0")
    screen, frame = small[:at], small[at:-1]

    def sized(width: int, height: int, image: bytes = frame) -> bytes:
        return small[:6] + struct.pack("<HH", width, height) + screen[10:] + image + b";"

    return {
        "10,000 frames": ("read", lambda: (screen + frame * 10_000)[:FULL] + b";"),
        "65,535 by 65,535": ("TooManyPixels", lambda: sized(65535, 65535)),
        "49 megapixels, a frame of 64 by 64": ("read", lambda: sized(7000, 7000)),
        "49 megapixels, flat": ("read", lambda: encoded(flat(7000, 7000), "GIF")),
        "49 megapixels, flat, interlaced": ("read", lambda: encoded(flat(7000, 7000), "GIF", interlace=True)),
        "a frame far outside": (
            "TooManyPixels",
            lambda: sized(64, 64, b"," + struct.pack("<HHHH", 60_000, 60_000, 64, 64) + frame[9:]),
        ),
        "0 by 0": ("any", lambda: sized(0, 0)),
        "a frame of 0 by 0": ("any", lambda: sized(64, 64, b"," + bytes(8) + frame[9:])),
        "1 by 60,000": ("ImageError", lambda: encoded(flat(1, 60_000), "GIF")),
        "a comment of twenty megabytes": (
            "read",
            lambda: screen + b"!\xfe" + (b"\xff" + bytes(255)) * (FULL // 256) + b"\0" + frame + b";",
        ),
        "a comment in ten million pieces": (
            "BrokenImage",
            lambda: screen + b"!\xfe" + b"\1a" * (FULL // 2) + b"\0" + frame + b";",
        ),
        "six million empty extensions": ("BrokenImage", lambda: screen + b"!\1\0" * (FULL // 3) + frame + b";"),
        "twenty megabytes of junk": ("BrokenImage", lambda: screen + bytes(FULL) + frame),
        "no frame": ("BrokenImage", lambda: screen + b";"),
        "codes of 13 bits": ("any", lambda: sized(64, 64, frame[:10] + b"\x0d" + frame[11:])),
        "data in pieces of one byte": (
            "any",
            lambda: sized(64, 64, frame[:11] + b"".join(b"\1" + frame[n : n + 1] for n in range(12, 200)) + b"\0"),
        ),
        "JavaScript, too": ("any", lambda: b"GIF89a/*" + screen[8:] + frame + b";*/=1;alert(1)"),
        "only the first bytes": ("BrokenImage", lambda: b"GIF89a"),
    }
