"""Classify batches, in a process of its own: manage.py worker. Start as many as there are cores for them."""

from __future__ import annotations

import threading
import time
from argparse import ArgumentParser

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from classifier.errors import ClassifierError
from classifier.services import batch_work, engines

RESUME_SECONDS = batch_work.LEASE_SECONDS / 2


class Command(BaseCommand):
    help = "Works on the batches that were sent, one picture batch after the other, until it is told to stop (SIGTERM)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until-empty", action="store_true", help="End when there is nothing left to do")

    def handle(self, *, until_empty: bool, **options: object) -> None:
        try:
            engines.engine_get()
        except ClassifierError as error:
            raise CommandError(str(error)) from error
        batch_work.batches_resume()
        threading.Thread(target=_resume, name="resume", daemon=True).start()
        call_command(
            "db_worker",
            queue_name=batch_work.QUEUE,
            interval=1,
            batch=until_empty,
            startup_delay=False,
            reload=False,
            verbosity=options["verbosity"],
        )


def _resume() -> None:
    """Take up what others have left, for as long as this process lives."""
    while True:
        time.sleep(RESUME_SECONDS)
        try:
            batch_work.batches_resume()
        except DatabaseError:
            continue  # it is away; the worker itself says so
        finally:
            connection.close()
