"""The history's embeddings, or those of labels, laid out as clip-retrieval and autofaiss read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from classifier.engine.progress import bar
from classifier.management import bulk as shared
from classifier.management.terminal import stream_of
from classifier.services import embeddings, engines, heads, shards, texts


class Command(BaseCommand):
    help = (
        "Write the embeddings of the history by CLIP_MODEL into DIR: img_emb/*.npy (float16) and metadata/*.parquet, "
        "which has them, too. What is there stays, and what came since is added. With labels: their embeddings."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, metavar="DIR", required=True)
        parser.add_argument("--owner", help="only what this API key's program, or this owner, sent")
        shared.shard_add(parser)
        shared.labels_add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        labels = bool(options["labels"] or options["label_set"])
        with shared.beginning(self.stderr) as steps:
            loaded = engines.engine_get()
            texts.text_require(loaded)
            head = heads.head_at_once(loaded, shared.choice_of_options(options), steps) if labels else None
            kind = shards.TEXTS if labels else shards.IMAGES
            output = shards.Shards(options["output"], loaded.info, kind=kind, rows=options["shard"])
        if labels:
            written = embeddings.head_export(head or loaded.imagenet, output)
        else:
            with bar(stream_of(self.stderr), unit=" pictures") as progress:
                written = embeddings.history_export(
                    output, loaded.info.weights_sha256, owner=options["owner"], progress=progress.update
                )
        earlier = f", {len(output.done):,} before" if output.done else ""
        self.stderr.write(f"{written:,} {'labels' if labels else 'pictures'} exported{earlier}.")
        if not written + len(output.done):
            raise shared.nothing_done(f"{loaded.info.model} has embedded nothing there; see embed_uploads.")
