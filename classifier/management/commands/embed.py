"""Embeddings of files and folders, laid out as clip-retrieval and autofaiss read them."""

from __future__ import annotations

import contextlib
from typing import Any

from django.core.management.base import CommandParser

from classifier.engine import Engine
from classifier.management import bulk as shared
from classifier.management import cluster
from classifier.services import bulk, engines, shards, texts
from classifier.services.finding import Finder, name_escaped
from classifier.services.outputs import Embeddings


class Command(shared.BulkCommand):
    help = (
        "Embed pictures: files, and every picture in folders. Writes img_emb/*.npy (float16) and metadata/*.parquet; "
        "an interrupted run goes on. Exit status: 0 all, 1 some failed, 2 nothing was done."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        shared.paths_add(parser)
        parser.add_argument("--output", metavar="DIR", required=True, help="go on with what is there")
        shared.shard_add(parser)
        cluster.ray_add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        paths = shared.paths_of_options(options)
        with shared.beginning(self.stderr):
            loaded = engines.engine_get()
            texts.text_require(loaded)  # the stand-in embeds nothing
        if options["ray"]:
            cluster.job_follow(paths, options, Embeddings(options["output"]), loaded.info, "embedded", self.stderr)
        else:
            self.embed(Finder(paths), loaded, **options)

    def embed(self, finder: Finder, loaded: Engine, **options: Any) -> None:
        with shared.beginning(self.stderr):
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
