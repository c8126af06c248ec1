"""manage.py embed and export_embeddings: the files, resuming, and that others read them."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
from django.test import TestCase
from PIL import Image

from classifier.models import ApiKey, Upload
from classifier.services.embeddings import embedding_load
from classifier.services.shards import Shards
from classifier.tests import tiny_clip
from classifier.tests.colour_engine import ColourEngine, place
from classifier.tests.commands import CommandTestCase

ROOT = Path(__file__).parents[3]
COLOURS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255)}


class EmbedCase(TestCase, CommandTestCase):
    def setUp(self):
        super().setUp()
        self.pictures, self.output = self.folder / "pictures", self.folder / "output"
        self.pictures.mkdir()

    def paint(self, *colours: str) -> None:
        for colour in colours:
            super().paint(f"pictures/{colour}.png", colour)

    def shards(self, kind: str = "img_emb") -> list[tuple[np.ndarray, dict[str, list]]]:
        found = []
        for number in range(len(list((self.output / kind).iterdir()))):
            table = pq.read_table(self.output / f"metadata/metadata_{number}.parquet").to_pydict()
            found.append((np.load(self.output / f"{kind}/{kind}_{number}.npy"), table))
        return found


class EmbedTests(EmbedCase):
    def test_rows_are_float16_and_say_which_picture_they_are(self):
        self.paint(*COLOURS)
        self.command("embed", self.pictures, "--output", self.output, "--shard=2")
        (first, names), (second, more) = self.shards()
        self.assertEqual((first.shape, first.dtype, second.shape), ((2, 4), np.float16, (1, 4)))
        paths = names["image_path"] + more["image_path"]
        self.assertEqual(paths, [str(self.pictures / f"{colour}.png") for colour in sorted(COLOURS)])
        for path, row in zip(paths, np.concatenate([first, second]), strict=True):
            np.testing.assert_allclose(row, place(COLOURS[Path(path).stem]), atol=1e-3)

    def test_a_second_run_adds_what_is_new_and_tries_what_failed_again(self):
        self.paint("red")
        (self.pictures / "lime.png").write_bytes(b"nothing")
        self.command("embed", self.pictures, "--output", self.output, status=1)
        self.assertIn("1 embedded, 1 failed", self.errors)
        self.paint("lime", "blue")
        self.engine.pictures_seen = 0
        self.command("embed", self.pictures, "--output", self.output)
        self.assertIn("2 embedded, 1 before, 0 failed", self.errors)
        self.assertEqual(self.engine.pictures_seen, 2)
        self.assertEqual(sum(len(rows) for rows, _ in self.shards()), 3)

    def test_half_a_shard_is_done_again(self):
        self.paint("red")
        self.command("embed", self.pictures, "--output", self.output)
        np.save(self.output / "img_emb/img_emb_1.npy", np.zeros((7, 4), np.float16))  # its table was never written
        (self.output / "metadata/metadata_2.parquet.part").write_bytes(b"cut")
        self.paint("blue")
        self.command("embed", self.pictures, "--output", self.output)
        self.assertEqual([len(rows) for rows, _ in self.shards()], [1, 1])
        self.assertEqual(list(self.output.glob("*/*.part")), [])

    def test_an_interrupted_run_keeps_what_it_has(self):
        self.paint(*COLOURS)
        real, calls = Shards.add, []

        def add(shards, *args):
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            real(shards, *args)

        with mock.patch.object(Shards, "add", add):
            self.command("embed", self.pictures, "--output", self.output, status=130)
        self.assertEqual(self.message, "Interrupted; run it again to go on.")
        self.assertEqual(len(self.shards()[0][0]), 2)

    def test_another_models_folder_is_left_alone(self):
        self.paint("red")
        self.command("embed", self.pictures, "--output", self.output)
        self.engine = ColourEngine(weights_sha256="f" * 64)
        self.command("embed", self.pictures, "--output", self.output, status=2)
        self.assertIn("another model's embeddings", self.message)

    def test_without_pyarrow_it_says_what_to_install(self):
        with mock.patch.dict(sys.modules, {"pyarrow": None, "pyarrow.parquet": None}):
            self.command("embed", self.pictures, "--output", self.output, status=2)
        self.assertIn("pip install -r requirements-bulk.txt", self.message)

    def test_killed_and_run_again_it_has_every_picture_once(self):
        """As processes, with the tiny CLIP: what the files hold is what the engine answers."""
        model = self.folder / "model"
        for number in range(60):
            tiny_clip.draw("red", "circle", seed=number, size=(400, 300)).save(self.pictures / f"{number:03}.jpg")
        environment = {**os.environ, "SECRET_KEY": "x", "CLIP_MODEL": str(tiny_clip.checkpoint_path())}
        environment |= {"CLIP_MODEL_DIR": str(model), "DEBUG": "1"}
        manage = [sys.executable, "manage.py"]
        quiet = {"cwd": ROOT, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*manage, "prepare_model"], check=True, **quiet)
        command = [*manage, "embed", str(self.pictures), "--output", str(self.output), "--shard=5"]
        process = subprocess.Popen(command, **quiet)
        deadline = time.monotonic() + 60
        while not [*self.output.glob("metadata/*.parquet")] and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        subprocess.run(command, check=True, **quiet)
        paths = [path for _, table in self.shards() for path in table["image_path"]]
        self.assertEqual(sorted(paths), sorted(str(path) for path in self.pictures.iterdir()))
        from classifier.engine import Engine

        loaded = Engine.open(str(tiny_clip.checkpoint_path()), model_dir=model)
        with Image.open(paths[7]) as picture:
            expected = loaded.embed_images([picture])[0]
        rows = np.concatenate([rows for rows, _ in self.shards()])
        np.testing.assert_allclose(rows[7], expected, atol=2e-3)


class ExportTests(EmbedCase):
    def setUp(self):
        super().setUp()
        self.paint(*COLOURS)
        self.key = ApiKey.objects.create(name="scanner", prefix="x", token_hash="y")
        self.command("classify", self.pictures / "red.png", "--store=scanner", "--format=jsonl")
        self.command("classify", self.pictures / "blue.png", "--store=museum", "--format=jsonl")

    def call(self, *arguments: object, status: int = 0) -> None:
        with mock.patch("sys.stdout", io.StringIO()):
            super().call(*arguments, status=status)

    def test_the_history_with_what_it_knows(self):
        self.command("export_embeddings", "--output", self.output)
        ((rows, table),) = self.shards()
        self.assertEqual(table["name"], ["red.png", "blue.png"])
        self.assertEqual(table["label"], ["red thing", "blue thing"])
        for row, upload_id, repeated in zip(rows, table["id"], table["embedding"], strict=True):
            upload = Upload.objects.get(pk=upload_id)
            stored = embedding_load(upload=upload, weights_sha256=self.engine.info.weights_sha256)
            np.testing.assert_allclose(row, stored, atol=1e-3)
            np.testing.assert_allclose(repeated, stored, atol=1e-6)
        facts = json.loads((self.output / "model.json").read_text())
        self.assertEqual(facts["weights_sha256"], self.engine.info.weights_sha256)

    def test_of_one_owner(self):
        for owner, name in (("scanner", "red.png"), ("museum", "blue.png")):
            self.output = self.folder / owner
            self.command("export_embeddings", "--output", self.output, "--owner", owner)
            self.assertEqual(self.shards()[0][1]["name"], [name])
        self.command("export_embeddings", "--output", self.folder / "x", "--owner=nobody", status=2)

    def test_what_came_since_is_added(self):
        self.command("export_embeddings", "--output", self.output)
        self.command("classify", self.pictures / "lime.png", "--store=museum", "--format=jsonl")
        self.command("export_embeddings", "--output", self.output)
        self.assertIn("1 pictures exported, 2 before", self.errors)
        self.assertEqual([len(rows) for rows, _ in self.shards()], [2, 1])

    def test_labels_heads_likewise(self):
        self.command("export_embeddings", "--output", self.output, "--label-set=imagenet")
        ((rows, table),) = self.shards("text_emb")
        self.assertEqual(table["caption"], ["red thing", "blue thing"])
        np.testing.assert_allclose(rows, self.engine.imagenet.weights, atol=1e-3)
        self.output = self.folder / "own"
        self.command("export_embeddings", "--output", self.output, "--labels=red, green, blue")
        ((rows, table),) = self.shards("text_emb")
        self.assertEqual((table["caption"], rows.shape), (["red", "green", "blue"], (3, 4)))
