"""WebP (RFC 9649): the chunks that hold the picture, of an animation those of the first frame."""

from __future__ import annotations

from typing import BinaryIO

from classifier.pictures.containers.parts import Bare, Damaged, Stream

CHUNKS = 20_000
EXIF = 65_536  # bytes looked at
ANIMATED, ALPHA = 0x02, 0x10  # flags of VP8X


def bare(file: BinaryIO, size: int) -> Bare:
    """The picture without colour profile and metadata; an animation is cut after its first frame."""
    kept: dict[bytes, list[bytes | range]] = {}
    exif = b""
    at = 12
    for _ in range(CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return Bare(_riff(file, kept), exif, extra=size)  # libwebp takes the file in one piece
        kind, length = header[:4], int.from_bytes(header[4:], "little")
        body = range(at + 8, min(at + 8 + length + length % 2, size))
        if kind == b"VP8X" and 10 <= length <= 1024:
            data = file.read(length)
            kept.setdefault(kind, [header, bytes((data[0] & (ANIMATED | ALPHA),)) + data[1:]])
        elif kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            kept.setdefault(kind, [header, body])
        elif kind == b"EXIF" and not exif:
            exif = file.read(min(length, EXIF))
        at += 8 + length + length % 2
    raise Damaged("too many chunks")


def _riff(file: BinaryIO, kept: dict[bytes, list[bytes | range]]) -> BinaryIO:
    pieces = [piece for chunk in kept.values() for piece in chunk]
    length = 4 + sum(map(len, pieces))
    return Stream(file, [b"RIFF" + length.to_bytes(4, "little") + b"WEBP", *pieces])
