"""Accuracy over pictures whose classes are known: counts, intervals, confusions, how far models agree."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.errors import LabelError
from classifier.services.bulk import Result, Source, file_open
from classifier.services.finding import Finder

if TYPE_CHECKING:
    from classifier.engine import Answer, Head

TOP = 5


@dataclass(frozen=True)
class Graded:
    """One picture: its class and what it was taken for, as places in the head; the second of two that are one text
    counts as the first."""

    name: str
    truth: int
    taken: tuple[int, ...]
    score: float  # of the likeliest
    apart: tuple[bool, bool]  # whether right by top-1 and top-5 where the two are counted apart


@dataclass
class Grades:
    """What one model made of all pictures."""

    head: Head
    graded: list[Graded] = field(default_factory=list)

    def __post_init__(self) -> None:
        labels = self.head.labels
        self._first = {second: first for first, second in self.head.doubles}
        self._places = {labels[place]: place for place in reversed(range(len(labels)))}

    def add(self, result: Result[Answer], truth: int) -> None:
        answer = result.value
        assert answer is not None
        taken = tuple(self._places[found.label] for found in answer.predictions)
        grade = self._first.get(truth, truth)
        apart = self._apart(answer, truth) if self._first else (taken[0] == grade, grade in taken)
        self.graded.append(Graded(result.source.name, grade, taken, answer.predictions[0].score, apart))

    def _apart(self, answer: Answer, truth: int) -> tuple[bool, bool]:
        import numpy as np

        if answer.embedding is None:  # the stand-in's
            return truth == self._places[answer.predictions[0].label], False
        order = np.argsort(-(self.head.weights @ answer.embedding), kind="stable")[:TOP]
        return bool(order[0] == truth), bool((order == truth).any())

    @property
    def count(self) -> int:
        return len(self.graded)

    def right(self, top: int) -> int:
        return sum(each.truth in each.taken[:top] for each in self.graded)

    def right_apart(self) -> tuple[int, int]:
        return sum(each.apart[0] for each in self.graded), sum(each.apart[1] for each in self.graded)

    @property
    def doubles_seen(self) -> bool:
        """Whether there are pictures of classes that are one text to CLIP."""
        firsts = {first for first, _ in self.head.doubles}
        return any(each.truth in firsts for each in self.graded)

    def classes(self) -> dict[int, Counter[int]]:
        """For each class what its pictures were taken for."""
        found: dict[int, Counter[int]] = {}
        for each in self.graded:
            found.setdefault(each.truth, Counter())[each.taken[0]] += 1
        return found

    def mean_per_class(self) -> float:
        classes = self.classes()
        return sum(taken[truth] / taken.total() for truth, taken in classes.items()) / len(classes)

    def worst(self, most: int) -> list[tuple[str, float, int, list[tuple[str, int]]]]:
        """(label, share that was right, pictures, what they were taken for) of the classes with errors."""
        shares = [(taken[truth] / taken.total(), truth, taken) for truth, taken in self.classes().items()]
        shares.sort(key=lambda each: (each[0], each[1]))
        label = self.head.labels
        return [
            (label[truth], share, taken.total(), [(label[k], n) for k, n in taken.most_common(3)])
            for share, truth, taken in shares[:most]
            if share < 1
        ]

    def confusions(self, most: int) -> list[tuple[str, str, int, int]]:
        """(class, taken for, how often, of how many), the most frequent first."""
        found = [(n, truth, k) for truth, taken in self.classes().items() for k, n in taken.items() if k != truth]
        found.sort(key=lambda each: (-each[0], each[1:]))
        totals = {truth: taken.total() for truth, taken in self.classes().items()}
        label = self.head.labels
        return [(label[truth], label[k], n, totals[truth]) for n, truth, k in found[:most]]

    def wrong(self, most: int) -> list[Graded]:
        """The pictures that went wrong, the surest first."""
        return sorted((g for g in self.graded if g.taken[0] != g.truth), key=lambda each: -each.score)[:most]


def agreement(one: Grades, other: Grades) -> float:
    """The share of the pictures that both took for the same; by label, since heads may differ."""
    said = {each.name: one.head.labels[each.taken[0]] for each in one.graded}
    both = [each for each in other.graded if each.name in said]
    same = sum(said[each.name] == other.head.labels[each.taken[0]] for each in both)
    return same / len(both) if both else math.nan


# --- Pictures and the names of their classes ------------------------------------------------------------------------


@dataclass
class Labelled:
    """Pictures with the name of each one's class. Iterating gives sources; `names` has what was seen so far."""

    folders: dict[str, str] = field(default_factory=dict)  # class name -> its folder
    rows: list[tuple[str, str]] = field(default_factory=list)  # (path, class name)
    names: dict[str, str] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    hidden: int = 0

    def classes(self) -> list[str]:
        return list(self.folders) or list(dict.fromkeys(name for _, name in self.rows))

    def count(self) -> int:
        return len(self.rows) + Finder(list(self.folders.values())).count()

    def __iter__(self) -> Iterator[Source]:
        for path, name in self.rows:
            self.names[path] = name
            yield Source(path, partial(file_open, path))
        self.unreadable, self.hidden = [], 0
        for name, folder in self.folders.items():
            finder = Finder([folder])
            for source in finder:
                self.names[source.name] = name
                yield source
            self.unreadable += finder.unreadable
            self.hidden += finder.hidden


def labelled_folders(directory: Path) -> Labelled:
    """A folder per class. Raises LabelError where there is none; hidden ones and empty ones are passed over."""
    with os.scandir(directory) as found:
        entries = sorted((each for each in found if not each.name.startswith(".")), key=lambda each: each.name)
    folders = {entry.name: entry.path for entry in entries if entry.is_dir() and not _empty(entry.path)}
    if not folders:
        flat = " It has files: put those of a class into a folder, or name path and label of each in a CSV file."
        raise LabelError(f"{directory} has no folders; it needs one for each class.{flat if entries else ''}")
    return Labelled(folders=folders)


def _empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as found:
            return next(found, None) is None
    except OSError:  # told when it is looked into
        return False


def labelled_csv(path: Path) -> Labelled:
    """Rows of path and label, relative to the file's folder; a first row that names the columns is passed over."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and [cell.strip().casefold() for cell in rows[0][:2]] == ["path", "label"]:
        rows = rows[1:]
    short = [number for number, row in enumerate(rows, start=1) if len(row) < 2]
    if short or not rows:
        which = f"; row {short[0]} has no label." if short else "."
        raise LabelError(f"{path} needs rows of path and label, parted by a comma{which}")
    return Labelled(rows=[(os.path.join(path.parent, row[0].strip()), row[1].strip()) for row in rows])
