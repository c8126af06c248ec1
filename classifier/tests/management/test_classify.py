"""manage.py classify: what it reads, writes, continues and stores, and how it ends."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from unittest import mock

from django.core.management import CommandError, call_command
from django.test import TestCase, override_settings
from PIL import Image

from classifier.capacity.limits import decode_memory
from classifier.capacity.room import ROOM
from classifier.models import ApiKey, Upload
from classifier.services.label_sets import label_set_create
from classifier.tests.colour_engine import serve
from classifier.tests.commands import CommandTestCase, on_terminal
from classifier.tests.photos import PHOTOS

ROOT = Path(__file__).parents[3]


class FolderCase(CommandTestCase):
    def call(self, *arguments: object, status: int = 0) -> str:
        return self.command("classify", *arguments, status=status)

    def labels(self, *arguments: object, **options: int) -> dict[str, str]:
        """{file: likeliest label}"""
        records = [json.loads(line) for line in self.call(*arguments, "--json", **options).splitlines()]
        return {Path(record["path"]).name: record["predictions"][0]["label"] for record in records}


class ReadingTests(FolderCase):
    def test_pictures_are_found_by_what_is_in_them(self):
        names = ("a.jfif", "b.jpe", "c.jpg_large", "d", "deep/e.png")
        for name in names:
            self.paint(name, "red")
        (self.folder / "notes.txt").write_text("no picture")
        self.assertEqual(sorted(self.labels(self.folder)), ["a.jfif", "b.jpe", "c.jpg_large", "d", "e.png"])
        self.assertIn("5 classified, 0 failed, 1 passed over", self.errors.splitlines()[-1])

    def test_paths_may_come_from_a_file_and_from_stdin(self):
        listed = self.folder / "list"
        listed.write_text(f"{self.paint('a.png', 'red')}\n{self.paint('b.png', 'blue')}\n")
        self.assertEqual(self.labels("--files-from", listed), {"a.png": "red thing", "b.png": "blue thing"})
        with mock.patch("sys.stdin") as stdin:
            stdin.buffer.read.return_value = listed.read_bytes()
            self.assertEqual(sorted(self.labels("-")), ["a.png", "b.png"])

    def test_files_of_ones_own_may_be_larger_than_what_is_sent_to_a_server(self):
        """42 megapixels, of which pages take 30 as PNG and, in the sandbox, 16 as TIFF."""
        picture, before = Image.new("RGB", (7000, 6000), "red"), (decode_memory(), ROOM.size)
        for name, options in (("a.png", {"compress_level": 1}), ("b.tif", {"compression": "tiff_deflate"})):
            picture.save(self.folder / name, **options)
        with override_settings(MAX_UPLOAD_MB=0.001, MAX_MEGAPIXELS=0.001):
            self.assertEqual(self.labels(self.folder), {"a.png": "red thing", "b.tif": "red thing"})
        self.assertEqual((decode_memory(), ROOM.size), before)

    def test_files_that_cannot_be_read_are_told_and_the_run_goes_on(self):
        bad = self.folder / "bad.png"
        bad.write_bytes(b"nothing")
        missing, good = self.folder / "missing.png", self.paint("good.png", "red")
        text = self.call(bad, missing, good, status=1)
        self.assertIn("red thing", text)
        self.assertIn(f"{bad}: This file is not a picture we can read", self.errors)
        self.assertIn(f"{missing}: No such file or directory.", self.errors)
        self.assertIn("1 classified, 2 failed, 0 passed over", self.errors.splitlines()[-1])

    def test_a_folder_that_may_not_be_read_is_named_and_counts_as_failed(self):
        self.paint("a/1.png", "red")
        self.paint("b/1.png", "red")
        scandir = os.scandir

        def closed(path):
            if Path(path).name == "b":
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        with mock.patch("os.scandir", closed):
            self.call(self.folder, status=1)
        self.assertIn(f"{self.folder / 'b'}: Permission denied.", self.errors)
        self.assertIn("1 classified, 1 failed", self.errors)

    def test_nothing_to_do_is_status_2(self):
        for arguments in ((self.folder,), (), ("--files-from", self.folder / "none"), (self.folder, "--labels=one")):
            with self.subTest(arguments=arguments):
                self.call(*arguments, status=2)


class LabelTests(FolderCase):
    def test_labels_and_templates_of_ones_own(self):
        picture = self.paint("a.png", "green")
        self.assertEqual(self.labels(picture, "--labels=a blue one, a green one"), {"a.png": "a green one"})
        with mock.patch.object(self.engine, "build_head", wraps=self.engine.build_head) as build:
            self.labels(picture, "--labels=blue, green", "--template=a {}", "--template=the {}")
        self.assertEqual(build.call_args[0][2], ("a {}", "the {}"))

    def test_as_many_labels_as_a_set_may_have_from_a_file(self):
        listed = self.folder / "labels.txt"
        listed.write_text("\n".join(["green", *(f"thing {n}" for n in range(4999))]))
        self.assertEqual(self.labels(self.paint("a.png", "green"), f"--labels=@{listed}"), {"a.png": "green"})

    def test_top_says_how_many_and_is_checked(self):
        record = json.loads(self.call(self.paint("a.png", "red"), "--json", "--top=1"))
        self.assertEqual([p["label"] for p in record["predictions"]], ["red thing"])
        for wrong in ("0", "-1", "x"):
            with self.assertRaisesMessage(CommandError, "is not a number from 1 on"):
                call_command("classify", "a.png", f"--top={wrong}")


class WritingTests(FolderCase):
    def test_the_table(self):
        path = self.paint("a.png", "red")
        lines = self.call(path).splitlines()
        self.assertEqual(lines[0], str(path))
        self.assertRegex(lines[1], r"^  100\.0 %  red thing$|^   \d\d\.\d %  red thing$")

    def test_json_lines_say_what_answered(self):
        record = json.loads(self.call(self.paint("a.png", "red"), "--format=jsonl"))
        self.assertEqual((record["model"], record["precision"], record["label_set"]), ("colours", "fp32", "imagenet"))
        self.assertEqual(record["predictions"][0]["rank"], 1)
        self.assertGreater(record["predictions"][0]["similarity"], 0.9)

    def test_csv_has_a_row_for_each_file_and_no_formulas(self):
        self.paint("=HYPERLINK(1).png", "red")
        os.chdir(self.folder)
        self.addCleanup(os.chdir, ROOT)
        rows = list(csv.DictReader(io.StringIO(self.call("=HYPERLINK(1).png", "--format=csv"))))
        self.assertEqual([(row["path"], row["label_1"]) for row in rows], [("'=HYPERLINK(1).png", "red thing")])

    def test_names_that_are_not_utf8_are_escaped_in_every_format(self):
        self.paint("a.png", "red").rename(os.fsdecode(os.path.join(os.fsencode(self.folder), b"caf\xe9.png")))
        for form in ("table", "jsonl", "csv"):
            text = self.call(self.folder, f"--format={form}")
            self.assertIn("caf\\xe9.png", text.replace("\\\\", "\\"))
            text.encode()  # as UTF-8, or this raises


class ContinuingTests(FolderCase):
    ENDINGS = ("jsonl", "csv", "txt")

    def test_an_output_that_is_there_is_continued(self):
        for ending in self.ENDINGS:
            with self.subTest(ending=ending):
                output, more = self.folder / f"out/{ending}.{ending}", self.folder / ending
                output.parent.mkdir(exist_ok=True)
                self.paint(f"{ending}/1.png", "red")
                self.call(more, "--output", output)
                self.paint(f"{ending}/2.png", "blue")
                before, self.engine.pictures_seen = output.read_bytes(), 0
                self.call(more, "--output", output)
                self.assertEqual(self.engine.pictures_seen, 1)
                self.assertTrue(output.read_bytes().startswith(before))
                self.assertIn("1 classified, 1 before, 0 failed", self.errors)
                self.call(more, "--output", output)
                self.assertIn("0 classified, 2 before, 0 failed", self.errors)

    def test_what_a_killed_run_left_unfinished_is_done_again(self):
        for ending in self.ENDINGS:
            with self.subTest(ending=ending):
                output, pictures = self.folder / f"out.{ending}", self.folder / ending
                for number in range(4):
                    self.paint(f"{ending}/{number}.png", "red")
                self.call(pictures, "--output", output)
                whole = output.read_bytes()
                for cut in range(len(whole) - 1, len(whole) - 120, -7):
                    output.write_bytes(whole[:cut])
                    self.call(pictures, "--output", output)
                    self.assertEqual(output.read_bytes(), whole)

    def test_what_failed_is_tried_again_and_told_once(self):
        for ending in self.ENDINGS:
            with self.subTest(ending=ending):
                output, bad = self.folder / f"out.{ending}", self.folder / f"{ending}.png"
                bad.write_bytes(b"nothing")
                for _ in range(2):
                    self.call(bad, "--output", output, status=1)
                    self.assertEqual(output.read_text().count("not a picture"), 1)
                self.paint(bad.name, "red")
                self.call(bad, "--output", output)
                self.assertIn("red thing", output.read_text())
                self.assertNotIn("not a picture", output.read_text())

    def test_another_runs_output_is_not_added_to(self):
        picture = self.paint("a.png", "red")
        for ending in self.ENDINGS:
            output = self.folder / f"out.{ending}"
            self.call(picture, "--output", output)
            before = output.read_bytes()
            for other in (("--top=1",), ("--labels=red,blue",)):
                with self.subTest(ending=ending, other=other):
                    self.call(picture, "--output", output, *other, status=2)
                    self.assertIn("name another file", self.message)
                    self.assertEqual(output.read_bytes(), before)
        for name, text in (("diary.txt", "Dear diary,\n  today\n"), ("a.json", "[1, 2]"), ("b.csv", "a,b\n1,2\n")):
            stranger = self.folder / name
            stranger.write_text(text)
            self.call(picture, "--output", stranger, status=2)
            self.assertEqual(stranger.read_text(), text)


class ProcessTests(FolderCase):
    """The command as a process, with the stand-in: signals, pipes, terminals."""

    def start(self, *arguments: object, **options: object) -> subprocess.Popen:
        environment = {**os.environ, "CLIP_MODEL": "standin", "SECRET_KEY": "x", "DEBUG": "1"}
        command = [sys.executable, "manage.py", "classify", *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT, env=environment, **options)

    def photos(self, count: int) -> Path:
        for number in range(count):
            (self.folder / f"{number:03}.png").symlink_to(PHOTOS / "coffee.png")
        return self.folder

    def test_a_closed_pipe_ends_it_quietly(self):
        reading, writing = os.pipe()
        process = self.start(self.photos(300), stdout=writing, stderr=subprocess.PIPE, text=True)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            self.assertIn("000.png", pipe.readline())
        errors = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 141)
        self.assertEqual(errors, "Classified by the stand-in: EfficientNet-Lite0, not CLIP.\n")

    def test_a_killed_run_resumes_and_nothing_is_lost_or_doubled(self):
        output = Path(self.enterContext(tempfile.TemporaryDirectory())) / "out.jsonl"
        process = self.start(self.photos(200), "--output", output, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (output.exists() and output.read_bytes().count(b"\n") > 20) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = output.read_bytes().count(b"\n")
        self.assertLess(before, 200)
        process = self.start(self.folder, "--output", output, stderr=subprocess.PIPE, text=True)
        errors = process.communicate(timeout=120)[1]
        self.assertEqual(process.returncode, 0, errors)
        paths = [json.loads(line)["path"] for line in output.read_text().splitlines()]
        self.assertEqual(paths, sorted(str(path) for path in self.folder.iterdir()))

    def test_progress_has_rate_and_time_left_on_a_terminal_and_elsewhere_there_is_none(self):
        photos = self.photos(60)
        status, text = on_terminal(partial(self.start, photos, stdout=subprocess.DEVNULL))
        self.assertEqual(status, 0)
        self.assertRegex(text, r"\d+/60 \[00:\d\d<00:\d\d, +[\d.]+ pictures/s\]")
        process = self.start(photos, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.assertEqual(len(process.communicate()[1].splitlines()), 2)  # who answers, and the line at the end


class StoringTests(TestCase, FolderCase):
    def test_pictures_are_kept_with_their_answers_under_the_name(self):
        self.paint("a.png", "red", (800, 600))
        self.paint("b.png", "blue")
        self.call(self.folder, "--store=museum")
        uploads = Upload.objects.filter(owner="museum").order_by("name")
        self.assertEqual([(u.name, u.top_label) for u in uploads], [("a.png", "red thing"), ("b.png", "blue thing")])
        self.assertEqual((uploads[0].width, uploads[0].height, uploads[0].format), (800, 600, "PNG"))
        self.assertEqual(uploads[0].embeddings.count(), 1)
        self.assertEqual(uploads[0].latest.predictions.count(), 2)

    def test_a_second_run_stores_nothing_twice(self):
        self.paint("a.png", "red")
        for _ in range(2):
            self.call(self.folder, "--store=museum")
        upload = Upload.objects.get()
        self.assertEqual(upload.classifications.count(), 1)
        self.call(self.folder, "--store=museum", "--labels=red,blue")
        self.assertEqual(upload.classifications.count(), 2)
        self.call(self.folder, "--store=library")
        self.assertEqual(Upload.objects.count(), 2)

    def test_the_name_of_an_api_key_stores_for_it(self):
        key = ApiKey.objects.create(name="scanner", prefix="x", token_hash="y")
        self.paint("a.png", "red")
        self.call(self.folder, "--store=scanner")
        self.assertEqual(Upload.objects.get().api_key, key)

    def test_a_saved_set_of_labels(self):
        with serve(self.engine):
            label_set_create(name="Traffic", labels=["a green light", "a red light"], templates=["{}"])
        self.assertEqual(self.labels(self.paint("a.png", "green"), "--label-set=traffic"), {"a.png": "a green light"})
        self.call(self.folder, "--label-set=none", status=2)
        self.assertIn("no label set named", self.message)
