"""What is to be done, in the pieces that a machine takes at a time and that a run which was stopped goes on with.

A group is a WebDataset tar, or files by name. It becomes one output shard, which is whole or not there. No Django.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from classifier.services.bulk import Source, file_open
from classifier.services.finding import Finder, name_escaped
from classifier.services.remote import addresses_found, files_of, is_address, reason_of, sources_fetched
from classifier.services.shards import Earlier, Facts
from classifier.services.tars import ENDING, tar_sources


@dataclass(frozen=True)
class Group:
    """Files by `names`, as they were asked for or found; or one archive's."""

    number: int
    names: tuple[str, ...]
    folder: str  # where relative names begin
    asked: bool = True
    archive: bool = False

    @property
    def title(self) -> str:
        """For a person."""
        first = name_escaped(self.names[0])
        return first if len(self.names) == 1 else f"{first} and {len(self.names) - 1:,} more"

    @property
    def facts(self) -> Facts:
        """To be told of its shard: an archive's pictures are not to be looked for by name."""
        return {"archive": name_escaped(self.names[0])} if self.archive else {}

    def sources(self) -> Iterator[Source]:
        """Raises OSError where an archive cannot be opened, and whatever its store raises."""
        if self.archive:
            [name] = self.names
            files, path = files_of(self._place(name))
            with files.open(path, "rb") as file:
                yield from tar_sources(file, name)
        else:
            for remote, names in itertools.groupby(self.names, is_address):
                if remote:
                    yield from sources_fetched(list(names), asked=self.asked)
                else:
                    yield from (Source(name, partial(file_open, self._place(name)), self.asked) for name in names)

    def _place(self, name: str) -> str:
        return name if is_address(name) else os.path.join(self.folder, name)


@dataclass
class Listing:
    """The files that `paths` and addresses name, and those in the folders among them.

    Making groups fills `unreadable` (folder, why), counts what is hidden, and what earlier runs did and failed at.
    """

    paths: Sequence[str]
    rows: int  # files of a group that is no archive
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0
    before: int = 0
    failed_before: int = 0
    total: int = 0

    def groups(self, earlier: Earlier) -> list[Group]:
        """What is left to do, each with the number of a shard that is not there. Raises PackageMissing."""
        numbers, folder = earlier.free(), os.getcwd()
        archives = {facts["archive"]: facts for facts in earlier.facts if "archive" in facts}
        found = []
        for (archive, asked), names in _runs(self._files()):
            if archive:
                left = (name for name in names if not self._archive_done(archives.get(name_escaped(name))))
            else:
                left = (name for name in names if not self._file_done(name_escaped(name), earlier))
            while group := tuple(itertools.islice(left, 1 if archive else self.rows)):
                found.append(Group(next(numbers), group, folder, asked, archive))
        counted = not any(group.archive for group in found)
        self.total = self.before + self.failed_before + sum(len(group.names) for group in found) if counted else 0
        return found

    def count(self) -> int:
        """How many files there are; 0 where archives hold more that nobody has counted."""
        return self.total

    def _files(self) -> Iterator[tuple[str, bool]]:
        """Each with whether it was asked for by name."""
        for remote, paths in itertools.groupby(self.paths, is_address):
            if remote:
                yield from itertools.chain.from_iterable(map(self._addresses, paths))
                continue
            finder = Finder(list(paths))
            yield from ((source.name, source.asked) for source in finder)
            self.unreadable += finder.unreadable
            self.hidden += finder.hidden

    def _addresses(self, place: str) -> list[tuple[str, bool]]:
        try:
            names, hidden = addresses_found(place)
        except OSError as error:
            self.unreadable.append((place, reason_of(error)))
            return []
        self.hidden += hidden
        return [(name, name == place) for name in names]

    def _archive_done(self, facts: Facts | None) -> bool:
        if facts is None:
            return False
        self.before += int(str(facts["done"]))
        self.failed_before += int(str(facts["failed"]))
        return True

    def _file_done(self, name: str, earlier: Earlier) -> bool:
        failed = name in earlier.failed
        done = not failed and name in earlier.done
        self.failed_before += failed
        self.before += done
        return failed or done


def _runs(files: Iterable[tuple[str, bool]]) -> Iterator[tuple[tuple[bool, bool], Iterator[str]]]:
    """Names that are treated alike, as long as they follow one another: (archive, asked), names."""
    for kind, run in itertools.groupby(files, lambda file: (file[0].lower().endswith(ENDING), file[1])):
        yield kind, (name for name, _ in run)
