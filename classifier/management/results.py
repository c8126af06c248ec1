"""What `classify` writes, a picture at a time: a table, JSON lines or CSV; and going on where a run stopped.

An entry is a whole number of lines, and names are escaped, so that what a killed process left unfinished can be told.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from classifier.engine import Answer
from classifier.http.exports import cell_safe
from classifier.services.finding import name_escaped


@dataclass(frozen=True)
class Run:
    """What all entries of an output have in common: nothing is added to those of another run."""

    model: str
    precision: str
    label_set: str
    digest: str  # of weights, precision, labels, templates and top
    top: int  # predictions of each picture

    @property
    def facts(self) -> dict[str, str]:
        return {"model": self.model, "precision": self.precision, "label_set": self.label_set, "run": self.digest}


@dataclass(frozen=True)
class Entry:
    """One picture's lines in an output that is there already."""

    text: str
    key: str = ""  # as `Format.key` makes it of a name
    run: str = ""
    failed: bool = False


class Format:
    """How entries look. `entries` reads what `entry` wrote, and leaves out what is cut off at the end."""

    ending: ClassVar[str]
    encoding: ClassVar[str] = "utf-8"

    def __init__(self, run: Run) -> None:
        self.run = run

    def head(self) -> str:
        return ""

    def key(self, name: str) -> str:
        return name_escaped(name)

    def entry(self, name: str, answer: Answer | None, error: str) -> str:
        raise NotImplementedError

    def entries(self, lines: Iterable[str]) -> Iterator[Entry]:
        raise NotImplementedError


class JsonLines(Format):
    ending = ".jsonl"

    def entry(self, name: str, answer: Answer | None, error: str) -> str:
        record: dict[str, Any] = {"path": self.key(name), **self.run.facts}
        if answer is None:
            return json.dumps(record | {"error": error}) + "\n"
        record["predictions"] = [
            {"rank": p.rank, "label": p.label, "index": p.index, "score": p.score, "similarity": p.similarity}
            for p in answer.predictions
        ]
        return json.dumps(record) + "\n"

    def entries(self, lines: Iterable[str]) -> Iterator[Entry]:
        for line in lines:
            try:
                record = json.loads(line)
                found = Entry(line, record["path"], record["run"], "error" in record)
            except (ValueError, KeyError, TypeError):
                found = Entry(line)
            begun = '{"path": '.startswith(line[:9])
            if line.endswith("\n") or not begun:
                yield found


class Csv(Format):
    """For spreadsheets: all cells quoted, none of them a formula."""

    ending, encoding = ".csv", "utf-8-sig"

    def head(self) -> str:
        ranks = range(1, self.run.top + 1)
        predictions = [f"{what}_{rank}" for rank in ranks for what in ("label", "index", "score", "similarity")]
        return self.line(["path", "error", *self.run.facts, *predictions])

    def key(self, name: str) -> str:
        return str(cell_safe(name_escaped(name)))

    def entry(self, name: str, answer: Answer | None, error: str) -> str:
        cells: list[Any] = [name_escaped(name), error, *self.run.facts.values()]
        for p in answer.predictions if answer else ():
            cells += [p.label, p.index, p.score, p.similarity]
        return self.line(cells)

    def line(self, cells: Iterable[Any]) -> str:
        stream = io.StringIO()
        csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(map(cell_safe, cells))
        return stream.getvalue()

    def entries(self, lines: Iterable[str]) -> Iterator[Entry]:
        for number, line in enumerate(lines):
            if number and line.endswith("\n"):
                cells = [*next(csv.reader([line])), *[""] * 6]
                yield Entry(line, cells[0], cells[5], failed=cells[1] != "")


class Table(Format):
    """For people: the name, and a line for each label."""

    ending = ".txt"

    def head(self) -> str:
        return f"# {' '.join(self.run.facts.values())}\n"

    def key(self, name: str) -> str:
        name = name_escaped(name)
        return f"\\x{ord(name[0]):x}{name[1:]}" if name[:1] in (" ", "#") else name

    def entry(self, name: str, answer: Answer | None, error: str) -> str:
        lines = [f"  {100 * p.score:5.1f} %  {p.label}" for p in answer.predictions] if answer else [f"  !  {error}"]
        return "\n".join([self.key(name), *lines, ""])

    def entries(self, lines: Iterable[str]) -> Iterator[Entry]:
        run, held = "", []
        for line in lines:
            if line.startswith("#"):
                run = line.split()[-1]
            elif line.startswith("  ") and held and line.endswith("\n"):
                held.append(line)
                failed = line.startswith("  !  ")
                if failed or len(held) == 1 + self.run.top:
                    yield Entry("".join(held), held[0].rstrip("\n"), run, failed)
                    held = []
            else:
                held = [line]


FORMATS: dict[str, type[Format]] = {"table": Table, "jsonl": JsonLines, "csv": Csv}


def format_of(path: Path) -> str:
    """The format that a file's ending means; JSON lines where it means none."""
    return next((name for name, kind in FORMATS.items() if kind.ending == path.suffix.lower()), "jsonl")


def output_continue(path: Path, form: Format) -> set[str]:
    """The keys of what is in `path`, from which failures and what was cut off are taken out, to be tried again.

    Raises ValueError where it holds anything else than this run's entries.
    """
    keys: set[str] = set()
    with path.open(encoding=form.encoding, newline="\n") as old:
        if form.head() and not form.head().startswith(old.readline()):
            raise ValueError(path)
    rest = path.with_name(f".{path.name}.part")
    with path.open(encoding=form.encoding, newline="\n") as old, rest.open("w", encoding=form.encoding) as new:
        new.write(form.head())
        for entry in form.entries(old):
            if entry.run != form.run.digest:
                rest.unlink()
                raise ValueError(entry.run)
            if not entry.failed:
                keys.add(entry.key)
                new.write(entry.text)
    rest.replace(path)
    return keys
