"""Pictures out of a ZIP archive that nobody vouches for: no bombs, and no paths.

Nothing is unpacked to the disk, and names are names only. How much memory the list of entries takes is known before it
is read; what an entry says of its size is not believed, but counted.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from classifier.errors import ArchiveError, ImageTooLarge, MissingImage
from classifier.services.remote import path_hidden

DIRECTORY_BYTES = 1_000_000  # of the list of entries; a thousand long names are half of that
DIRECTORY = 5  # where zipfile's end record has the size of the list
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others take more memory, and no program that packs pictures asks
ENCRYPTED = 0x1  # of the flags


@dataclass(frozen=True)
class Given:
    """A picture as it was sent: its bytes, or the sentence that says why they are of no use."""

    name: str
    data: bytes
    error: str = ""


def archive_entries(file: BinaryIO, *, most: int) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """The entries that may be pictures, in their order. Raises `ArchiveError`, and `MissingImage` where there are none.

    Folders are passed over, and what programs hide in them: dot files, `__MACOSX`, `Thumbs.db`.
    """
    try:
        # The very record that ZipFile will follow, ZIP64's included, to read as long a list as that says.
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        if end and end[DIRECTORY] > DIRECTORY_BYTES:
            raise ArchiveError(f"This archive lists too many files; send {most:,} pictures at most.")
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeError) as error:
        raise ArchiveError("This is not a ZIP archive, or it is damaged.") from error
    entries = [entry for entry in archive.infolist() if not (entry.is_dir() or path_hidden(entry.filename))]
    if len(entries) > most:
        raise ArchiveError(f"This archive has {len(entries):,} files; send {most:,} pictures at most.")
    if not entries:
        raise MissingImage("There is no picture in this archive.")
    return archive, entries


def archive_read(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], *, max_bytes: int) -> Iterator[Given]:
    """Each entry's bytes, one at a time; `max_bytes` is the most of any."""
    for entry in entries:
        name = _basename(entry.filename)
        if entry.flag_bits & ENCRYPTED:
            yield Given(name, b"", "This file is encrypted.")
        elif entry.compress_type not in METHODS:
            yield Given(name, b"", "This file is packed in a way that is not read; use plain ZIP.")
        else:
            yield _read(archive, entry, name, max_bytes)


def archive_size(entries: list[zipfile.ZipInfo], *, max_bytes: int) -> int:
    """Bytes that the pictures will have unpacked, at most: no entry is read further than it says that it goes."""
    return sum(entry.file_size for entry in entries if entry.file_size <= max_bytes)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, max_bytes: int) -> Given:
    if entry.file_size > max_bytes:
        return Given(name, b"", str(ImageTooLarge.of(entry.file_size, max_bytes)))
    try:
        with archive.open(entry) as file:
            data = file.read(max_bytes + 1)
            if len(data) > max_bytes:
                return Given(name, b"", str(ImageTooLarge.of(max(entry.file_size, len(data)), max_bytes)))
            file.read(1)  # the end, where the sum is checked
        return Given(name, data)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError):
        return Given(name, b"", "This file is damaged inside the archive.")


def _basename(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
