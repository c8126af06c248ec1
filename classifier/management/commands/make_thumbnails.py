"""Make the thumbnails of uploads that have none. Safe to interrupt and to run again; pages make them, too."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.errors import Busy
from classifier.management.terminal import step_bars
from classifier.services import thumbnails


class Command(BaseCommand):
    help = "Make the thumbnails of uploads that have none; otherwise the first page that shows one makes it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=50, help="uploads read at a time (50)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with step_bars(self.stderr) as progress:
                done = thumbnails.thumbnails_make(batch=options["batch"], progress=partial(progress, "thumbnails"))
        except Busy as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{done.made} thumbnails made; {done.broken} pictures could not be read.")
