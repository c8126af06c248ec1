"""Fetch a CLIP checkpoint, or take a file, and convert it for serving. Safe to interrupt and to run again."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from safetensors import SafetensorError

from classifier.capacity.container import memory_limit
from classifier.engine import PRECISIONS, prepare
from classifier.engine.tried import tried_lines
from classifier.errors import DownloadError, ModelError
from classifier.management.terminal import step_bars
from classifier.services.engines import engine_config

NO_DOWNLOAD = 3  # the exit status by which script/server knows that the checkpoint cannot be fetched from here


class Command(BaseCommand):
    help = "Fetch, verify and convert the model that CLIP_MODEL names; does nothing where that is done."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", nargs="?", help="an OpenAI name (ViT-B/32) or a checkpoint file; else CLIP_MODEL")
        parser.add_argument("--download-only", action="store_true", help="fetch and verify, convert later")
        parser.add_argument("--keep-checkpoint", action="store_true", help="keep the download after converting it")
        parser.add_argument(
            "--status-only", action="store_true", help=f"of a failed download nothing but the exit status {NO_DOWNLOAD}"
        )
        parser.add_argument("--precision", choices=PRECISIONS, help="instead of CLIP_PRECISION")

    def handle(self, *args: Any, **options: Any) -> None:
        changes = {name: options[name] for name in ("model", "precision") if options[name]}
        try:
            config = dataclasses.replace(engine_config(), **changes)
            # Nobody is served meanwhile: take the cores that serving shares out.
            config = dataclasses.replace(config, threads=max(config.threads, min(os.cpu_count() or 1, 4)))
            with step_bars(self.stderr, steps=True) as progress:
                memory = memory_limit(int(settings.MEMORY_MB * 1e6) or None) or 0
            config = dataclasses.replace(config, memory=memory, slots=settings.CLIP_SLOTS)
            manifest = prepare(
                config,
                progress=progress,
                download_only=options["download_only"],
                keep_checkpoint=options["keep_checkpoint"],
            )
        except DownloadError as error:
            if options["status_only"]:
                raise SystemExit(NO_DOWNLOAD) from None
            raise CommandError(str(error), returncode=NO_DOWNLOAD) from error
        except ModelError as error:
            raise CommandError(str(error)) from error
        except (OSError, SafetensorError) as error:  # the disk is full, or may not be written
            raise CommandError(f"The model could not be written to {config.model_dir}: {error}") from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted; run it again to go on.") from None
        if manifest:
            for tried in tried_lines(manifest):
                self.stdout.write(tried)
            self.stdout.write(f"{manifest['model']} is ready ({manifest['precision']}).")
        else:
            self.stdout.write(f"The checkpoint of {config.model} is there.")
