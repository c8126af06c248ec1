"""Accuracy over pictures whose classes are known, of several models and precisions side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from classifier import engine
from classifier.engine.artifact import artifact_directory
from classifier.management import bulk as shared
from classifier.management import evaluation as output
from classifier.services import bulk, engines, heads
from classifier.services.classes import Names, head_of_these
from classifier.services.evaluation import TOP, Grades, Labelled, labelled_csv, labelled_folders
from classifier.services.labels import DEFAULT_TEMPLATE, MAX_LABELS_SET, labels_check, templates_check


class Command(shared.BulkCommand):
    help = (
        "Accuracy over DIR, which has a folder of pictures per class, named by WordNet id, number, label or another "
        "name of the class, or over a CSV file of path and label. "
        "Exit status: 0 all graded, 1 some could not be read, 2 nothing was done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dir", type=Path, metavar="DIR or FILE.csv")
        shared.labels_add(parser)
        parser.add_argument("--folder-labels", action="store_true", help="the folders' own names are the labels")
        parser.add_argument("--only-these", action="store_true", help="rank only the classes that have pictures here")
        parser.add_argument("--model", action="append", help="instead of CLIP_MODEL; several are compared")
        parser.add_argument(
            "--precision", action="append", choices=engine.PRECISIONS, help="instead of CLIP_PRECISION; likewise"
        )
        parser.add_argument("--worst", type=shared.positive, default=5, help="how many of the worst classes to list")
        parser.add_argument("--csv", type=Path, metavar="FILE", help="a row for each picture and model")
        parser.add_argument("--report", type=Path, metavar="FILE.html", help="confusions, worst classes, pictures")

    def handle(self, *args: Any, **options: Any) -> None:
        with shared.beginning(self.stderr) as steps:
            pictures = self.pictures(options["dir"])
            choice = self.choice(options, pictures)
            loads = list(engines_of(options, steps))
        rounds, status = [], 0
        for load in loads:
            with shared.beginning(self.stderr) as steps:
                loaded = load()
                head = heads.head_at_once(loaded, choice, steps) or loaded.imagenet
                places = Names(head, imagenet=choice.name == "imagenet").places(pictures.classes())
            if options["only_these"]:
                if loaded.info.standin:
                    raise shared.nothing_done("--only-these needs CLIP; the stand-in ranks all of ImageNet's labels.")
                head, moved = head_of_these(head, places.values())
                places = {name: moved[place] for name, place in places.items()}
            found = self.grade(loaded, head, pictures, places)
            status = max(status, found.status)
            rounds.append(found)
            self.stdout.write("\n".join(output.lines(found, options["worst"])))
        self.stdout.write("\n".join(output.agreements(rounds)), ending="\n" if len(rounds) > 1 else "")
        if options["csv"]:
            output.csv_write(options["csv"], rounds)
        if options["report"]:
            output.report_write(options["report"], rounds, options["worst"])
        if status:
            raise SystemExit(status)

    def pictures(self, path: Path) -> Labelled:
        try:
            return labelled_folders(path) if path.is_dir() else labelled_csv(path)
        except OSError as error:
            raise shared.nothing_done(f"{path}: {error.strerror}.") from error

    def choice(self, options: dict[str, Any], pictures: Labelled) -> heads.Choice:
        if not options["folder_labels"]:
            return shared.choice_of_options(options)
        labels = labels_check([name.replace("_", " ") for name in pictures.classes()], most=MAX_LABELS_SET)
        return heads.choice_of_labels(labels, templates_check(options["template"] or [DEFAULT_TEMPLATE]))

    def grade(
        self, loaded: engine.Engine, head: engine.Head, pictures: Labelled, places: dict[str, int]
    ) -> output.Round:
        """One model over all pictures."""
        grades, watch = Grades(head), shared.Watch(pictures, "graded", self.stderr)
        standin = loaded.info.standin
        results = bulk.pictures_classify(pictures, loaded=loaded, head=None if standin else head, top=TOP)
        with contextlib.closing(results):
            for result in watch.over(results):
                if result.value is not None:
                    grades.add(result, places[pictures.names[result.source.name]])
        status = watch.close()
        if not grades.count:
            raise shared.nothing_done("No picture there could be read.")
        return output.Round(loaded.info, grades, watch.seconds, status)


def engines_of(options: dict[str, Any], steps: Any) -> Iterator[Callable[[], engine.Engine]]:
    """What to call for each engine: loaded when its turn comes, so that one is in memory at a time."""
    if not options["model"] and not options["precision"]:
        yield engines.engine_get
        return
    served = engines.engine_config()
    for model in options["model"] or [served.model]:
        for precision in options["precision"] or [served.precision]:
            config = dataclasses.replace(served, model=model, precision=precision)
            if precision not in ("auto", served.precision):
                config = beside(config)
            yield lambda config=config: prepared(config, steps)


def beside(config: engine.Config) -> engine.Config:
    """The same model in a folder of its own for this precision; the head is taken over from what is served."""
    aside = dataclasses.replace(config, model_dir=config.model_dir / "precisions" / config.precision)
    source, target = artifact_directory(config), artifact_directory(aside)
    if source.is_dir() and not target.exists():
        shutil.copytree(source, target, copy_function=os.link)  # files are replaced, never written to
    return aside


def prepared(config: engine.Config, steps: Any) -> engine.Engine:
    engine.prepare(config, progress=steps)
    return engine.load_engine(config)
