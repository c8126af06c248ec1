"""Accuracy over a folder per class, such as ImageNet's validation set."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.errors import ClassifierError
from classifier.management.commands.prepare_model import ProgressLine
from classifier.services import batch, engines


class Command(BaseCommand):
    help = "Accuracy over DIR, which has a folder of pictures per class, named by ImageNet label, WordNet id or index."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dir", type=Path)
        parser.add_argument("--folder-labels", action="store_true", help="the folders' own names are the labels")
        parser.add_argument("--template", action="append", help="prompt for --folder-labels; may be given repeatedly")
        parser.add_argument("--worst", type=int, default=5, help="how many of the worst classes to list (5)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["dir"].is_dir():
            raise CommandError(f"{options['dir']} is not a folder.")
        folders = sorted(path for path in options["dir"].iterdir() if path.is_dir())
        if not folders:
            raise CommandError(f"{options['dir']} has no folders; it needs one per class.")
        line, started, head, accuracy = ProgressLine(self.stderr), time.monotonic(), None, batch.Accuracy()
        try:
            loaded = engines.engine_get()
            if options["folder_labels"]:
                labelled = batch.folder_labels(folders)
                templates = options["template"] or ["a photo of a {}."]
                head = loaded.build_head("folders", list(labelled.values()), templates, line)
            else:
                labelled = batch.folders_label(folders)
            total = sum(1 for _ in batch.files_find(folders))
            limit = int(settings.MAX_MEGAPIXELS * 1e6)
            for accuracy in batch.folders_evaluate(labelled, loaded=loaded, max_pixels=limit, head=head):
                line("classifying", accuracy.pictures + len(accuracy.skipped), total)
        except ClassifierError as error:
            raise CommandError(str(error)) from error
        finally:
            line.end()
        if not accuracy.pictures:
            raise CommandError("No picture there could be read.")
        self.report(accuracy, loaded.info, time.monotonic() - started, options["worst"])

    def report(self, accuracy: batch.Accuracy, info: Any, seconds: float, worst: int) -> None:
        count = accuracy.pictures
        self.stdout.write(f"{info.model}, {info.precision}: {count} pictures in {seconds:.1f} s")
        self.stdout.write(f"top-1 {accuracy.top1 / count:7.2%}\ntop-5 {accuracy.top5 / count:7.2%}")
        for result in accuracy.skipped:
            self.stdout.write(f"skipped {result.path}: {result.error}")
        shares = {label: found[label] / found.total() for label, found in accuracy.by_label.items()}
        for label in sorted((label for label in shares if shares[label] < 1), key=shares.get)[:worst]:
            taken = ", ".join(f"{name} {n}" for name, n in accuracy.by_label[label].most_common(3))
            self.stdout.write(f"  {shares[label]:6.1%}  {label} (taken for: {taken})")
