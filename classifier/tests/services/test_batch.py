"""The commands that classify files and folders from the disk."""

import io
import tempfile
from pathlib import Path
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import SimpleTestCase
from PIL import Image

from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.photos import PHOTOS


def call(*arguments, loaded=None, **options) -> str:
    out = io.StringIO()
    with serve(loaded or ColourEngine()):
        call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


class FolderCase(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def paint(self, name: str, colour: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24), colour).save(path)
        return path


class EvaluateTests(FolderCase):
    def test_it_counts_by_the_folders_own_names(self):
        for number, colour in enumerate(("red", "red", "red", "blue")):
            self.paint(f"red/{number}.png", colour)
        self.paint("blue/0.png", "blue")
        text = call("evaluate", str(self.folder), "--folder-labels")
        self.assertIn("5 pictures", text)
        self.assertIn("top-1  80.00%", text)
        self.assertIn("top-5 100.00%", text)
        self.assertIn("75.0%  red (taken for: red 3, blue 1)", text)

    def test_folders_may_be_named_by_label_wordnet_id_or_index(self):
        for folder in ("tench", "n01443537", "2"):
            self.paint(f"{folder}/a.png", "red")
        with mock.patch("classifier.services.batch.Accuracy.add", autospec=True) as add:
            add.side_effect = lambda accuracy, label, answer: seen.append(label) or setattr(accuracy, "pictures", 1)
            seen = []
            call("evaluate", str(self.folder))
        self.assertEqual(sorted(seen), ["goldfish", "great white shark", "tench"])

    def test_a_folder_that_names_no_class_is_told(self):
        self.paint("gizmo/a.png", "red")
        with self.assertRaisesMessage(CommandError, "gizmo"):
            call("evaluate", str(self.folder))

    def test_files_that_cannot_be_read_are_listed_and_not_counted(self):
        self.paint("red/a.png", "red")
        (self.folder / "red/b.png").write_bytes(b"nothing")
        self.paint("blue/a.png", "blue")
        text = call("evaluate", str(self.folder), "--folder-labels")
        self.assertIn("2 pictures", text)
        self.assertIn("skipped", text)

    def test_real_photos_in_a_folder_of_their_class(self):
        (self.folder / "espresso").mkdir()
        (self.folder / "espresso/coffee.png").symlink_to(PHOTOS / "coffee.png")
        out = io.StringIO()
        with self.settings(CLIP_MODEL="standin"):
            call_command("evaluate", str(self.folder), stdout=out, stderr=io.StringIO())
        self.assertIn("top-1 100.00%", out.getvalue())
