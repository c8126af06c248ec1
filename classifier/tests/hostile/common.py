"""What the makers of hostile pictures share."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from PIL import Image

LIMITS = {"max_bytes": 20_000_000, "max_pixels": 50_000_000}
FULL = 19_900_000  # bytes: as large as a file may be

Cases = dict[str, tuple[str, Callable[[], bytes]]]  # name: (what must come of it, the file)


def noise(mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.effect_noise(size, 60).convert(mode)


def flat(width: int, height: int, mode: str = "L") -> Image.Image:
    return Image.new(mode, (width, height))


def exif_bomb(entries: int = 5000) -> bytes:
    """A directory whose every entry points at all of the block."""
    entry = b"".join(struct.pack("<HHLL", 40_000 + number, 7, 65_000, 8) for number in range(entries))
    return (b"II*\0" + struct.pack("<LH", 8, entries) + entry).ljust(65_000, b"\0")


def exif_loop() -> bytes:
    """A directory that points at itself, and so does its EXIF directory."""
    return b"II*\0" + struct.pack("<LHHHLLHHLLL", 8, 2, 34665, 4, 1, 8, 34853, 4, 1, 8, 8)


def zeros(length: int) -> bytes:
    """`length` zero bytes, deflated: one compressed megabyte, over and over."""
    megabytes, rest = divmod(length, 1 << 20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    end = deflate.compress(bytes(rest)) + deflate.flush()
    return b"\x78\x9c" + block * megabytes + end + struct.pack(">HH", length % 65521, 1)  # Adler-32 of zeros
