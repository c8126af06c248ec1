"""The files of one request, all of them in a single temporary file.

Django gives each a file of its own, or up to 64 kB of memory: a thousand would be more than a process may open, or
64 MB of a small server.
"""

from __future__ import annotations

import io
import os
import tempfile
from typing import BinaryIO

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest


class Part(io.RawIOBase):
    """A piece of a file, read-only, wherever its other readers are."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file, self.start, self.size, self.place = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("negative place in a file")
        self.place = base + offset
        return self.place

    def readinto(self, buffer: memoryview) -> int:
        wanted = max(0, min(len(buffer), self.size - self.place))
        data = os.pread(self.file.fileno(), wanted, self.start + self.place)
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)


class PackedUploads(FileUploadHandler):
    """One after the other into one file, which goes with the last of them."""

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self.packed: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (closed with its last part)
        self.start = self.end = 0

    def new_file(self, *args: object, **kwargs: object) -> None:
        super().new_file(*args, **kwargs)
        self.start = self.end

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.end += self.packed.write(raw_data)

    def file_complete(self, file_size: int) -> UploadedFile:
        self.packed.flush()
        part = Part(self.packed, self.start, file_size)
        return UploadedFile(io.BufferedReader(part), self.file_name, self.content_type, file_size, self.charset)
