import io
import os
import sys
from unittest import mock

from django.test import SimpleTestCase
from PIL import Image

from classifier import errors
from classifier.pictures import reading, sandbox
from classifier.tests.hostile.common import flat, noise
from classifier.tests.photos import encoded


def read(image, name="TIFF", max_pixels=50_000_000):
    return sandbox.read(io.BytesIO(encoded(image, name)), name, max_pixels)


class SandboxTests(SimpleTestCase):
    def test_pixels_come_back_as_they_were(self):
        picture = noise("RGB", (70, 50))
        image, _name, width, height = read(picture)
        self.assertEqual((image.mode, image.size, (width, height)), ("RGB", (70, 50), (70, 50)))
        self.assertEqual(image.tobytes(), picture.tobytes())

    def test_a_divided_picture_says_how_large_it_was(self):
        image, _name, width, height = read(flat(4000, 3500, "1"))
        self.assertEqual((image.size, (width, height)), ((2000, 1750), (4000, 3500)))

    def test_errors_come_back_as_they_were(self):
        with self.assertRaisesMessage(errors.TooManyPixels, "This picture is 70 by 50 pixels (0.0 megapixels)"):
            read(noise("RGB", (70, 50)), max_pixels=100)
        with self.assertRaisesMessage(errors.BrokenImage, "This TIFF picture is damaged or cut short"):
            sandbox.read(io.BytesIO(b"II*\0"), "TIFF", 100)

    def test_it_has_no_secrets(self):
        with mock.patch.dict(os.environ, {"SECRET_KEY": "s", "DATABASE_URL": "postgres://"}):
            self.assertLessEqual(set(sandbox.environment()), set(sandbox.ENVIRONMENT))

    def test_what_takes_too_long_is_ended(self):
        with (
            mock.patch.object(sandbox, "COMMAND", [sys.executable, "-c", "import time; time.sleep(60)"]),
            mock.patch.object(sandbox, "TIMEOUT", 0.2),
            self.assertRaisesMessage(errors.BrokenImage, "takes too long or too much memory to read"),
        ):
            read(noise())

    def test_a_crash_of_the_decoder_is_a_broken_picture(self):
        crash = "import os; os.kill(os.getpid(), 11)"
        with (
            mock.patch.object(sandbox, "COMMAND", [sys.executable, "-c", crash]),
            self.assertRaisesMessage(errors.BrokenImage, "Save it as a JPEG or PNG and send that."),
        ):
            read(noise())

    def test_memory_and_time_are_bounded_by_the_kernel(self):
        script = "from classifier.pictures import sandbox; sandbox.SECONDS = 1; sandbox.limit_self(); "
        for attempt in ("bytes(300_000_000)", "exec('while True: pass')"):
            with (
                self.subTest(attempt=attempt),
                mock.patch.object(sandbox, "COMMAND", [sys.executable, "-c", script + attempt]),
                mock.patch.object(sandbox, "TIMEOUT", 60),
                self.assertRaises(errors.BrokenImage),
            ):
                read(noise())

    def test_nothing_is_left_open(self):
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            read(noise())
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_pictures_of_these_formats_go_there(self):
        for name in reading.SANDBOXED:
            with (
                self.subTest(name=name),
                mock.patch.object(sandbox, "read", side_effect=errors.BrokenImage("was here")),
            ):
                data = encoded(Image.new("RGB", (8, 8)), name)
                with self.assertRaisesMessage(errors.BrokenImage, "was here"):
                    reading.picture_read(io.BytesIO(data), max_bytes=10**6, max_pixels=10**6)
