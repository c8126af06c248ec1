"""JPEGs whose pixels are all there and whose end marker is not, as some cameras and many scripts leave them.

Pillow cannot tell them from files that were cut short. Here the data are followed by bytes that mean nothing and by the
marker: a picture that comes out the same whatever those bytes are needed none of them.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from classifier.pictures.containers import jpeg
from classifier.pictures.containers.parts import Damaged, Stream, exactly

FILLERS = (64 * b"\0", 64 * b"\xaa")  # codes that no table reads alike
END = bytes((0xFF, jpeg.EOI))
COMMENT, LINES = 0xFE, 0xDC
BETWEEN = frozenset((jpeg.DHT, jpeg.DQT, jpeg.DRI, COMMENT, LINES, *range(0xE0, 0xF0)))  # segments around scans
COEFFICIENTS = 64  # of a block


def data_end(stream: BinaryIO) -> int | None:
    """Where the data of a picture without an end marker end; None where there is one.

    Raises `Damaged` where scans are missing, too. What follows the data must not be read for them, so a file is walked
    through whose last bytes are no end marker.
    """
    stream.seek(-2, 2)
    if stream.read() == END:
        return None
    size = _without_trailer(stream, stream.tell())
    stream.seek(2)
    left: dict[int, list[int]] = {}  # per component, how many bits of each coefficient are still to come
    end = None
    for _ in range(jpeg.SEGMENTS):
        try:
            marker = jpeg.marker_next(stream)
            if marker == jpeg.EOI:
                return None
            if marker != jpeg.SOS and marker not in BETWEEN | jpeg.FRAMES:
                break  # what follows is no part of the picture
            data = exactly(stream, int.from_bytes(exactly(stream, 2), "big") - 2)
        except Damaged:
            break
        if marker in jpeg.FRAMES:
            left = {data[at]: [1] * COEFFICIENTS for at in range(6, len(data), 3)}
        elif marker == jpeg.SOS:
            _scan_mark(data, left)
            end = _scan_end(stream, stream.tell(), size)
            stream.seek(end)
    if end is None or any(map(any, left.values())):
        raise Damaged("scans are missing")
    return end


def ended(stream: BinaryIO, end: int, filler: bytes) -> Stream:
    """The picture with `filler` after its data, and an end marker."""
    return Stream(stream, [range(end), filler + END])


def _scan_mark(header: bytes, left: dict[int, list[int]]) -> None:
    """Note what a scan brings. Its header: components with their tables, then the coefficients and their lowest bit."""
    count = header[0] if header else 0
    if len(header) != 4 + 2 * count:
        return
    first, last, bit = header[-3], header[-2], header[-1] & 15
    for component in header[1 : 1 + 2 * count : 2]:
        if component in left and first <= last < COEFFICIENTS:
            left[component][first : last + 1] = [bit] * (last + 1 - first)


def _scan_end(stream: BinaryIO, at: int, size: int) -> int:
    """The offset of the first marker that ends the scan whose data begin at `at`."""
    while at < size:
        stream.seek(at)
        chunk = stream.read(min(65536, size - at))
        found = jpeg.SCAN_END.search(chunk)
        if found is not None:
            return at + found.start()
        if at + len(chunk) >= size:
            return size - chunk.endswith(b"\xff")  # the half of a marker, or of a byte
        at += max(len(chunk) - 1, 1)  # a marker may lie across the edge
    return size


def _without_trailer(stream: BinaryIO, size: int) -> int:
    """The size without what Samsung appends: blocks, their directory (SEFH), its length, and SEFT."""
    if size < 24:
        return size
    stream.seek(size - 8)
    length, mark = struct.unpack("<L4s", stream.read(8))
    if mark != b"SEFT" or not 12 <= length <= size - 8:
        return size
    directory: int = size - 8 - length
    stream.seek(directory)
    head, _version, count = struct.unpack("<4sLL", stream.read(12))
    entries = stream.read(min(12 * count, length - 12))
    if head != b"SEFH" or len(entries) % 12:
        return size
    # Of each block: its kind, how far before the directory it begins, and its length.
    before = [distance for _, distance, _ in struct.iter_unpack("<LLL", entries)]
    return max(0, directory - max(before, default=0))
