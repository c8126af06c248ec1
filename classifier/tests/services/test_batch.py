"""The commands that classify files and folders from the disk."""

import io
import json
import tempfile
from pathlib import Path
from unittest import mock

import skimage
from django.core.management import CommandError, call_command
from django.test import SimpleTestCase
from PIL import Image

from classifier.tests.colour_engine import ColourEngine, serve

PHOTOS = Path(skimage.__file__).parent / "data"


def call(*arguments, loaded=None, **options) -> str:
    out = io.StringIO()
    with serve(loaded or ColourEngine()):
        call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


class FolderCase(SimpleTestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def paint(self, name: str, colour: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 24), colour).save(path)
        return path


class ClassifyTests(FolderCase):
    def test_it_names_files_and_what_folders_hold(self):
        alone, inside = self.paint("alone.png", "red"), self.paint("folder/deep/inside.jpg", "blue")
        (self.folder / "folder/notes.txt").write_text("no picture")
        lines = call("classify", str(alone), str(self.folder / "folder")).splitlines()
        self.assertEqual([lines[0], lines[3]], [str(alone), str(inside)])
        self.assertIn("red thing", lines[1])
        self.assertIn("blue thing", lines[4])

    def test_it_writes_json_lines(self):
        record = json.loads(call("classify", str(self.paint("a.png", "red")), "--json", "--top=1"))
        self.assertEqual([p["label"] for p in record["predictions"]], ["red thing"])
        self.assertEqual(record["model"], "colours")

    def test_it_ranks_other_labels(self):
        text = call("classify", str(self.paint("a.png", "green")), "--labels=a blue one, a green one")
        self.assertLess(text.index("a green one"), text.index("a blue one"))

    def test_a_file_that_is_no_picture_is_told_and_the_rest_goes_on(self):
        bad, missing = self.folder / "bad.png", self.folder / "missing.png"
        bad.write_bytes(b"nothing")
        out = io.StringIO()
        with serve(ColourEngine()), self.assertRaisesMessage(CommandError, "2 of 3 files could not be classified."):
            call_command("classify", str(bad), str(missing), str(self.paint("good.png", "red")), stdout=out)
        self.assertIn("not a picture we can read", out.getvalue())
        self.assertIn("No such file", out.getvalue())
        self.assertIn("red thing", out.getvalue())

    def test_an_empty_folder_is_an_error(self):
        with self.assertRaisesMessage(CommandError, "No pictures there."):
            call("classify", str(self.folder))

    def test_the_standin_knows_a_real_photo_and_says_what_it_is(self):
        out, err = io.StringIO(), io.StringIO()
        with self.settings(CLIP_MODEL="standin"):
            call_command("classify", str(PHOTOS / "coffee.png"), stdout=out, stderr=err)
        self.assertIn("espresso", out.getvalue().splitlines()[1])
        self.assertIn("stand-in: EfficientNet-Lite0, not CLIP", err.getvalue())


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
