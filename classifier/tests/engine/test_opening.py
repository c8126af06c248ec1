"""The engine as a library: README's lines in a process without Django's settings, and a terminal's progress."""

import os
import re
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from django.test import SimpleTestCase

from classifier.engine import Engine
from classifier.engine.opening import directory
from classifier.errors import CheckpointError
from classifier.tests import tiny_clip
from classifier.tests.commands import on_terminal

ROOT = Path(__file__).parents[3]


class LibraryTests(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        tiny_clip.draw("red", "circle").save(self.folder / "photo.jpg")
        text = (ROOT / "README.md").read_text().partition("## As a library")[2]
        self.example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
        self.code = self.example.replace('"ViT-B/32"', repr(str(tiny_clip.checkpoint_path())))
        self.code = self.code.replace("a cat asleep", "a red circle").replace("two dogs", "a blue square")

    def run_code(self, code: str, **options: object) -> subprocess.Popen:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "CLIP_MODEL_DIR": str(self.folder / "model"),
        }
        return subprocess.Popen([sys.executable, "-c", code], cwd=self.folder, env=environment, **options)

    def test_readme_shows_it_in_ten_lines_that_run_without_django(self):
        self.assertLessEqual(len(self.example.strip().splitlines()), 10)
        check = "\nimport sys; assert not any(name.split('.')[0] == 'django' for name in sys.modules)"
        process = self.run_code(self.code + check, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, errors = process.communicate(timeout=300)
        self.assertEqual((process.returncode, errors), (0, ""))
        lines = out.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertRegex(lines[1], r"a (cat|dog)', 0\.\d+")
        red, blue = (float(number) for number in re.findall(r"-?\d\.\d+", lines[2]))
        self.assertGreater(red, blue)

    def test_the_first_use_converts_with_progress_on_a_terminal_and_the_second_finds_it(self):
        code = f"from classifier.engine import Engine; Engine.open({str(tiny_clip.checkpoint_path())!r})"
        self.assertRegex(self.on_terminal(code), r"building the ImageNet head: +\d+%.*it/s|building the ImageNet head")
        started = (self.folder / "model").stat().st_mtime_ns
        self.assertNotIn("building", self.on_terminal(code))
        self.assertEqual((self.folder / "model").stat().st_mtime_ns, started)

    def on_terminal(self, code: str) -> str:
        status, text = on_terminal(partial(self.run_code, code))
        self.assertEqual(status, 0, text)
        return text

    def test_a_model_that_cannot_be_had_is_said_in_a_sentence(self):
        with self.assertRaisesMessage(CheckpointError, "There is no file"):
            Engine.open("nowhere.pt", model_dir=self.folder)

    def test_where_models_are_kept(self):
        self.assertEqual(directory("here"), Path("here"))
        self.assertEqual(directory("~/x"), Path.home() / "x")
