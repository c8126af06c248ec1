"""Classify files and folders; nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.errors import ClassifierError
from classifier.services import batch, engines
from classifier.services.labels import labels_from_text, templates_from_text


class Command(BaseCommand):
    help = "Classify pictures: files, and every picture in folders. Nothing is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", nargs="+", type=Path)
        parser.add_argument("--json", action="store_true", help="one JSON object a line")
        parser.add_argument("--top", type=int, default=5, help="labels per picture (5)")
        parser.add_argument("--labels", help="labels to choose from, separated by commas, instead of ImageNet's 1000")
        parser.add_argument("--template", default="This is a photo of {}.", help="the prompt around each of --labels")

    def handle(self, *args: Any, **options: Any) -> None:
        failed = total = 0
        try:
            loaded, head = engines.engine_get(), None
            if options["labels"]:
                labels = labels_from_text(options["labels"])
                head = loaded.build_head("custom", labels, templates_from_text(options["template"]))
            files = batch.files_find(options["path"])
            limits = {"max_pixels": int(settings.MAX_MEGAPIXELS * 1e6), "top": options["top"]}
            for result in batch.files_classify(files, loaded=loaded, head=head, **limits):
                total += 1
                failed += result.answer is None
                self.stdout.write(as_json(result, loaded.info.model) if options["json"] else as_text(result))
        except ClassifierError as error:
            raise CommandError(str(error)) from error
        if loaded.info.standin:
            self.stderr.write(f"Classified by the {loaded.info.model}.")
        if total == 0:
            raise CommandError("No pictures there.")
        if failed:
            raise CommandError(f"{failed} of {total} files could not be classified.")


def as_text(result: batch.FileResult) -> str:
    if result.answer is None:
        return f"{result.path}\n        {result.error}"
    lines = [f"  {100 * found.score:5.1f} %  {found.label}" for found in result.answer.predictions]
    return "\n".join([str(result.path), *lines])


def as_json(result: batch.FileResult, model: str) -> str:
    if result.answer is None:
        return json.dumps({"path": str(result.path), "error": result.error})
    predictions = [
        {"rank": p.rank, "label": p.label, "index": p.index, "score": p.score, "similarity": p.similarity}
        for p in result.answer.predictions
    ]
    return json.dumps({"path": str(result.path), "model": model, "predictions": predictions})
