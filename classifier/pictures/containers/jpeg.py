"""JPEG (ITU-T T.81): the segments that decoding needs, and how many scans a picture is spread over."""

from __future__ import annotations

import re
from typing import BinaryIO

from classifier.errors import BrokenImage, UnsupportedImage
from classifier.pictures.containers.parts import Bare, Damaged, Stream, exactly

SEGMENTS = 10_000  # Photos with depth maps carry some hundred
JUNK = 65_536  # bytes between segments
KEPT, TABLES = 1_000, 1_000_000  # segments with tables, and bytes of them; real ones take about ten and a thousand
SCANS = 100  # per picture; encoders write about ten
COEFFICIENTS = 150_000_000  # bytes; more than that is refused for its memory anyway
SCAN_SAMPLES = 1_000_000_000  # visited by all scans of a picture together: about two seconds

SOF0, SOF2, DHT, SOI, EOI, SOS, DQT, DRI, APP0, APP1, APP14 = (
    0xC0, 0xC2, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xEE,
)  # fmt: skip
FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, 0xCC}
ALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers that no segment follows
# Inside a scan FF is followed by 00 or a restart marker; anything else ends it.
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def bare(file: BinaryIO, size: int) -> Bare:
    """The picture up to its first scan without application data, and everything from there on as it is.

    Of JFIF and Adobe segments the part is kept that says how colours are coded. Raises `Damaged`, and an `ImageError`
    for the kinds of JPEG that no browser shows either.
    """
    file.seek(2)
    kept, exif, frame, tables = [b"\xff\xd8"], b"", b"", 0
    for _ in range(SEGMENTS):
        marker = marker_next(file)
        if marker in ALONE:
            continue
        if marker in (SOI, EOI):
            break
        length = int.from_bytes(exactly(file, 2), "big") - 2
        if marker == SOS:
            start = file.tell() - 4
            extra = _memory(file, start, size, frame)
            return Bare(Stream(file, [*kept, range(start, size)]), exif, extra)
        data = exactly(file, length)
        if marker in FRAMES:
            frame = _frame(marker, data, frame)
        elif marker == APP1 and not exif and data.startswith(b"Exif\0\0"):
            exif = data
        elif marker == APP0 and data.startswith(b"JFIF\0"):
            data = data[:12] + b"\0\0"  # without its thumbnail
        elif not (marker in (DHT, DQT, DRI) or (marker == APP14 and data.startswith(b"Adobe"))):
            continue
        if marker != APP1:
            kept.append(bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data)
            tables += len(data)
            if tables > TABLES or len(kept) > KEPT:
                break
    raise Damaged("no picture among the segments")


def marker_next(file: BinaryIO) -> int:
    """The next marker; like libjpeg, over fill bytes and a little junk."""
    filled = False
    for _ in range(JUNK):
        byte = exactly(file, 1)[0]
        if filled and byte not in (0x00, 0xFF):
            return byte
        filled = byte == 0xFF
    raise Damaged("no marker where one should be")


def _frame(marker: int, data: bytes, before: bytes) -> bytes:
    if before or len(data) < 6 or len(data) != 6 + 3 * data[5]:
        raise Damaged("not one frame header")
    if not SOF0 <= marker <= SOF2 or data[0] != 8:
        raise UnsupportedImage("This JPEG is of a rare kind that we cannot read. Save it as an ordinary JPEG or a PNG.")
    return bytes((marker,)) + data


def _memory(file: BinaryIO, start: int, size: int, frame: bytes) -> int:
    """Bytes of coefficients that are held until the last scan: none where one scan has all components."""
    if not frame:
        raise Damaged("a scan before the frame header")
    components = frame[6]
    if frame[0] != SOF2 and exactly(file, 1)[0] == components:
        return 0
    height, width = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
    factors = [(byte >> 4, byte & 15) for byte in frame[8::3]]
    across, down = max(h for h, _ in factors) or 1, max(v for _, v in factors) or 1
    # Whole blocks of 8 x 8, as many as a minimum coded unit has, two bytes each.
    samples = sum(64 * (-(-width // (8 * across)) * h) * (-(-height // (8 * down)) * v) for h, v in factors)
    if 2 * samples <= COEFFICIENTS and _scans(file, start, size) > min(SCANS, SCAN_SAMPLES // max(samples, 1)):
        raise BrokenImage("This JPEG is drawn in too many passes. Save it again as an ordinary JPEG and send that.")
    return 2 * samples


def _scans(file: BinaryIO, start: int, size: int) -> int:
    """How many scans begin from `start` on, counted no further than is too many."""
    scans = markers = 0
    at = start
    while at < size and markers < SEGMENTS:
        file.seek(at)
        chunk = file.read(65536)
        found = SCAN_END.search(chunk)
        if found is None:
            at += max(len(chunk) - 1, 1)  # a marker may lie across the edge
            continue
        markers += 1
        marker = chunk[found.start() + 1]
        scans += marker == SOS
        if marker == EOI or scans > SCANS:
            return scans
        file.seek(at + found.end())
        length = 0 if marker in ALONE else max(2, int.from_bytes(file.read(2), "big"))
        at += found.end() + length
    if markers == SEGMENTS:
        raise Damaged("too many segments")
    return scans
