"""A read-only file put together from bytes and from stretches of another file, without copying those."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Damaged(ValueError):
    """The file does not hold together, or is made to be slow or large to read."""


@dataclass(frozen=True)
class Bare:
    """A picture file with nothing but what its pixels need."""

    stream: BinaryIO
    exif: bytes = b""
    extra: int = 0  # bytes of memory that decoding takes beside the pixels


class Parts(io.RawIOBase):
    """`pieces` one after the other; a `range` stands for these bytes of `file`."""

    def __init__(self, file: BinaryIO, pieces: Sequence[bytes | range]) -> None:
        self._file = file
        self._pieces = [piece for piece in pieces if len(piece)]
        self._size = sum(map(len, self._pieces))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        target, at = memoryview(buffer).cast("B"), self._at
        for piece in self._pieces:
            if at < len(piece):
                data = self._stretch(piece, at, len(target))
                target[: len(data)] = data
                self._at += len(data)
                return len(data)
            at -= len(piece)
        return 0

    def _stretch(self, piece: bytes | range, at: int, length: int) -> bytes:
        part = piece[at : at + length]
        if isinstance(part, bytes):
            return part
        self._file.seek(part.start)
        return self._file.read(len(part))


class Stream(io.BufferedReader):
    """`Parts` with a buffer that never sets memory aside for more bytes than there are, whatever a file announces."""

    def __init__(self, file: BinaryIO, pieces: Sequence[bytes | range]) -> None:
        self._size = sum(map(len, pieces))
        super().__init__(Parts(file, pieces), buffer_size=65536)

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None else min(size, self._size))


def exactly(file: BinaryIO, length: int) -> bytes:
    """The next `length` bytes; raises `Damaged` where there are fewer."""
    data = file.read(length) if length >= 0 else b""
    if len(data) != length:
        raise Damaged("the file ends too early")
    return data
