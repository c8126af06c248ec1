"""Make the thumbnails of uploads that have none. Safe to interrupt and to run again; pages make them, too."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.errors import Busy
from classifier.management.commands.prepare_model import ProgressLine
from classifier.services import thumbnails


class Command(BaseCommand):
    help = "Make the thumbnails of uploads that have none; otherwise the first page that shows one makes it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=50, help="uploads read at a time (50)")

    def handle(self, *args: Any, **options: Any) -> None:
        progress = ProgressLine(self.stderr)
        try:
            done = thumbnails.thumbnails_make(
                batch=options["batch"], progress=lambda done, total: progress("Thumbnails", done, total)
            )
        except Busy as error:
            raise CommandError(str(error)) from error
        finally:
            progress.end()
        self.stdout.write(f"{done.made} thumbnails made; {done.broken} pictures could not be read.")
