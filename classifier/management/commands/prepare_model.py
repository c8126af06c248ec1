"""Fetch a CLIP checkpoint, or take a file, and convert it for serving. Safe to interrupt and to run again."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from safetensors import SafetensorError

from classifier.engine import PRECISIONS, prepare
from classifier.engine.tried import tried_lines
from classifier.errors import DownloadError, ModelError
from classifier.services.engines import engine_config

NO_DOWNLOAD = 3  # the exit status by which script/server knows that the checkpoint cannot be fetched from here


class ProgressLine:
    """One line per step: redrawn in place on a terminal, printed once when done elsewhere."""

    def __init__(self, stream: OutputWrapper) -> None:
        self.stream, self.step, self.drawn = stream, "", 0.0
        self.terminal = stream.isatty()

    def __call__(self, step: str, done: int, total: int) -> None:
        new, finished = step != self.step, total > 0 and done >= total
        if not (new or finished) and time.monotonic() - self.drawn < 0.2:  # seconds
            return
        if new and self.step and self.terminal:
            self.stream.write("\n", str, "")
        self.step, self.drawn = step, time.monotonic()
        if self.terminal:
            share = done / total if total else 0
            bar = "#" * round(30 * share)
            self.stream.write(f"\r{step}: [{bar:30}] {share:4.0%}", str, "")
            self.stream.flush()
        elif new:
            self.stream.write(step, str)

    def end(self) -> None:
        if self.terminal and self.step:
            self.stream.write("\n", str, "")


class Command(BaseCommand):
    help = "Fetch, verify and convert the model that CLIP_MODEL names; does nothing where that is done."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("model", nargs="?", help="an OpenAI name (ViT-B/32) or a checkpoint file; else CLIP_MODEL")
        parser.add_argument("--download-only", action="store_true", help="fetch and verify, convert later")
        parser.add_argument("--keep-checkpoint", action="store_true", help="keep the download after converting it")
        parser.add_argument("--precision", choices=PRECISIONS, help="instead of CLIP_PRECISION")

    def handle(self, *args: Any, **options: Any) -> None:
        changes = {name: options[name] for name in ("model", "precision") if options[name]}
        line = ProgressLine(self.stderr)
        try:
            config = dataclasses.replace(engine_config(), **changes)
            # Nobody is served meanwhile: take the cores that serving shares out.
            config = dataclasses.replace(config, threads=max(config.threads, min(os.cpu_count() or 1, 4)))
            manifest = prepare(
                config,
                progress=line,
                download_only=options["download_only"],
                keep_checkpoint=options["keep_checkpoint"],
            )
        except DownloadError as error:
            raise CommandError(str(error), returncode=NO_DOWNLOAD) from error
        except ModelError as error:
            raise CommandError(str(error)) from error
        except (OSError, SafetensorError) as error:  # the disk is full, or may not be written
            raise CommandError(f"The model could not be written to {config.model_dir}: {error}") from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted; run it again to go on.") from None
        finally:
            line.end()
        if manifest:
            for tried in tried_lines(manifest):
                self.stdout.write(tried)
            self.stdout.write(f"{manifest['model']} is ready ({manifest['precision']}).")
        else:
            self.stdout.write(f"The checkpoint of {config.model} is there.")
