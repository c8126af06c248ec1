"""What is refused as a picture, and in which words."""

import io
import math

from django.test import SimpleTestCase
from PIL import Image

from classifier.capacity import limits
from classifier.errors import BrokenImage, ImageError, ImageTooLarge, MissingImage, TooManyPixels, UnsupportedImage
from classifier.pictures import pixels, reading
from classifier.tests.photos import encoded, photo
from classifier.tests.pictures.test_reading import LIMITS, read


class RefusalTests(SimpleTestCase):
    def assertRefuses(self, error, message, data, **changed):
        with self.assertRaisesMessage(error, message) as caught:
            read(data, **changed)
        self.assertIs(type(caught.exception), error)
        self.assertTrue(str(caught.exception).isprintable())

    def test_an_empty_file(self):
        self.assertRefuses(MissingImage, "The file is empty. Choose a picture to send.", b"")

    def test_too_many_bytes(self):
        data = encoded(photo(), "PNG")
        message = "This file is 0.3 MB; the limit is 0.1 MB."
        self.assertRefuses(ImageTooLarge, message, data, max_bytes=100_000)
        read(data, max_bytes=len(data))
        message = "This file is 20.1 MB; the limit is 20 MB."
        self.assertRefuses(ImageTooLarge, message, bytes(20_000_001))

    def test_too_many_pixels_are_found_before_decoding(self):
        header = encoded(Image.new("1", (8000, 8000)), "PNG")[:60]  # no pixels in it
        message = "This picture is 8,000 by 8,000 pixels (64.0 megapixels); the limit is 50 megapixels."
        self.assertRefuses(TooManyPixels, message, header)

    def test_not_a_picture(self):
        advice = "Send a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."
        for data, message in (
            (b"hello, this is a text file", f"This file is not a picture we can read. {advice}"),
            (b"%PDF-1.7 ...", f"This file is a PDF, not a picture we can read. {advice}"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", f"This file is a video, not a picture we can read. {advice}"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "This is a HEIC photo, which we cannot read. Save or export it"),
        ):
            with self.subTest(data=data):
                self.assertRefuses(UnsupportedImage, message, data)

    def test_formats_that_pillow_reads_and_we_do_not(self):
        for kind in ("PPM", "ICO", "TGA", "PCX", "SGI", "JPEG2000", "EPS", "PDF", "ICNS", "XBM", "DDS", "QOI"):
            with self.subTest(kind=kind):
                data = encoded(photo().resize((64, 64)).convert("1" if kind == "XBM" else "RGB"), kind)
                self.assertRefuses(UnsupportedImage, "Send a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF.", data)

    def test_half_a_file(self):
        for kind, name in (
            ("JPEG", "JPEG"),
            ("PNG", "PNG"),
            ("WEBP", "WebP"),
            ("GIF", "GIF"),
            ("BMP", "BMP"),
            ("TIFF", "TIFF"),
            ("AVIF", "AVIF"),
        ):
            with self.subTest(kind=kind):
                data = encoded(photo(), kind)
                message = f"This {name} picture is damaged or cut short and cannot be read."
                self.assertRefuses(BrokenImage, message, data[: len(data) // 2])

    def test_a_strip_too_narrow_to_be_recognised(self):
        strip = encoded(Image.new("L", (1, 60_000)), "PNG")
        self.assertRefuses(ImageError, "This picture is 1 by 60,000 pixels, too narrow to be recognised.", strip)
        self.assertEqual(read(encoded(Image.new("L", (1, 50)), "PNG")).image.size, (1, 50))

    def test_no_pixels_at_all(self):
        data = bytearray(encoded(Image.new("RGB", (1, 1)), "BMP"))
        data[18:26] = bytes(8)
        self.assertRefuses(BrokenImage, "This BMP picture is damaged or cut short", bytes(data))


class LimitTests(SimpleTestCase):
    def test_pictures_at_the_stated_limits_fit_into_memory(self):
        for name, most in limits.pixel_limits(50_000_000).items():
            for mode in ("P", "L") if name == "GIF" else ("RGB", "L"):
                header = Image.new("L", (1, 1))
                header._size, header._mode = (math.isqrt(most * 4 // 3), math.isqrt(most * 3 // 4)), mode
                extra = 5_000_000 if name in ("WebP", "TIFF", "AVIF") else 0
                opened = pixels.Opened(header, name, None, extra, io.BytesIO())
                with self.subTest(name=name, mode=mode):
                    self.assertLessEqual(opened.memory(opened.divisor), limits.decode_memory())

    def test_beyond_a_formats_limit_the_message_says_what_it_is(self):
        data = encoded(Image.new("RGB", (4200, 3400)), "WEBP", quality=0, method=0)
        with self.assertRaises(TooManyPixels) as caught:
            read(data)
        self.assertEqual(
            str(caught.exception),
            "This picture is 4,200 by 3,400 pixels (14.3 megapixels); of a WebP like this we can read 12.4 megapixels. "
            "Make it smaller, or save it as an ordinary JPEG.",
        )

    def test_memory_is_counted_while_a_picture_is_open(self):
        data = encoded(photo("rocket.jpg"), "JPEG")
        before = reading.ROOM._left
        with reading.picture_open(io.BytesIO(data), **LIMITS) as picture:
            self.assertEqual(reading.ROOM._left, before - 4 * picture.width * picture.height)
        self.assertEqual(reading.ROOM._left, before)
        with self.assertRaisesMessage(ValueError, "closed image"):
            picture.image.load()  # whoever still holds it holds no memory
        with self.assertRaises(BrokenImage):
            read(data[:1000])
        self.assertEqual(reading.ROOM._left, before)
