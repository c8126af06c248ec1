"""Embeddings of files and folders, laid out as clip-retrieval and autofaiss read them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from classifier.management import bulk as shared
from classifier.services import bulk, engines, shards, texts
from classifier.services.finding import name_escaped


class Command(shared.BulkCommand):
    help = (
        "Embed pictures: files, and every picture in folders. Writes img_emb/*.npy (float16) and metadata/*.parquet; "
        "an interrupted run goes on. Exit status: 0 all, 1 some failed, 2 nothing was done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        shared.paths_add(parser)
        parser.add_argument("--output", type=Path, metavar="DIR", required=True, help="go on with what is there")
        parser.add_argument(
            "--shard", type=shared.positive, default=shards.ROWS, help=f"rows of a file ({shards.ROWS:,})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        finder = shared.finder_make(options)
        with shared.beginning(self.stderr):
            loaded = engines.engine_get()
            texts.text_require(loaded)  # the stand-in embeds nothing
            output = shards.Shards(options["output"], loaded.info, rows=options["shard"])
        watch = shared.Watch(finder, "embedded", self.stderr)
        results = bulk.pictures_embed(watch.left(lambda name: name_escaped(name) in output.done), loaded=loaded)
        with contextlib.closing(results):
            try:
                for result in watch.over(results):
                    if result.value is not None:
                        output.add(result.value, {"image_path": name_escaped(result.source.name)})
            finally:  # also when interrupted: what is done is kept
                output.close()
        watch.end()
