"""Measure the engine, the whole --server, the --search or work in --bulk, and print one table."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from classifier.engine import Config, load_engine, prepare
from classifier.errors import ModelError
from classifier.services.engines import engine_config

PHOTOS = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png")  # in scikit-image


class Command(BaseCommand):
    help = "Speed, memory and agreement of the engine against its peers; --server: of the server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--checkpoint", help="a checkpoint file, where CLIP_MODEL names none that is here")
        parser.add_argument("--repeats", type=int, default=15, help="turns of each contestant at batch 1")
        parser.add_argument(
            "--threads", type=int, default=min(os.cpu_count() or 1, 4), help="torch threads; not of the --server"
        )
        parser.add_argument("--server", action="store_true", help="start the server and upload photos to it instead")
        parser.add_argument(
            "--search", nargs="?", type=int, const=100_000, metavar="N", help="search among N uploads (100,000) instead"
        )

        parser.add_argument("--bulk", metavar="FOLDER", help="embed a folder's pictures as `embed` does instead")
        parser.add_argument("--pictures", type=int, default=480, help="of --bulk: how many in a round (480)")
        parser.add_argument("--over", type=int, default=0, help="of --bulk: memory along as many pictures")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["search"]:
            self.search(options["search"])
            return
        config = engine_config()
        if options["checkpoint"]:
            config = dataclasses.replace(config, model=options["checkpoint"])
        try:
            manifest = prepare(config, progress=lambda *_: None, keep_checkpoint=True)
            if options["server"]:
                self.server(config)
            elif options["bulk"]:
                self.bulk(config, options)
            else:
                self.offline(dataclasses.replace(config, threads=options["threads"]), manifest, options["repeats"])
        except ModelError as error:
            raise CommandError(str(error)) from error

    def bulk(self, config: Config, options: dict[str, Any]) -> None:
        from classifier.benchmark import bulk

        loaded = load_engine(dataclasses.replace(config, threads=1))
        self.stdout.write(self.machine(config))
        try:
            rounds = list(bulk.measure(loaded, options["bulk"], pictures=options["pictures"], rounds=5))
        except bulk.NoPictures as error:
            raise CommandError(str(error)) from error
        self.stdout.write(bulk.table(rounds))
        if options["over"]:
            for done, megabytes in bulk.memory_over(loaded, options["bulk"], options["over"]):
                self.stdout.write(f"after {done:,} pictures {megabytes:.0f} MB of anonymous memory")

    def search(self, count: int) -> None:
        from classifier.benchmark.search import run

        if run(count):
            raise CommandError("The search could not be measured (above).")

    def server(self, config: Config) -> None:
        from classifier.benchmark.load import server_benchmark

        settings = {
            "CLIP_MODEL": config.model,
            "CLIP_MODEL_DIR": str(config.model_dir),
            "CLIP_PRECISION": config.precision,
        }
        for figure, value in server_benchmark(environment=settings):
            self.stdout.write(f"{figure:45} {value}")

    def offline(self, config: Config, manifest: dict, repeats: int) -> None:
        from PIL import Image

        from classifier.benchmark.offline import Comparison, compare_heads, start_seconds
        from classifier.benchmark.resident import resident
        from classifier.engine.checkpoint import checkpoint_open
        from classifier.engine.conversion import checkpoint_path

        checkpoint = checkpoint_open(checkpoint_path(config))
        if not checkpoint.shape.vit:
            raise CommandError("ResNets run through OpenAI's own network: there is nothing to compare.")
        photos = photo_paths()
        self.stdout.write(self.machine(config))
        self.stdout.write(f"{manifest['model']}, {len(photos)} photos; milliseconds a picture (times faster)\n")
        self.stdout.write(f"{'':20}{'batch 1':>16}{'batch 4':>16}{'batch 16':>16}{'weights':>10}   cosine min, mean")
        with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
            pictures = [Image.open(path).convert("RGB") for path in photos]
            float16 = manifest["tried"][-1]["float16"]
            comparison = Comparison(checkpoint, pictures, Path(scratch), config.threads, repeats, float16)
            for row in comparison.rows():
                times = "".join(
                    f"{row.milliseconds[size]:9.1f} ({row.ratios[size]:.2f})".rjust(16) for size in row.milliseconds
                )
                agreement = f"{row.cosine_min:.7f}, {row.cosine_mean:.7f}"
                self.stdout.write(f"{row.name:20}{times}{row.weights / 1e6:7.1f} MB   {agreement}")
            self.stdout.write("")
            for name, ratios in comparison.against_peers():
                faster = ", ".join(f"{ratio:.2f}" for ratio in ratios.values())
                self.stdout.write(
                    f"{f'int8 against {name}':45} {faster} times faster at batch {', '.join(map(str, ratios))}"
                )
        for figure, value in compare_heads(checkpoint):
            self.stdout.write(f"{figure:45} {value}")
        for figure, value in resident(checkpoint, config, photos):
            self.stdout.write(f"{figure:45} {value}")
        seconds = start_seconds(config, photos[0])
        self.stdout.write(f"{'process start to first prediction':45} {seconds:.1f} s ({manifest['precision']})")

    def machine(self, config: Config) -> str:
        import torch

        busy = os.getloadavg()[0]
        return (
            f"{processor()}, {os.cpu_count()} cores, {config.threads} torch threads, torch {torch.__version__}, "
            f"Python {platform.python_version()}, load average {busy:.1f}"
        )


def processor() -> str:
    """The processor's name, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def photo_paths() -> list[Path]:
    """Real photos; they come with scikit-image, which the tests need too."""
    try:
        import skimage
    except ImportError as error:
        raise CommandError("The photos come with scikit-image; run: pip install -r requirements-dev.txt") from error
    return [Path(skimage.__file__).parent / "data" / name for name in PHOTOS]
