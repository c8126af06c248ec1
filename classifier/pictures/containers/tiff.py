"""TIFF 6.0: what kind of picture the first directory describes, so that none is read as another than it is.

A camera's raw files are TIFFs whose first picture is often a preview, and Pillow reads a few kinds scrambled; both
would be classified without a word. A file that is not whole is `Damaged`; a whole one of a kind we lack says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from classifier.errors import UnsupportedImage
from classifier.pictures.containers.parts import Bare, Damaged, exactly

DIRECTORIES = 16  # looked at; raw files have about five
VALUES = 250_000  # of one tag: tiles of 16 by 16 in the largest picture that is read
RARE = "This TIFF is of a rare kind that we cannot read. Save it as a PNG or JPEG and send that."
RAW = "This is a camera's raw file, which we cannot read. Export it as a JPEG and send that."

SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIPS, SAMPLES, PLANAR, TILES, DIRECTORIES_BELOW = 273, 277, 284, 324, 330
INKS, EXTRA, FORMAT, SUBSAMPLING, CFA_PATTERN, DNG_VERSION = 332, 338, 339, 530, 33422, 50706
LOOKED_AT = frozenset((
    SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, STRIPS, SAMPLES, PLANAR, TILES, DIRECTORIES_BELOW, INKS,
    EXTRA, FORMAT, SUBSAMPLING, CFA_PATTERN, DNG_VERSION,
))  # fmt: skip
REDUCED = 1  # a flag of SUBFILE

GREYS, RGB, PALETTE, CMYK, YCBCR = (0, 1), 2, 3, 5, 6
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
PLAIN, JPEGS = 1, (6, 7)
# Fax, LZW, JPEG, Deflate, PackBits, ThunderScan, LZMA, Zstandard and WebP: what our libtiff decodes.
COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34925, 50000, 50001)
RAW_PHOTOMETRICS = (32803, 34892)  # a colour filter's mosaic, and DNG's linear raw
RAW_COMPRESSIONS = (32767, 32770, 34713, 65000, 65535)  # Sony, Samsung, Nikon, Kodak, Pentax
TYPES = {1: "B", 3: "H", 4: "L", 13: "L"}  # of the values looked at: bytes, shorts, longs, directories


@dataclass(frozen=True)
class Directory:
    """The tags that matter of one picture, and where the next directory lies (0: nowhere)."""

    tags: dict[int, tuple[int, ...]]
    after: int

    def one(self, tag: int, default: int) -> int:
        return (self.tags.get(tag) or (default,))[0]


def bare(file: BinaryIO, size: int) -> Bare:
    """The file as it is. Raises `Damaged` where it is not whole, `UnsupportedImage` where its kind is not read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(file.read(4))
    if order is None:
        raise Damaged("no TIFF")
    first = _directory(file, order, struct.unpack(order + "L", exactly(file, 4))[0])
    others = list(_others(file, order, first))
    if _is_raw([first, *others]):
        raise UnsupportedImage(RAW)
    _whole_check(first, size)
    preview = first.one(SUBFILE, 0) & REDUCED and any(not other.one(SUBFILE, 0) & REDUCED for other in others)
    if preview or not _is_read(first, order):
        raise UnsupportedImage(RARE)
    file.seek(0)
    return Bare(file, extra=size)


def _directory(file: BinaryIO, order: str, at: int) -> Directory:
    file.seek(at)
    (entries,) = struct.unpack(order + "H", exactly(file, 2))
    table = exactly(file, 12 * entries)
    after = file.read(4)
    tags: dict[int, tuple[int, ...]] = {}
    for tag, kind, count, value in struct.iter_unpack(order + "HHL4s", table):
        code = TYPES.get(kind)
        if tag not in LOOKED_AT or code is None or not 0 < count <= VALUES:
            continue
        length = count * struct.calcsize(order + code)
        if length > 4:
            file.seek(struct.unpack(order + "L", value)[0])
            value = file.read(length)
        if len(value) >= length:
            tags[tag] = struct.unpack(f"{order}{count}{code}", value[:length])
    return Directory(tags, struct.unpack(order + "L", after)[0] if len(after) == 4 else 0)


def _others(file: BinaryIO, order: str, first: Directory) -> Iterator[Directory]:
    """The directories below and after the first; those that cannot be read are nothing to us."""
    waiting, seen = [*first.tags.get(DIRECTORIES_BELOW, ()), first.after], {0}
    while waiting and len(seen) <= DIRECTORIES:
        at = waiting.pop(0)
        if at in seen:
            continue
        seen.add(at)
        try:
            directory = _directory(file, order, at)
        except Damaged:
            continue
        yield directory
        waiting.append(directory.after)


def _is_raw(directories: list[Directory]) -> bool:
    first = directories[0]
    return (
        DNG_VERSION in first.tags
        or bool(first.one(SUBFILE, 0) & REDUCED and DIRECTORIES_BELOW in first.tags)
        or any(
            CFA_PATTERN in directory.tags
            or directory.one(PHOTOMETRIC, 0) in RAW_PHOTOMETRICS
            or directory.one(COMPRESSION, PLAIN) in RAW_COMPRESSIONS
            for directory in directories
        )
    )


def _whole_check(first: Directory, size: int) -> None:
    """Raises `Damaged` where the pixels that the directory announces lie beyond the end of the file."""
    if not (first.one(WIDTH, 0) and first.one(LENGTH, 0)):
        raise Damaged("a directory without its picture")
    offsets = first.tags.get(STRIPS) or first.tags.get(TILES) or ()
    # Old JPEGs in TIFF may say elsewhere where they lie.
    if any(offset >= size for offset in offsets) or not (offsets or first.one(COMPRESSION, PLAIN) in JPEGS):
        raise Damaged("pixels beyond the end")


def _is_read(first: Directory, order: str) -> bool:
    """Whether Pillow reads this kind, and rightly; each line below is a kind it reads scrambled or not at all.

    Found by comparing with tifffile over all kinds; tests/pictures/test_tiff_kinds.py does it again.
    """
    samples, photometric = first.one(SAMPLES, 1), first.one(PHOTOMETRIC, 0)
    bits, formats = set(first.tags.get(BITS, (1,))), set(first.tags.get(FORMAT, (UNSIGNED,)))
    plain = first.one(COMPRESSION, PLAIN) == PLAIN
    if first.one(COMPRESSION, PLAIN) not in COMPRESSIONS:
        return False
    if photometric not in (*GREYS, RGB, PALETTE, CMYK, YCBCR) or len(bits) > 1 or len(formats) > 1:
        return False
    (depth,), (kind,) = bits, formats
    swapped_twice = not plain and order == ">" and (depth == 32 or (depth, kind) == (16, SIGNED))
    in_planes = samples > 1 and first.one(PLANAR, 1) == 2
    subsampled = photometric == YCBCR and plain and first.tags.get(SUBSAMPLING, (2, 2)) != (1, 1)
    return not (
        (depth, kind) == (8, SIGNED)
        or swapped_twice
        or (in_planes and (photometric not in (RGB, CMYK) or samples > 4))
        or (in_planes and plain and (depth == 16 or 0 in first.tags.get(EXTRA, ())))
        or subsampled
        or (photometric == CMYK and first.one(INKS, 1) != 1)
    )
