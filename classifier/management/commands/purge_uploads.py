"""Delete pictures that are older than they are kept for. The server does so every hour; this does it at once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.services import uploads


class Command(BaseCommand):
    help = "Delete uploads older than UPLOAD_RETENTION_DAYS, with everything derived from them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, help="instead of UPLOAD_RETENTION_DAYS")
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *args: Any, days: int | None, dry_run: bool, **options: Any) -> None:
        if days is not None and days < 1:
            raise CommandError("--days must be at least 1.")
        days = days or settings.UPLOAD_RETENTION_DAYS
        if days == 0:
            self.stdout.write("UPLOAD_RETENTION_DAYS is 0: uploads are kept until their owners delete them.")
            return
        expired = uploads.uploads_expired(days=days)
        if dry_run:
            self.stdout.write(f"{expired.count()} uploads are older than {days} days.")
        else:
            count = uploads.uploads_delete(uploads=expired)
            self.stdout.write(f"{count} uploads older than {days} days are deleted.")
