"""Pictures out of WebDataset's tar files, read from the first byte to the last, as a network gives them. No Django.

Nothing is unpacked to the disk; a name is a name only, and what is neither a file nor shown (links, devices, folders,
dot files) is passed over. Which of the files are pictures shows when they are read, as in a folder.

https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from classifier.errors import BrokenImage
from classifier.services.bulk import Source
from classifier.services.remote import HELD_BYTES, held_open, path_hidden

ENDING = ".tar"
HEADER_BYTES = 1_000_000  # of a long name or of attributes, which tarfile reads into memory
HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class Member(tarfile.TarInfo):
    """Where the headers are damaged or cut off, tarfile takes what it has for the whole archive; this says so."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Member:
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from error

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in HEADERS and self.size > HEADER_BYTES:
            raise tarfile.ReadError("a header is too large")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


def tar_sources(file: BinaryIO, name: str) -> Iterator[Source]:
    """Each file, named NAME/PATH. Where the archive is damaged, that is the last one's error."""
    try:
        with tarfile.open(fileobj=file, mode="r|", tarinfo=Member) as archive:
            while member := archive.next():
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if member.isreg() and not path_hidden(member.name):
                    found = _read(archive, member)
                    yield Source(f"{name}/{member.name}", partial(held_open, found), asked=False)
    except (tarfile.TarError, ValueError, RecursionError):  # the last of headers that hold on to headers
        yield Source(name, _damaged)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    assert content is not None  # it is a file
    return content.read(HELD_BYTES + 1)


def _damaged() -> BinaryIO:
    raise BrokenImage("This archive is damaged or cut short; what came before that was read.")
