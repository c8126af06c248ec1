"""manage.py evaluate: what it counts, compares and reports."""

import csv
import io
import os
import re
import tempfile
from pathlib import Path

import numpy as np
from django.core.management import call_command
from django.test import SimpleTestCase, TestCase

from classifier.engine import Head
from classifier.engine.imagenet import imagenet_doubles, imagenet_labels, imagenet_together
from classifier.services.intervals import wilson
from classifier.services.label_sets import label_set_create
from classifier.tests import tiny_clip
from classifier.tests.colour_engine import place, serve
from classifier.tests.commands import CommandTestCase
from classifier.tests.photos import PHOTOS


class EvaluateCase(CommandTestCase):
    def call(self, *arguments: object, status: int = 0) -> str:
        return self.command("evaluate", *arguments, status=status)

    def imagenet(self, **colours: str) -> None:
        """The engine's ImageNet head: classes by number as `_657`, each at a colour; all others are far away."""
        weights = np.tile(-place((127.5, 127.5, 127.5)), (1000, 1))
        for number, colour in colours.items():
            weights[int(number[1:])] = self.engine.place_of(colour)
        labels = tuple(imagenet_together(label) for label in imagenet_labels())
        self.engine.imagenet = Head("imagenet", labels, weights, tuple(range(1000)), doubles=imagenet_doubles())


class CountingTests(EvaluateCase):
    def test_accuracies_with_their_intervals_and_the_mean_per_class(self):
        for number, colour in enumerate(("red", "red", "red", "blue")):
            self.paint(f"red/{number}.png", colour)
        self.paint("blue/0.png", "blue")
        text = self.call(self.folder, "--folder-labels")
        self.assertIn("5 pictures of 2 classes, 2 ranked", text)
        self.assertRegex(text, r"top-1 +80\.00%  \(37\.55% to 96\.38%\)")  # statsmodels' proportion_confint(4, 5)
        self.assertRegex(text, r"top-5 +100\.00%")
        self.assertRegex(text, r"mean per class +87\.50%")
        self.assertIn("75.0%  red, 4 (taken for: red 3, blue 1)", text)

    def test_wilsons_interval(self):
        for right, count, low, high in ((4, 5, 0.3755, 0.9638), (0, 10, 0, 0.2775), (5593, 10000, 0.5495, 0.5690)):
            found = wilson(right, count)
            self.assertAlmostEqual(found[0], low, places=4)
            self.assertAlmostEqual(found[1], high, places=4)

    def test_folders_stand_for_imagenets_classes(self):
        self.imagenet(_0="red", _1="blue", _2="lime")
        self.paint("tench/a.png", "red")
        self.paint("n01443537_goldfish/a.png", "blue")
        self.paint("002/a.png", "red")
        text = self.call(self.folder)
        self.assertRegex(text, r"top-1 +66\.67%")
        self.assertIn("0.0%  great white shark, 1 (taken for: tench 1)", text)

    def test_two_classes_of_one_name_count_as_one(self):
        self.imagenet(_657="red", _744="red", _1="blue")
        self.paint("n03773504/a.png", "red")
        self.paint("n04008634/a.png", "red")
        text = self.call(self.folder)
        self.assertIn("2 pictures of 1 classes", text)
        self.assertRegex(text, r"top-1 +100\.00%")
        self.assertIn("counted apart, as OpenAI's notebook does: top-1 50.00%, top-5 100.00%", text)

    def test_hidden_and_empty_folders_are_passed_over_and_a_flat_one_is_explained(self):
        self.imagenet(_0="red")
        (self.folder / "a.jpg").write_bytes(b"x")
        self.call(self.folder, status=2)
        self.assertIn("put those of a class into a folder", self.message)
        for empty in (".git", "gizmo"):
            (self.folder / empty).mkdir()
        self.paint("0/a.png", "red")
        self.assertIn("1 pictures of 1 classes", self.call(self.folder))

    def test_a_folder_that_names_no_class_is_told(self):
        self.imagenet()
        self.paint("gizmo/a.png", "red")
        self.call(self.folder, status=2)
        self.assertIn("gizmo", self.message)
        self.assertIn("--folder-labels", self.message)

    def test_files_that_cannot_be_read_are_told_and_not_counted(self):
        self.paint("red/a.png", "red")
        (self.folder / "red/b.png").write_bytes(b"nothing")
        self.paint("blue/a.png", "blue")
        self.assertIn("2 pictures", self.call(self.folder, "--folder-labels", status=1))
        self.assertIn("b.png: This file is not a picture", self.errors)

    def test_a_csv_of_path_and_label(self):
        self.imagenet(_0="red", _1="blue")
        self.paint("pictures/a.png", "red")
        self.paint("pictures/b.png", "red")
        table = self.folder / "truth.csv"
        table.write_text("path,label\npictures/a.png,tench\npictures/b.png,n01443537\n")
        self.assertRegex(self.call(table), r"top-1 +50\.00%")
        table.write_text("pictures/a.png\n")
        self.call(table, status=2)
        self.assertIn("row 1 has no label", self.message)

    def test_only_these_ranks_the_classes_that_have_pictures(self):
        self.imagenet(_0="red", _1="yellow", _2="blue")
        self.paint("tench/a.png", "yellow")  # a goldfish to all of ImageNet, and of these two a tench
        self.paint("2/a.png", "blue")
        self.assertRegex(self.call(self.folder), r"top-1 +50\.00%")
        text = self.call(self.folder, "--only-these")
        self.assertRegex(text, r"top-1 +100\.00%")
        self.assertIn("2 ranked", text)

    def test_own_labels_go_up_to_5000(self):
        for number in range(120):  # more than may be given for one picture on a page
            os.symlink(self.paint("red/a.png", "red"), self.folder / "red/b.png") if not number else None
            (self.folder / f"thing {number}").mkdir()
            os.symlink(self.folder / "red/a.png", self.folder / f"thing {number}/a.png")
        self.assertIn("122 pictures of 121 classes, 121 ranked", self.call(self.folder, "--folder-labels"))

    def test_real_photos_in_a_folder_of_their_class(self):
        (self.folder / "espresso").mkdir()
        (self.folder / "espresso/coffee.png").symlink_to(PHOTOS / "coffee.png")
        out = io.StringIO()
        with self.settings(CLIP_MODEL="standin"):
            call_command("evaluate", str(self.folder), stdout=out, stderr=io.StringIO())
        self.assertRegex(out.getvalue(), r"top-1 +100\.00%")


class SetTests(EvaluateCase, TestCase):
    def test_a_saved_set_of_labels(self):
        with serve(self.engine):
            label_set_create(name="Traffic", labels=["green", "red"], templates=["{}"])
        self.paint("Red/a.png", "red")
        self.paint("green/a.png", "red")
        self.assertRegex(self.call(self.folder, "--label-set=traffic"), r"top-1 +50\.00%")


class ReportTests(EvaluateCase):
    def setUp(self):
        super().setUp()
        self.paint("red/1.png", "red")
        self.paint("red/=2.png", "blue")
        self.paint("blue/1.png", "blue")

    def test_the_page_stands_alone_and_shows_what_went_wrong(self):
        page = self.folder / "report.html"
        self.call(self.folder, "--folder-labels", "--report", page)
        text = page.read_text()
        self.assertEqual(re.findall(r'(?:src|href)="(?!data:)|url\(|<script|<link', text), [])
        self.assertEqual(text.count("<img"), 1)
        self.assertIn("taken for <strong>blue</strong>", text)
        self.assertIn("1 of 2", text)
        self.assertIn("66.67%", text)
        self.assertLess(len(text), 20_000)

    def test_the_csv_has_a_row_for_each_picture(self):
        table = self.folder / "rows.csv"
        self.call(self.folder, "--folder-labels", "--csv", table)
        with table.open(encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        found = [(Path(row["path"]).name, row["label"], row["taken_1"], row["top_1"], row["top_5"]) for row in rows]
        self.assertIn(("1.png", "red", "red", "1", "1"), found)
        self.assertIn(("=2.png", "red", "blue", "0", "1"), found)


class SideBySideTests(SimpleTestCase):
    def test_precisions_are_compared_in_one_run(self):
        """With the tiny CLIP, which knows shapes: prepared once as it is served, and beside it in other precisions."""
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for colour in ("red", "blue"):
            for number in range(3):
                path = folder / f"pictures/{colour} circle/{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                tiny_clip.draw(colour, "circle", seed=number).save(path)
        out = io.StringIO()
        settings = {"CLIP_MODEL": str(tiny_clip.checkpoint_path()), "CLIP_MODEL_DIR": folder / "model"}
        arguments = ["--folder-labels", "--template=a {}", "--precision=fp32", "--precision=fp16"]
        with self.settings(**settings):
            call_command("prepare_model", stdout=io.StringIO(), stderr=io.StringIO())
            served = (folder / "model/local-tiny-clip/manifest.json").read_text()
            call_command("evaluate", str(folder / "pictures"), *arguments, stdout=out, stderr=io.StringIO())
        text = out.getvalue()
        self.assertRegex(text, r"(?s)fp32: 6 pictures.*top-1 +100\.00%.*fp16: 6 pictures.*top-1 +100\.00%")
        self.assertRegex(text, r"tiny-clip, fp32 and .*tiny-clip, fp16 agree on 100\.00%")
        self.assertEqual((folder / "model/local-tiny-clip/manifest.json").read_text(), served)
