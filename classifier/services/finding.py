"""Pictures in folders: every file that may be one, in order, each folder once however many links lead to it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from classifier.services.bulk import Source, file_open

STDIN = "-"
PASSED_OVER = frozenset(("__MACOSX",))  # beside what begins with a dot, Finder's "._photo.jpg" among it


@dataclass
class Finder:
    """The files that `paths` name, and those in the folders among them, sorted; whether they are pictures shows when
    they are opened. Iterating fills `unreadable` (folder, why) and counts what is hidden."""

    paths: Sequence[str]
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def __iter__(self) -> Iterator[Source]:
        for path in self.paths:
            if os.path.isdir(path):
                yield from self._folder(path)
            else:
                yield Source(path, partial(file_open, path))

    def count(self) -> int:
        """How many files there will be: walks the folders once more."""
        return sum(1 for _ in Finder(self.paths))

    def _folder(self, folder: str) -> Iterator[Source]:
        try:
            state = os.stat(folder)
            if (state.st_dev, state.st_ino) in self._seen:
                return
            self._seen.add((state.st_dev, state.st_ino))
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            self.unreadable.append((folder, f"{error.strerror or error}."))
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name in PASSED_OVER:
                self.hidden += 1
            elif _is_folder(entry):
                yield from self._folder(entry.path)
            elif _may_be_read(entry):
                yield Source(entry.path, partial(file_open, entry.path), asked=False)
            else:
                self.hidden += 1


def paths_listed(source: str) -> list[str]:
    """The paths in a file, or on stdin where that is "-": one a line, or separated by NUL as `find -print0` does."""
    data = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
    pieces = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(piece) for piece in pieces if piece.strip()]


def paths_expanded(paths: Iterable[str]) -> list[str]:
    """Each path, and in place of "-" those that stdin lists."""
    return [each for path in paths for each in (paths_listed(STDIN) if path == STDIN else [path])]


def name_escaped(name: str) -> str:
    r"""A path as text that can be printed and stored: what is not UTF-8 as \xe9, control characters as \n."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    """A file or a link to one, also to one that is gone, which is told; pipes, sockets and devices are left alone."""
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return True
