"""Embed the uploads that this server's model has not seen, for the search. Safe to interrupt and to run again."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from classifier import vectors
from classifier.errors import ClassifierError
from classifier.management.terminal import step_bars
from classifier.services import embeddings, engines


class Command(BaseCommand):
    help = "Embed the uploads that CLIP_MODEL has not seen, and make its search index where there is none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=16, help="pictures at a time (16)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            loaded = engines.engine_get()
            with step_bars(self.stderr) as progress:
                done = embeddings.uploads_embed(
                    loaded=loaded, batch=options["batch"], progress=partial(progress, "embedding")
                )
        except ClassifierError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{done.embedded} uploads embedded with {loaded.info.model}; {done.broken} could not be read."
        )
        if connection.vendor == "postgresql":
            self.index(loaded.info.weights_sha256, loaded.info.dim)

    def index(self, weights_sha256: str, dim: int) -> None:
        native = vectors.column_native(connection)
        if not native and vectors.column_ensure_native(connection):
            self.stdout.write("The embeddings are pgvector's now.")
        if vectors.index_ensure(connection, weights_sha256, dim, concurrently=True):
            self.stdout.write("The search index is in place.")
        else:
            self.stdout.write("There is no index: pgvector is not usable here, and search reads every embedding.")
