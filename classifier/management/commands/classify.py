"""Classify files and folders, into a file that an interrupted run continues, or into the history."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import CommandParser

from classifier.engine import Engine, Head
from classifier.management import bulk as shared
from classifier.management import cluster
from classifier.management.results import FORMATS, Format, Run, format_of, output_continue
from classifier.management.terminal import closed_pipe_quiet, stream_of
from classifier.services import bulk, engines, heads, storing
from classifier.services.finding import Finder
from classifier.services.outputs import Classifications


class Command(shared.BulkCommand):
    help = (
        "Classify pictures: files, and every picture in folders, by what is in a file and not by its ending. "
        "Exit status: 0 all, 1 some failed, 2 nothing was done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        shared.paths_add(parser)
        shared.labels_add(parser)
        parser.add_argument("--top", type=shared.positive, default=5, help="labels per picture (5)")
        parser.add_argument("--format", choices=FORMATS, help="table; with --output as its ending says, or jsonl")
        parser.add_argument("--json", action="store_const", const="jsonl", dest="format", help="--format jsonl")
        parser.add_argument("--output", metavar="FILE", help="write here; go on with what is there")
        parser.add_argument("--store", metavar="OWNER", help="keep them in the history, of an API key or any name")
        shared.shard_add(parser)
        cluster.ray_add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        paths = shared.paths_of_options(options)
        with shared.beginning(self.stderr) as steps:
            loaded, choice = engines.engine_get(), shared.choice_of_options(options)
            head = heads.head_at_once(loaded, choice, steps)
        if loaded.info.standin:
            self.stderr.write(f"Classified by the {loaded.info.model}.")
        ranked = head or loaded.imagenet
        top = min(options["top"], len(ranked.labels) - len(ranked.doubles))
        run = run_of(loaded, choice, head, top)
        if options["ray"]:
            output = self.output_of_job(run, head, **options)
            cluster.job_follow(paths, options, output, loaded.info, "classified", self.stderr)
        else:
            self.classify(Finder(paths), loaded, choice, head, run, **options)

    def output_of_job(self, run: Run, head: Head | None, **options: Any) -> Classifications:
        if not options["output"] or options["format"] or options["store"]:
            raise shared.nothing_done("--ray writes Parquet into the folder --output, and nothing else anywhere.")
        return Classifications(options["output"], run.facts, head, run.top)

    def classify(
        self, finder: Finder, loaded: Engine, choice: heads.Choice, head: Head | None, run: Run, **options: Any
    ) -> None:
        path = Path(options["output"]) if options["output"] else None
        form = FORMATS[options["format"] or (format_of(path) if path else "table")](run)
        store = storing.Store(loaded, choice, options["store"]) if options["store"] else None
        watch = shared.Watch(finder, "classified", self.stderr)
        with self.output(path, form) as (write, done):
            results = bulk.pictures_classify(
                watch.left(lambda name: form.key(name) in done),
                loaded=loaded,
                head=head,
                top=run.top,
                keep=store.keep if store else None,
            )
            with contextlib.closing(results):
                for result in watch.over(results):
                    if store and result.value:
                        store.add(result)
                    write(form.entry(result.source.name, result.value, result.error))
        watch.end()

    @contextlib.contextmanager
    def output(self, path: Path | None, form: Format) -> Iterator[tuple[Callable[[str], object], set[str]]]:
        """A function that writes, and the keys of what is written already."""
        if path is None:
            out = stream_of(self.stdout)
            with closed_pipe_quiet():
                if form.ending == ".csv":
                    out.write(form.head())
                yield lambda text: flushed(out, text), set()
                out.flush()
            return
        try:
            done = output_continue(path, form) if path.exists() else set()
            with path.open("a", encoding="utf-8" if done else form.encoding) as file:
                if not file.tell():
                    file.write(form.head())
                yield lambda text: flushed(file, text), done
        except ValueError as error:
            raise shared.nothing_done(
                f"{path} holds something else, or was written with another model, labels or --top: name another file."
            ) from error
        except OSError as error:
            raise shared.nothing_done(f"{path} cannot be written: {error.strerror}.") from error


def flushed(file: TextIO, text: str) -> None:
    """Entries leave at once: who reads them sees them, and a killed run has lost none that it had finished."""
    file.write(text)
    file.flush()


def run_of(loaded: Engine, choice: heads.Choice, head: Head | None, top: int) -> Run:
    info = loaded.info
    labels = head.labels if head else ()
    digest = shared.digest_of(info.weights_sha256, info.precision, labels, choice.templates, top)
    return Run(info.model, info.precision, choice.name, digest, top)
