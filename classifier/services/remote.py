"""Files by path or by address, through fsspec: s3://, gs:// and what else it knows, and the local disk. No Django."""

from __future__ import annotations

import errno
import io
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from classifier.errors import ImageTooLarge, PackageMissing
from classifier.services.bulk import Source

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MAGIC = re.compile(r"[*?\[]")
AT_ONCE = 64  # files that are asked for at one time: over a network each takes far longer to come than to compute
HELD_BYTES = 100_000_000  # of a file that is held in memory, since it came over a network or lay in an archive


class Files(Protocol):
    """What is asked of an fsspec file system."""

    def open(self, path: str, mode: str = ...) -> AbstractContextManager[BinaryIO]: ...
    def ls(self, path: str, detail: bool) -> list[str]: ...
    def find(self, path: str) -> list[str]: ...
    def glob(self, path: str) -> list[str]: ...
    def isdir(self, path: str) -> bool: ...
    def makedirs(self, path: str, exist_ok: bool) -> None: ...
    def mv(self, path1: str, path2: str) -> None: ...
    def rm_file(self, path: str) -> None: ...
    def unstrip_protocol(self, name: str) -> str: ...
    def cat_ranges(
        self, paths: list[str], starts: list[int], ends: list[int], *, on_error: str
    ) -> list[bytes | Exception]: ...


def is_address(place: str) -> bool:
    """Whether it is s3://bucket/folder and the like; all else is a path."""
    return ADDRESS.match(place) is not None


def files_of(place: str) -> tuple[Files, str]:
    """The file system that a place is on, and its path there. Raises PackageMissing."""
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    if not is_address(place):
        return LocalFileSystem(), os.path.abspath(place)  # as it is: to fsspec "::" in a name would mean something
    try:
        files, path = url_to_fs(place)
    except (ImportError, ValueError) as error:  # its package is not there, or nobody knows such addresses
        raise PackageMissing(
            f"{place}: {error}. For s3:// and gs:// run: pip install -r requirements-ray.txt"
        ) from error
    return files, path


class Folder:
    """A folder that a run writes into, on a disk or in a bucket."""

    def __init__(self, place: str | Path) -> None:
        self.place = str(place)
        self.files, self.root = files_of(self.place)

    def write(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Whole or not at all, whoever else writes the same: into a file of another name, which is then renamed."""
        path, part = self._path(name), self._path(f"{name}.{uuid.uuid4().hex[:8]}.part")
        self.files.makedirs(os.path.dirname(path), exist_ok=True)
        with self.files.open(part, "wb") as file:
            write(file)
        self.files.mv(part, path)

    def open(self, name: str) -> AbstractContextManager[BinaryIO]:
        return self.files.open(self._path(name), "rb")

    def read(self, name: str) -> bytes | None:
        """None where there is no such file."""
        try:
            with self.open(name) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """What is in a folder of this one, by names as `open` takes them."""
        try:
            return [f"{folder}/{os.path.basename(path)}" for path in self.files.ls(self._path(folder), detail=False)]
        except FileNotFoundError:
            return []

    def remove(self, name: str) -> None:
        self.files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"


def addresses_found(place: str) -> tuple[list[str], int]:
    """The files at an address, those of a folder or of a pattern in order, and how many more are hidden.

    What is neither there nor a folder is left for who opens it. Raises PackageMissing, OSError.
    """
    files, root = files_of(place)
    if MAGIC.search(root):
        paths = sorted(path for path in files.glob(root) if not files.isdir(path))
        if not paths:
            raise FileNotFoundError(errno.ENOENT, "Nothing is called so", place)
    elif files.isdir(root):
        paths = files.find(root)
    else:
        return [place], 0
    shown = [files.unstrip_protocol(path) for path in paths if not path_hidden(path.removeprefix(root))]
    return shown, len(paths) - len(shown)


def path_hidden(path: str) -> bool:
    """Whether programs hide it in what people pack and send: dot files, __MACOSX, Thumbs.db."""
    parts = path.replace("\\", "/").split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts) or (
        parts[-1].lower() in ("thumbs.db", "desktop.ini")
    )


def sources_fetched(names: Sequence[str], *, asked: bool) -> Iterator[Source]:
    """Files at addresses, many of which come at one time."""
    for first in range(0, len(names), AT_ONCE):
        group = names[first : first + AT_ONCE]
        for name, found in zip(group, _fetch(group), strict=True):
            yield Source(name, partial(held_open, found), asked)


def _fetch(names: Sequence[str]) -> list[bytes | Exception]:
    files, _ = files_of(names[0])
    paths = [files_of(name)[1] for name in names]
    return files.cat_ranges(paths, [0] * len(paths), [HELD_BYTES + 1] * len(paths), on_error="return")


def reason_of(error: Exception) -> str:
    """What a store raised, in a sentence."""
    if isinstance(error, FileNotFoundError):  # some say the path only
        return f"{os.strerror(errno.ENOENT)}."
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{said.rstrip('.')}."


def held_open(found: bytes | Exception) -> BinaryIO:
    """What came of a file, as a file. Raises OSError where nothing did, and ImageTooLarge."""
    if isinstance(found, Exception):
        raise OSError(reason_of(found).rstrip(".")) from found
    if len(found) > HELD_BYTES:
        raise ImageTooLarge.of(len(found), HELD_BYTES)
    return io.BytesIO(found)
