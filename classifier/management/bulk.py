"""What the commands over many pictures share: their arguments, progress, the line at the end, and quiet ways out."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.capacity.room import for_own_files
from classifier.engine.progress import StepBars, bar
from classifier.errors import ClassifierError, LabelError
from classifier.management.terminal import step_bars, stream_of
from classifier.services import bulk, heads
from classifier.services.evaluation import Labelled
from classifier.services.finding import Finder, name_escaped, paths_expanded, paths_listed
from classifier.services.groups import Listing
from classifier.services.label_sets import choice_make
from classifier.services.labels import DEFAULT_TEMPLATE, set_labels_from_text, templates_check, text_from_bytes
from classifier.services.shards import ROWS

SOME_FAILED, NOTHING_DONE, INTERRUPTED = 1, 2, 130  # exit statuses; the last as of what SIGINT ends


def nothing_done(message: str) -> CommandError:
    """To raise where a run could not begin, or there was nothing to do."""
    return CommandError(message, returncode=NOTHING_DONE)


class BulkCommand(BaseCommand):
    """A command over files of one's own: pictures may be as large as memory allows, whatever pages take.

    It may take hours and is stopped by Ctrl-C: what was written stays, and no traceback hides it.
    """

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            with for_own_files():
                return super().execute(*args, **options)
        except KeyboardInterrupt:
            raise CommandError("Interrupted; run it again to go on.", returncode=INTERRUPTED) from None


def paths_add(parser: CommandParser) -> None:
    parser.add_argument("path", nargs="*", help="files and folders; - reads paths from stdin")
    parser.add_argument("--files-from", metavar="FILE", help="a list of paths, one a line or parted by NUL; -: stdin")


def labels_add(parser: CommandParser) -> None:
    parser.add_argument("--labels", help="labels to choose from instead of ImageNet's, by commas; @FILE: one a line")
    parser.add_argument("--label-set", metavar="NAME", help="the labels of a saved set")
    parser.add_argument(
        "--template", action="append", help=f"a prompt around each of --labels; may be repeated ({DEFAULT_TEMPLATE})"
    )


def shard_add(parser: CommandParser) -> None:
    parser.add_argument(
        "--shard", type=positive, default=ROWS, help=f"pictures in a file of embeddings, or of --ray ({ROWS:,})"
    )


def positive(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 on.")
    return int(text)


def finder_make(options: dict[str, Any]) -> Finder:
    """What to look at. Raises CommandError."""
    return Finder(paths_of_options(options))


def paths_of_options(options: dict[str, Any]) -> list[str]:
    """Files and folders, as they were named. Raises CommandError."""
    try:
        listed = paths_listed(options["files_from"]) if options["files_from"] else []
    except OSError as error:
        raise nothing_done(f"{options['files_from']}: {error.strerror}.") from error
    paths = [*paths_expanded(options["path"]), *listed]
    if not paths:
        raise nothing_done("Name files or folders, or a list of them by --files-from.")
    return paths


def choice_of_options(options: dict[str, Any]) -> heads.Choice:
    """The labels that --labels, --label-set and --template ask for. Raises LabelError."""
    labels, templates = options["labels"], options["template"]
    if not labels or options["label_set"]:
        return choice_make(labels=labels, template=(templates or [None])[0], label_set=options["label_set"])
    if labels.startswith("@"):
        try:
            with open(labels[1:], "rb") as file:
                labels = text_from_bytes(file.read())
        except OSError as error:
            raise LabelError(f"{labels[1:]}: {error.strerror}.") from error
    return heads.choice_of_labels(set_labels_from_text(labels), templates_check(templates or [DEFAULT_TEMPLATE]))


@contextmanager
def beginning(stderr: Any) -> Iterator[StepBars]:
    """Whatever is wrong before the first picture ends the command; what it yields shows how far heads have come."""
    try:
        bulk.torch_threads(bulk.cores())  # heads are computed by this thread
        with step_bars(stderr) as steps:
            yield steps
    except ClassifierError as error:
        raise nothing_done(str(error)) from error


def digest_of(*parts: Any) -> str:
    """A few digits that differ where any of the parts do."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class Watch:
    """Follows a run over files: the bar, what went wrong, and the line at the end. All to stderr."""

    def __init__(self, finder: Finder | Labelled | Listing, verb: str, stderr: Any) -> None:
        self.finder, self.verb, self.stderr = finder, verb, stderr
        self.tally, self.before = bulk.Tally(), 0  # files that an earlier run has done
        self.started, self.processor = time.monotonic(), time.process_time()
        self.bar = bar(stream_of(stderr), unit=" pictures", smoothing=0.05)
        if not self.bar.disable:
            threading.Thread(target=self.count, daemon=True).start()

    def count(self) -> None:
        self.bar.total = self.finder.count() or None

    def over(self, results: Iterable[bulk.Result[Any]]) -> Iterator[bulk.Result[Any]]:
        """The results that are no longer to be passed over; failures are told."""
        for result in results:
            self.tally.add(result)
            self.bar.update()
            if result.error:
                self.tell(f"{name_escaped(result.source.name)}: {result.error}")
            if not result.passed_over:
                yield result

    def left(self, done: Callable[[str], bool]) -> Iterator[bulk.Source]:
        """The sources without what an earlier run has done."""
        for source in self.finder:
            if done(source.name):
                self.before += 1
                self.bar.update()
            else:
                yield source

    def tell(self, line: str) -> None:
        with self.bar.external_write_mode(file=sys.stderr):
            self.stderr.write(line)

    def end(self) -> None:
        """The last line, and the exit status by SystemExit where it is not 0."""
        status = self.close()
        if status:
            raise SystemExit(status)
        if not self.tally.done + self.before:
            raise nothing_done("No pictures there.")

    def close(self) -> int:
        """The last line; returns the exit status."""
        self.bar.close()
        self.seconds = time.monotonic() - self.started
        for folder, reason in self.finder.unreadable:
            self.stderr.write(f"{name_escaped(folder)}: {reason}")
        tally, failed = self.tally, self.tally.failed + len(self.finder.unreadable)
        passed_over = tally.passed_over + self.finder.hidden
        earlier = f", {self.before:,} before" if self.before else ""
        line = f"{tally.done:,} {self.verb}{earlier}, {failed:,} failed, {passed_over:,} passed over"
        self.stderr.write(f"{line}{self.rates()}.")
        return SOME_FAILED if failed else 0

    def rates(self) -> str:
        done, seconds = self.tally.done, self.seconds
        if not done:
            return ""
        busy = (time.process_time() - self.processor) / (seconds * bulk.cores())
        read, compute = 1000 * self.tally.read / done, 1000 * self.tally.compute / done
        return (
            f" in {seconds:.1f} s: {done / seconds:.1f} a second; of processor time reading took {read:.1f} ms each, "
            f"computing {compute:.1f}; {bulk.cores()} cores {min(1, busy):.0%} busy"
        )
