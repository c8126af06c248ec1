import io
import json
import subprocess
import sys
from pathlib import Path

from django.test import SimpleTestCase
from PIL import Image

from classifier.capacity.container import MOST
from classifier.errors import BrokenImage
from classifier.pictures import decoding
from classifier.tests.hostile import cases, cuts
from classifier.tests.hostile.common import LIMITS
from classifier.tests.hostile.measure import MEMORY, SANDBOX_MEMORY, SECONDS
from classifier.tests.photos import encoded, photo

ROOT = Path(__file__).resolve().parents[3]


class HostileTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        done = subprocess.run(
            [sys.executable, "-m", "classifier.tests.hostile"], cwd=ROOT, capture_output=True, text=True, timeout=600
        )
        cls.reports = [json.loads(line) for line in done.stdout.splitlines()]
        cls.returncode, cls.stderr = done.returncode, done.stderr

    def each(self):
        for report in self.reports:
            with self.subTest(report["name"]):
                yield report

    def test_the_process_survives_them_all(self):
        self.assertEqual((self.returncode, self.stderr), (0, ""))
        self.assertEqual([report["name"] for report in self.reports], [case.name for case in cases()])

    def test_each_ends_as_it_should(self):
        for report in self.each():
            self.assertNotIn("unexpected", report["outcome"])
            if report["expected"] != "any":
                self.assertEqual(report["outcome"], report["expected"], report["message"])

    def test_messages_are_sentences_without_control_characters(self):
        for report in self.each():
            if report["outcome"] != "read":
                self.assertTrue(report["message"].isprintable())
                self.assertRegex(report["message"], r"^(This|The) .*\.$")
                self.assertLess(len(report["message"]), 300)

    def test_none_takes_long(self):
        for report in self.each():
            self.assertLess(report["seconds"], SECONDS)

    def test_none_takes_much_memory(self):
        for report in self.each():
            self.assertLess(report["memory"], MEMORY)
            self.assertLess(report["sandbox"], SANDBOX_MEMORY)


class TogetherTests(SimpleTestCase):
    def test_several_large_pictures_at_once_share_the_room(self):
        command = [sys.executable, "-m", "classifier.tests.hostile.together", "6", "4"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        self.assertEqual(done.stderr, "")
        report = json.loads(done.stdout)
        self.assertEqual(report["read"], 24)
        self.assertLess(report["memory"], MOST + 40_000_000)  # stored JPEGs, and what the allocator keeps
        self.assertGreater(report["memory"], MOST / 2)


class CutTests(SimpleTestCase):
    def test_a_photo_cut_off_at_any_kilobyte_is_refused(self):
        chelsea = photo()
        read = 0
        for kind, name in (
            ("JPEG", "JPEG"), ("PNG", "PNG"), ("GIF", "GIF"), ("WEBP", "WebP"), ("BMP", "BMP"), ("TIFF", "TIFF"),
            ("AVIF", "AVIF"),
        ):  # fmt: skip
            for options in ({}, {"progressive": True}) if kind == "JPEG" else ({},):
                for data in cuts(encoded(chelsea, kind, **options)):
                    with self.subTest(kind=kind, options=options, length=len(data)), self.assertRaises(BrokenImage):
                        decoding.picture_decode(io.BytesIO(data), name, LIMITS["max_pixels"])
                    read += 1
        self.assertGreater(read, 1000)

    def test_the_whole_photo_is_read(self):
        for kind, name in (("JPEG", "JPEG"), ("GIF", "GIF"), ("AVIF", "AVIF")):
            data = encoded(photo(), kind)
            picture = decoding.picture_decode(io.BytesIO(data), name, LIMITS["max_pixels"])
            self.assertEqual(picture.image.size, Image.open(io.BytesIO(data)).size)
