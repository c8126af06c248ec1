"""Pictures as real software leaves them: what others show is read as they show it, the rest is refused by name."""

import random
import struct
import zlib

import numpy as np
from django.test import SimpleTestCase
from PIL import Image, ImageDraw

from classifier.errors import BrokenImage, UnsupportedImage
from classifier.tests.photos import encoded, photo
from classifier.tests.pictures.test_reading import read, values

SAMSUNG = b"SEFH" + struct.pack("<LLLLL", 107, 1, 0x0A01, 20, 20) + struct.pack("<L", 24) + b"SEFT"


class JpegWithoutEndTests(SimpleTestCase):
    KINDS = {
        "ordinary": {},
        "own tables": {"optimize": True, "quality": 30},
        "restart markers": {"restart_marker_rows": 1},
        "progressive": {"progressive": True},
    }

    def each(self):
        for name, options in self.KINDS.items():
            for picture in (photo("rocket.jpg"), photo().convert("L")):
                data = encoded(picture, "JPEG", **options)
                self.assertEqual(data[-2:], b"\xff\xd9")
                with self.subTest(name, mode=picture.mode):
                    yield data[:-2], read(data).image

    def test_it_is_read_when_every_pixel_is_there(self):
        for data, expected in self.each():
            for tail in (b"", b"\xff", b"\0" * 30, b"20 bytes of a block." + SAMSUNG):
                self.assertEqual(read(data + tail).image.tobytes(), expected.tobytes())

    def test_one_that_lacks_data_is_damaged(self):
        draw = random.Random(0)
        for data, _ in self.each():
            for cut in (3, 10, 100, draw.randrange(1000, len(data) // 2), len(data) // 2):
                for tail in (b"", SAMSUNG.replace(struct.pack("<L", 20), bytes(4))):
                    with self.assertRaisesMessage(BrokenImage, "damaged or cut short"):
                        read(data[:-cut] + tail)

    def test_a_progressive_one_that_lacks_its_last_scans_is_damaged(self):
        data = encoded(photo(), "JPEG", progressive=True)
        with self.assertRaises(BrokenImage):
            read(data[: data.rindex(b"\xff\xda")])

    def test_a_large_one_is_divided(self):
        data = encoded(photo().resize((6000, 4000)), "JPEG")
        self.assertEqual(read(data[:-2]).image.tobytes(), read(data).image.tobytes())


class BmpAlphaTests(SimpleTestCase):
    def bmp(self, alpha, header=124):
        """A BMP of 32 bits with masks for four channels; alpha: (height, width) uint8."""
        rgba = np.dstack([np.asarray(photo().resize((64, 48))), alpha])
        pixels = rgba[::-1, :, [2, 1, 0, 3]].tobytes()
        masks = struct.pack("<4L", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        info = struct.pack("<LllHHLLllLL", header, 64, 48, 1, 32, 3, len(pixels), 2835, 2835, 0, 0) + masks
        info = info.ljust(header, b"\0")
        return b"BM" + struct.pack("<LHHL", 14 + header + len(pixels), 0, 0, 14 + header) + info + pixels

    def test_alpha_of_zero_everywhere_means_nothing(self):
        expected = photo().resize((64, 48))
        for header in (56, 108, 124):
            with self.subTest(header=header):
                picture = read(self.bmp(np.zeros((48, 64), np.uint8), header)).image
                self.assertTrue((values(picture) == values(expected)).all())

    def test_in_a_tiff_neither(self):
        rgba = photo().resize((64, 48))
        expected = values(rgba)
        rgba.putalpha(0)
        self.assertTrue((values(read(encoded(rgba, "TIFF")).image) == expected).all())

    def test_any_other_alpha_is_heeded(self):
        alpha = np.zeros((48, 64), np.uint8)
        alpha[:, 32:] = 255
        picture = read(self.bmp(alpha)).image
        self.assertEqual(picture.getpixel((5, 5)), (255, 255, 255))
        self.assertEqual(picture.getpixel((40, 5)), photo().resize((64, 48)).getpixel((40, 5)))


class GroundTests(SimpleTestCase):
    def drawing(self, colour):
        image = Image.new("RGBA", (300, 200), (*colour, 0))
        ImageDraw.Draw(image).ellipse((60, 40, 240, 160), outline=(*colour, 255), width=4)
        return image

    def formats(self, image):
        yield "PNG", encoded(image, "PNG")
        yield "WebP", encoded(image, "WEBP", lossless=True)
        yield "AVIF", encoded(image, "AVIF")
        yield "TIFF", encoded(image, "TIFF")
        yield "grey PNG", encoded(image.convert("LA"), "PNG")
        yield "GIF", encoded(image, "GIF")

    def test_a_white_drawing_is_laid_on_black(self):
        for colour in ((255, 255, 255), (240, 240, 240)):
            for name, data in self.formats(self.drawing(colour)):
                with self.subTest(name, colour=colour):
                    image = read(data).image
                    self.assertEqual(image.getpixel((150, 100)), (0, 0, 0))
                    self.assertGreater(min(image.getpixel((61, 100))), 220)

    def test_any_other_drawing_is_laid_on_white(self):
        for colour in ((0, 0, 0), (255, 160, 0), (200, 200, 200)):
            for name, data in self.formats(self.drawing(colour)):
                with self.subTest(name, colour=colour):
                    self.assertEqual(read(data).image.getpixel((150, 100)), (255, 255, 255))

    def test_a_white_drawing_with_dark_outlines_stays_on_white(self):
        image = self.drawing((0, 0, 0))
        ImageDraw.Draw(image).ellipse((64, 44, 236, 156), fill=(255, 255, 255, 255))
        self.assertEqual(read(encoded(image, "PNG")).image.getpixel((0, 0)), (255, 255, 255))


class NamedRefusalTests(SimpleTestCase):
    def assertRefuses(self, data, message):
        with self.assertRaisesMessage(UnsupportedImage, message):
            read(data)

    def test_a_png_packed_by_xcode(self):
        data = encoded(photo(), "PNG")
        chunk = b"CgBI" + b"P\0 \2"
        chunk = struct.pack(">L", 4) + chunk + struct.pack(">L", zlib.crc32(chunk))
        self.assertRefuses(data[:8] + chunk + data[8:], "This PNG was packed by Xcode for an iPhone")

    def test_heif_is_no_video(self):
        for brand, others in ((b"jpeg", b"mif1"), (b"mif2", b"miaf"), (b"avci", b"mif1"), (b"miaf", b"")):
            data = (16 + len(others)).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + others
            with self.subTest(brand):
                self.assertRefuses(data, "This is a HEIF picture, which we cannot read. Save or export it as a JPEG")
        for brand, others in ((b"heic", b"mif1"), (b"mif2", b"heic"), (b"mif1", b"")):
            data = (16 + len(others)).to_bytes(4, "big") + b"ftyp" + brand + bytes(4) + others
            with self.subTest(brand):
                self.assertRefuses(data, "This is a HEIC photo, which we cannot read.")
        self.assertRefuses(b"\0\0\0\x14ftypmp42\0\0\0\0isom", "This file is a video")

    def test_a_rare_kind_of_bmp_is_not_called_damaged(self):
        data = encoded(photo(), "BMP")
        self.assertRefuses(data[:30] + b"\4" + data[31:], "This BMP is of a rare kind that we cannot read.")

    def test_relatives_of_png(self):
        self.assertRefuses(b"\x8aMNG\r\n\x1a\n" + bytes(60), "This file is an MNG animation")
