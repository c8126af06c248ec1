"""manage.py prepare_model, from a checkpoint file to answers, through everything that can go wrong on the way."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path
from unittest import mock

import torch
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase, override_settings

from classifier.engine import Config, load_engine
from classifier.engine.artifact import FORMAT, artifact_directory
from classifier.errors import ModelUnavailable
from classifier.services.engines import engine_config
from classifier.tests import checkpoints
from classifier.tests.engine.test_tower import photo_pixels
from classifier.tests.photos import photo

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ("a photo of a {}.",)  # OpenAI's 80 make a head that takes minutes

# A process of its own, to be killed at a point: argv is the point, the checkpoint, the directory.
PREPARE = """
import os, signal, sys
from pathlib import Path
from unittest import mock
from classifier.engine import Config, prepare
point, model, directory = sys.argv[1:]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

rename = Path.rename
def rename_once(self, target):
    rename(self, target)
    if point == "swapping":
        die()

with mock.patch("classifier.engine.conversion.imagenet_templates", lambda: ("a photo of a {}.",)), \\
     mock.patch.object(Path, "rename", rename_once), \\
     mock.patch("classifier.engine.conversion.flush", die if point == "flushing" else lambda _: None):
    prepare(Config(model, Path(directory), threads=1), progress=lambda step, *_: step.startswith(point) and die())
"""


class PrepareTestCase(SimpleTestCase):
    model = "tiny"
    outliers, gain = "", 40.0

    def setUp(self):
        self.model_dir = Path(self.enterContext(tempfile.TemporaryDirectory())) / "model"
        self.path = checkpoints.checkpoint(self.model, self.outliers, self.gain)
        self.use(CLIP_MODEL=str(self.path), CLIP_MODEL_DIR=self.model_dir, CLIP_THREADS=1, CLIP_PRECISION="auto")
        templates = mock.patch("classifier.engine.conversion.imagenet_templates", lambda: TEMPLATES)
        templates.start()
        self.addCleanup(templates.stop)

    def use(self, **settings):
        override = override_settings(**settings)
        override.enable()
        self.addCleanup(override.disable)

    def prepare(self, *args):
        output = StringIO()
        call_command("prepare_model", *args, stdout=output, stderr=StringIO())
        return output.getvalue()

    @property
    def directory(self):
        return artifact_directory(engine_config())

    def assert_answers(self, precision="int8"):
        engine = load_engine(engine_config())
        self.assertEqual(engine.info.precision, precision)
        answer = engine.classify(photo("coffee.png"))
        self.assertEqual([ranked.rank for ranked in answer.predictions], [1, 2, 3, 4, 5])
        self.assertAlmostEqual(float((answer.embedding**2).sum()), 1, places=5)

    def assert_nothing_else(self):
        """No half artifact, no lock held, no partial head stays."""
        self.assert_nothing_else_than(self.directory.name)

    def assert_nothing_else_than(self, name):
        self.assertEqual({path.name for path in self.model_dir.iterdir()}, {".lock", name})


class PrepareModelTests(PrepareTestCase):
    def test_it_makes_a_checkpoint_ready_to_answer(self):
        self.assertIn("tiny is ready (int8)", self.prepare())
        self.assert_answers()
        self.assert_nothing_else()
        manifest = json.loads((self.directory / "manifest.json").read_text())
        self.assertEqual(manifest["source"]["sha256"], hashlib.sha256(self.path.read_bytes()).hexdigest())
        self.assertGreater(manifest["self_check"]["cosine_min"], 0.999)

    def test_a_second_run_changes_nothing(self):
        self.prepare()
        before = {path: path.stat().st_mtime_ns for path in self.directory.iterdir()}
        self.prepare()
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.directory.iterdir()}, before)

    def test_every_precision_can_be_demanded(self):
        for precision in ("fp32", "fp16", "int8"):
            with self.subTest(precision=precision), override_settings(CLIP_PRECISION=precision):
                self.prepare()
                self.assert_answers(precision)
                names = {path.name for path in self.directory.iterdir()}
                self.assertEqual([n for n in names if n.startswith("image-")], [f"image-{precision}.safetensors"])

    def test_an_artifact_of_another_precision_is_not_served(self):
        self.prepare()
        with override_settings(CLIP_PRECISION="fp32"), self.assertRaisesMessage(ModelUnavailable, "CLIP_PRECISION"):
            load_engine(engine_config())

    def test_what_the_servers_memory_cannot_hold_is_not_prepared(self):
        self.prepare()
        with override_settings(MEMORY_MB=300, CLIP_MODEL=str(checkpoints.checkpoint("tiny", seed=1))):
            with self.assertRaisesMessage(CommandError, "to be served and there are 300: it fits a basic or"):
                self.prepare()
            self.assertFalse(self.directory.exists())
        self.assert_nothing_else_than("local-tiny")

    def test_damage_is_recognised_and_repaired(self):
        def cut(path):
            os.truncate(path, path.stat().st_size - 1)

        def flip(path):
            with path.open("r+b") as file:
                file.seek(-9, os.SEEK_END)
                byte = file.read(1)[0]
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte ^ 255]))

        self.prepare()
        damages = [
            ("image-int8.safetensors", cut),
            ("image-int8.safetensors", flip),
            ("imagenet-head.safetensors", flip),
            ("text.safetensors", cut),
            ("manifest.json", cut),
            ("manifest.json", Path.unlink),
            ("imagenet-head.safetensors", Path.unlink),
        ]
        for name, damage in damages:
            with self.subTest(file=name, damage=damage.__name__):
                damage(self.directory / name)
                with self.assertRaisesMessage(ModelUnavailable, "manage.py prepare_model"):
                    load_engine(engine_config())
                self.prepare()
                self.assert_answers()

    def test_a_bad_file_leaves_what_was_there(self):
        self.prepare()
        bad = self.model_dir / "sub" / self.path.name
        bad.parent.mkdir()
        bad.write_bytes(self.path.read_bytes()[:-1000])
        with self.assertRaisesMessage(CommandError, "cut, damaged, or not a PyTorch checkpoint"):
            self.prepare(str(bad))
        self.assert_answers()

    def test_a_missing_file_gets_one_clear_sentence(self):
        with self.assertRaisesMessage(CommandError, "There is no file /nowhere/x.pt"):
            self.prepare("/nowhere/x.pt")

    def test_serving_before_preparing_says_what_to_do(self):
        with self.assertRaisesMessage(ModelUnavailable, "is not prepared; run: python manage.py prepare_model"):
            load_engine(engine_config())

    def test_an_artifact_of_an_older_format_is_rebuilt(self):
        self.prepare()
        manifest = json.loads((self.directory / "manifest.json").read_text())
        (self.directory / "manifest.json").write_text(json.dumps({**manifest, "format": FORMAT - 1}))
        with self.assertRaisesMessage(ModelUnavailable, "prepared by another version"):
            load_engine(engine_config())
        self.prepare()
        self.assert_answers()
        self.assertEqual(json.loads((self.directory / "manifest.json").read_text())["format"], FORMAT)


class ResNetTests(PrepareTestCase):
    model = "tiny-resnet"

    def test_it_runs_in_fp32(self):
        self.assertIn("is ready (fp32)", self.prepare())
        self.assert_answers("fp32")

    def test_widths_that_are_no_multiples_of_64_are_a_resnets_own(self):
        """RN50x4 is 80 wide, RN50x16 96: what attends is 32 times as wide."""
        for shape in ("narrow-resnet-80", "narrow-resnet-96"):
            with self.subTest(shape), override_settings(CLIP_MODEL=str(checkpoints.checkpoint(shape))):
                self.prepare()
                self.assert_answers("fp32")
                pixels, engine = photo_pixels(64), load_engine(engine_config())
                with torch.inference_mode():
                    theirs = checkpoints.reference(checkpoints.checkpoint(shape)).encode_image(pixels)
                    self.assertLess(((engine.tower(pixels) - theirs).norm() / theirs.norm()).item(), 1e-4)

    def test_other_precisions_are_refused(self):
        with override_settings(CLIP_PRECISION="int8"), self.assertRaisesMessage(CommandError, "runs in fp32 only"):
            self.prepare()


class InterruptionTests(PrepareTestCase):
    def start(self, point, **options):
        command = [sys.executable, "-W", "ignore", "-c", PREPARE, point, str(self.path), str(self.model_dir)]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, **options)

    def test_killed_at_any_point_the_next_run_recovers(self):
        for point in ("checking", "building", "embedding", "converting", "flushing"):
            with self.subTest(point=point):
                process = self.start(point)
                process.communicate()
                self.assertEqual(process.returncode, -signal.SIGKILL)
                with self.assertRaises(ModelUnavailable):
                    load_engine(engine_config())
        self.prepare()
        self.assert_answers()
        self.assertFalse(list(self.model_dir.glob("*.partial")))

    def test_killed_while_replacing_the_old_artifact_goes_on_serving(self):
        self.prepare()
        os.truncate(self.directory / "text.safetensors", 10)  # makes the next run build it anew
        process = self.start("swapping")
        process.communicate()
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.assertFalse(self.directory.exists())  # it was killed between the two renames
        with self.assertRaisesMessage(ModelUnavailable, "damaged"):
            load_engine(engine_config())  # the old one is back, with the damage it had
        self.prepare()
        self.assert_answers()
        self.assert_nothing_else()

    def test_two_processes_at_once_do_no_harm(self):
        processes = [self.start("never"), self.start("never")]
        for process in processes:
            _, errors = process.communicate()
            self.assertEqual(process.returncode, 0, errors)
        self.assert_answers()
        self.assert_nothing_else()

    def test_a_full_disk_gets_one_clear_sentence_and_leaves_what_was_there(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # bytes; the text tower takes 13 MB

        process = self.start("never", preexec_fn=limit)
        _, errors = process.communicate()
        self.assertIn(b"could not be written", errors)
        self.assertIn(b"What was there before is untouched", errors)
        self.assertEqual([path.name for path in self.model_dir.iterdir()], [".lock"])
        self.prepare()
        self.assert_answers()


class DeviceTests(PrepareTestCase):
    def test_a_gpu_that_is_not_there_is_said_to_be_missing(self):
        self.prepare()
        config = Config(str(self.path), self.model_dir, device="cuda")
        with self.assertRaisesMessage(ModelUnavailable, "torch sees no GPU"):
            load_engine(config)
