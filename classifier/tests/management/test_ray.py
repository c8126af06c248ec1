"""classify --ray and embed --ray, as processes with the tiny CLIP: on a cluster of two cores, and one of their own."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import uuid
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
import pyarrow.parquet as pq
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase

from classifier.tests import tiny_clip
from classifier.tests.commands import CommandTestCase
from classifier.tests.photos import PHOTOS

ROOT = Path(__file__).parents[3]
MARK = "HEROKU_CLIP_TEST"
CLUSTER = """
import sys, ray
ray.init(address="local", num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""


@unittest.skipUnless(importlib.util.find_spec("ray"), "requirements-ray.txt is not installed")
class RayTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="r")))  # sockets have short paths
        cls.environment = {**os.environ, "SECRET_KEY": "x", "DEBUG": "1", "HOME": str(cls.folder)}
        cls.environment |= {"CLIP_MODEL_DIR": str(cls.folder / "model"), MARK: uuid.uuid4().hex}
        cls.environment |= {"CLIP_MODEL": str(tiny_clip.checkpoint_path()), "RAY_TMPDIR": str(cls.folder)}
        cls.environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": 2 * uuid.uuid4().hex}
        cls.address = cls.cluster_start()
        cls.addClassCleanup(cls.cluster_end)
        cls.manage("prepare_model")
        cls.pictures = cls.folder / "pictures"
        cls.pictures.mkdir()
        for number, colour in enumerate(3 * tuple(tiny_clip.COLOURS)):
            tiny_clip.draw(colour, "circle", seed=number, size=(400, 300)).save(cls.pictures / f"{number:02}.jpg")
        (cls.pictures / "07.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
        (cls.pictures / "notes.txt").write_text("no picture")
        cls.tar = cls.folder / "shard.tar"
        with tarfile.open(cls.tar, "w") as archive:
            for path in sorted(cls.pictures.iterdir()):
                archive.add(path, arcname=path.name)

    @classmethod
    def cluster_start(cls) -> str:
        """A machine of two cores; its address."""
        command = [sys.executable, "-c", CLUSTER]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        cls.cluster = subprocess.Popen(command, cwd=ROOT, env=cls.environment, **pipes)
        return cls.cluster.stdout.readline().strip()

    @classmethod
    def processes(cls, mark: str) -> list[psutil.Process]:
        """All that were started with this mark and are still there."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    @classmethod
    def cluster_end(cls) -> None:
        cls.cluster.communicate(timeout=60)
        _, alive = psutil.wait_procs(cls.processes(cls.environment[MARK]), 15)
        for process in alive:
            process.kill()

    @classmethod
    def start(cls, *arguments: object, mark: str = "", **options: object) -> subprocess.Popen:
        command = [sys.executable, str(ROOT / "manage.py"), *map(str, arguments)]
        environment = cls.environment | ({MARK: mark} if mark else {})
        return subprocess.Popen(command, cwd=cls.folder, env=environment, text=True, **options)

    @classmethod
    def manage(cls, *arguments: object, status: int = 0, mark: str = "") -> str:
        """What the command says at the end."""
        process = cls.start(*arguments, mark=mark, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        errors = process.communicate(timeout=180)[1]
        if process.returncode != status:
            raise AssertionError(f"status {process.returncode}: {errors}")
        return errors

    def output(self) -> Path:
        return Path(self.enterContext(tempfile.TemporaryDirectory(dir=self.folder))) / "out"

    def embeddings(self, output: Path) -> dict[str, np.ndarray]:
        found = {}
        for path in (output / "metadata").iterdir():
            number = path.stem.rpartition("_")[2]
            names = pq.read_table(path)["image_path"].to_pylist()
            rows = np.load(output / f"img_emb/img_emb_{number}.npy")
            self.assertFalse(found.keys() & set(names))
            found |= zip(names, rows, strict=True)
        return found

    def test_embeddings_are_the_same_with_one_actor_with_two_and_without(self):
        expected = self.output()
        self.manage("embed", "pictures", "--output", expected, status=1)
        expected = self.embeddings(expected)
        self.assertEqual(len(expected), 23)
        for actors in (1, 2):
            with self.subTest(actors=actors):
                output = self.output()
                options = ("--output", output, "--shard=6", f"--ray={self.address}", f"--actors={actors}")
                errors = self.manage("embed", "pictures", "shard.tar", *options, status=1)
                self.assertIn("pictures/07.jpg: This JPEG picture is damaged", errors)
                self.assertIn("46 embedded, 2 failed, 2 passed over in", errors)
                self.assertIn(f"actors: {actors}, cores of each: {2 // actors}.", errors)
                found = self.embeddings(output)
                names = {name.replace("shard.tar", "pictures") for name in found}
                self.assertEqual((len(found), names), (46, expected.keys()))
                for name, row in found.items():
                    np.testing.assert_allclose(row, expected[name.replace("shard.tar", "pictures")], atol=2e-3)
                failed = pq.read_table(output / "failed")
                self.assertEqual(sorted(failed["path"].to_pylist()), ["pictures/07.jpg", "shard.tar/07.jpg"])
                self.assertTrue(all(failed["error"].to_pylist()))

    def test_answers_are_the_same_and_a_shard_that_is_gone_is_done_again_alone(self):
        plain, output = self.output(), self.output()
        self.manage("classify", "pictures", "--labels=red, green, blue", "--output", plain, status=1)
        records = [json.loads(line) for line in plain.read_text().splitlines()]
        expected = {record["path"]: record.get("predictions") for record in records}
        command = ("classify", "pictures", "--labels=red, green, blue", "--output", output, "--shard=8")
        command += (f"--ray={self.address}", "--actors=2")
        self.manage(*command, status=1)
        shards = sorted((output / "predictions").iterdir())
        self.assertEqual([path.name for path in shards], [f"predictions_{number}.parquet" for number in range(3)])
        before = {path: (path.read_bytes(), path.stat().st_ino) for path in shards}
        rows = pq.read_table(output / "predictions").to_pylist()
        self.assertEqual({row["path"] for row in rows}, expected.keys())
        for row in rows:
            predictions = expected[row["path"]]
            self.assertEqual(row["error"] is None, predictions is not None)
            self.assertEqual(row["labels"], predictions and [each["label"] for each in predictions])
            if predictions:
                np.testing.assert_allclose(row["scores"], [each["score"] for each in predictions], atol=1e-3)
        shards[1].unlink()
        self.assertIn("8 classified, 15 before, 1 failed, 1 passed over", self.manage(*command, status=1))
        for path in shards:
            same = path.read_bytes(), path.stat().st_ino
            self.assertEqual(pq.read_table(path)["path"], pq.read_table(path)["path"])
            self.assertEqual(same == before[path], path != shards[1])
        self.assertEqual(pq.read_table(output / "predictions").num_rows, 24)

    def test_killed_and_run_again_it_has_every_picture_once_and_leaves_no_process(self):
        """On a Ray of its own, which ends with it."""
        photos, output = self.folder / "photos", self.output()
        photos.mkdir()
        for number in range(400):
            (photos / f"{number:03}.png").symlink_to(PHOTOS / "coffee.png")
        mark = uuid.uuid4().hex
        command = ("embed", "photos", "--output", output, "--shard=4", "--ray", "--actors=2")
        process = self.start(*command, mark=mark, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not [*output.glob("metadata/*.parquet")] and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertGreater(len(self.processes(mark)), 3)  # Ray's among them
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertEqual(psutil.wait_procs(self.processes(mark), 60)[1], [])
        whole = {path.name: path.stat().st_ino for path in output.glob("metadata/*.parquet")}
        self.assertTrue(0 < len(whole) < 100, len(whole))
        errors = self.manage(*command, mark=mark)
        self.assertIn(f"{400 - 4 * len(whole)} embedded, {4 * len(whole)} before, 0 failed", errors)
        self.assertEqual(len(self.embeddings(output)), 400)
        for name, inode in whole.items():
            self.assertEqual((output / "metadata" / name).stat().st_ino, inode)
        self.assertEqual([*output.glob("*/*.part")], [])
        self.assertEqual(psutil.wait_procs(self.processes(mark), 20)[1], [])
        shutil.rmtree(photos)


class WithoutRayTests(CommandTestCase):
    """What is said before Ray is asked for."""

    def test_what_cannot_begin_says_why(self):
        self.paint("photos/red.png", "red")
        output = self.folder / "out"
        for arguments, message in (
            (("classify", self.folder / "photos", "--ray"), "--ray writes Parquet into the folder --output"),
            (("classify", self.folder / "photos", "--json", "--output", output, "--ray"), "--ray writes Parquet"),
            (("classify", self.folder / "photos", "--store=me", "--output", output, "--ray"), "--ray writes Parquet"),
            (("embed", self.folder / "empty.tar", "--output", "nowhere://x", "--ray"), "Protocol not known"),
        ):
            with self.subTest(arguments=arguments):
                self.command(*arguments, status=2)
                self.assertIn(message, self.message)
        with self.assertRaisesMessage(CommandError, "put --ray behind the paths"):
            call_command("embed", "--output=x", "--ray", "photos")

    def test_nothing_to_do_is_status_2_and_what_is_done_needs_no_ray(self):
        (self.folder / "empty").mkdir()
        with mock.patch.dict(sys.modules, {"ray": None}):
            self.command("embed", self.folder / "empty", "--output", self.folder / "out", "--ray", status=2)
            self.assertEqual(self.message, "No pictures there.")
            self.command("embed", self.paint("a.png", "red"), "--output", self.folder / "out")
            self.command("embed", self.folder / "a.png", "--output", self.folder / "out", "--ray")
            self.assertIn("0 embedded, 1 before, 0 failed", self.errors)
            self.command("embed", self.paint("b.png", "red"), "--output", self.folder / "out", "--ray", status=2)
            self.assertIn("pip install -r requirements-ray.txt", self.message)
