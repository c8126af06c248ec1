import io
import struct

import numpy as np
from django.test import SimpleTestCase
from PIL import Image

from classifier.pictures import containers, decoding, pixels, reading
from classifier.tests.hostile import NAMES
from classifier.tests.photos import PHOTOS, encoded, photo

LIMITS = {"max_bytes": 20_000_000, "max_pixels": 50_000_000}


def read(data, **changed):
    """As uploads are read, but TIFF and AVIF in this process, which is quicker; test_sandbox has the other."""
    name = containers.format_name(data[: containers.PREFIX])
    if name in reading.SANDBOXED:
        return decoding.picture_decode(io.BytesIO(data), name, (LIMITS | changed)["max_pixels"])
    return reading.picture_read(io.BytesIO(data), **(LIMITS | changed))


def values(image):
    return np.asarray(image, dtype=np.int16)


def exif_with_orientation(value, order="<"):
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + magic + struct.pack(order + "LHHHLHHL", 8, 1, 274, 3, 1, value, 0, 0)


class FormatTests(SimpleTestCase):
    def assertReads(self, data, expected, name, tolerance=0):
        picture = read(data)
        self.assertEqual(picture.format, name)
        self.assertEqual(picture.image.mode, "RGB")
        self.assertEqual((picture.width, picture.height), expected.size)
        difference = np.abs(values(picture.image) - values(expected))
        self.assertLessEqual(difference.mean(), tolerance)

    def test_lossless_formats_keep_every_pixel(self):
        chelsea = photo()
        for kind, name, options in (
            ("PNG", "PNG", {}),
            ("BMP", "BMP", {}),
            ("TIFF", "TIFF", {}),
            ("TIFF", "TIFF", {"compression": "tiff_lzw"}),
            ("WEBP", "WebP", {"lossless": True}),
        ):
            with self.subTest(kind=kind, options=options):
                self.assertReads(encoded(chelsea, kind, **options), chelsea, name)

    def test_lossy_formats_look_the_same(self):
        chelsea = photo()
        for kind, name in (("JPEG", "JPEG"), ("WEBP", "WebP"), ("AVIF", "AVIF")):
            with self.subTest(kind=kind):
                self.assertReads(encoded(chelsea, kind, quality=90), chelsea, name, tolerance=4)

    def test_an_ordinary_jpeg_is_decoded_as_openai_decodes_it(self):
        for path in (PHOTOS / "rocket.jpg", PHOTOS / "retina.jpg"):
            self.assertReads(path.read_bytes(), Image.open(path).convert("RGB"), "JPEG")

    def test_palette_grey_and_bilevel_pictures(self):
        grey = photo("camera.png").convert("L")
        for mode, kind, name in (
            ("P", "GIF", "GIF"),
            ("P", "PNG", "PNG"),
            ("L", "JPEG", "JPEG"),
            ("1", "PNG", "PNG"),
            ("1", "TIFF", "TIFF"),
        ):
            with self.subTest(mode=mode, kind=kind):
                image = grey.convert(mode)
                data = encoded(image, kind)
                self.assertReads(data, Image.open(io.BytesIO(data)).convert("RGB"), name)

    def test_sixteen_bits_keep_their_high_byte(self):
        ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
        expected = Image.fromarray((ramp >> 8).astype(np.uint8)).convert("RGB")
        for kind, name in (("PNG", "PNG"), ("TIFF", "TIFF")):
            self.assertReads(encoded(Image.fromarray(ramp), kind), expected, name)
        self.assertReads(encoded(Image.fromarray(ramp.astype(np.int32)), "TIFF"), expected, "TIFF")

    def test_float_pictures(self):
        ramp = np.linspace(0, 1, 64 * 64).astype(np.float32).reshape(64, 64)
        expected = Image.fromarray((ramp * 255).astype(np.uint8)).convert("RGB")
        self.assertReads(encoded(Image.fromarray(ramp), "TIFF"), expected, "TIFF", tolerance=1)
        self.assertReads(encoded(Image.fromarray(ramp * 4e6 - 2e6), "TIFF"), expected, "TIFF", tolerance=1)

    def test_transparent_parts_become_white(self):
        chelsea = photo()
        alpha = Image.new("L", chelsea.size, 255)
        alpha.paste(0, (0, 0, 100, 100))
        alpha.paste(128, (100, 0, 200, 100))
        rgba = chelsea.copy()
        rgba.putalpha(alpha)
        expected = Image.composite(chelsea, Image.new("RGB", chelsea.size, "white"), alpha)
        for kind, name, options in (
            ("PNG", "PNG", {}),
            ("WEBP", "WebP", {"lossless": True, "exact": True}),
            ("TIFF", "TIFF", {}),
        ):
            with self.subTest(kind=kind):
                self.assertReads(encoded(rgba, kind, **options), expected, name, tolerance=0.02)
        self.assertReads(
            encoded(rgba.convert("LA"), "PNG"),
            Image.composite(chelsea.convert("L").convert("RGB"), Image.new("RGB", chelsea.size, "white"), alpha),
            "PNG",
            tolerance=0.02,
        )

    def test_a_transparent_colour_becomes_white(self):
        red = Image.new("RGB", (8, 8), (255, 0, 0))
        self.assertEqual(read(encoded(red, "PNG", transparency=(255, 0, 0))).image.getpixel((0, 0)), (255, 255, 255))
        self.assertEqual(read(encoded(red, "PNG")).image.getpixel((0, 0)), (255, 0, 0))
        palette = red.convert("P")
        data = encoded(palette, "GIF", transparency=palette.getpixel((0, 0)))
        self.assertEqual(read(data).image.getpixel((0, 0)), (255, 255, 255))

    def test_cmyk_as_adobe_writes_it_inverted(self):
        chelsea = photo()
        data = encoded(chelsea.convert("CMYK"), "JPEG", quality=95)
        self.assertIn(b"Adobe", data[:200])
        self.assertReads(data, chelsea, "JPEG", tolerance=4)
        self.assertReads(encoded(chelsea.convert("CMYK"), "TIFF"), chelsea, "TIFF", tolerance=1)

    def test_of_an_animation_the_first_frame(self):
        frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "lime", "blue")]
        for kind, name, options in (
            ("GIF", "GIF", {}),
            ("WEBP", "WebP", {"lossless": True}),
            ("PNG", "PNG", {}),
            ("TIFF", "TIFF", {}),
        ):
            with self.subTest(kind=kind):
                data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
                self.assertReads(data, frames[0], name)

    def test_the_reader_and_its_metadata_are_let_go(self):
        image = read(encoded(photo(), "WEBP", exif=exif_with_orientation(1))).image
        self.assertIs(type(image), Image.Image)
        self.assertEqual(image.info, {})


class OrientationTests(SimpleTestCase):
    def test_every_orientation_comes_out_upright(self):
        chelsea = photo().resize((120, 80))
        undo = dict(pixels.UPRIGHT)
        undo[6], undo[8] = undo[8], undo[6]
        for kind, name in (("PNG", "PNG"), ("WEBP", "WebP"), ("TIFF", "TIFF")):
            for value in range(1, 9):
                with self.subTest(kind=kind, value=value):
                    stored = chelsea.transpose(undo[value]) if value > 1 else chelsea
                    exif = Image.Exif()
                    exif[274] = value
                    options = {"lossless": True} if kind == "WEBP" else {}
                    picture = read(encoded(stored, kind, exif=exif, **options))
                    self.assertEqual((picture.width, picture.height), (120, 80))
                    self.assertEqual(picture.format, name)
                    self.assertTrue((values(picture.image) == values(chelsea)).all())

    def test_a_jpeg_from_a_phone_held_upright(self):
        data = encoded(photo(), "JPEG", exif=exif_with_orientation(6, ">"))
        picture = read(data)
        self.assertEqual((picture.width, picture.height), (300, 451))
        expected = Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_270)
        self.assertTrue((values(picture.image) == values(expected)).all())


class LargePictureTests(SimpleTestCase):
    def test_a_phones_photo_is_not_divided(self):
        data = encoded(photo("rocket.jpg").resize((4032, 3024)), "JPEG", exif=exif_with_orientation(8))
        picture = read(data)
        self.assertEqual(picture.image.size, (3024, 4032))
        expected = Image.open(io.BytesIO(data)).transpose(Image.Transpose.ROTATE_90)
        self.assertEqual(picture.image.tobytes(), expected.tobytes())

    def test_a_progressive_jpeg_is_divided_more_where_its_coefficients_take_the_room(self):
        header = Image.new("CMYK", (1, 1))
        header._size = (5200, 3300)
        self.assertEqual(pixels.Opened(header, "JPEG", None, 0, io.BytesIO()).divisor, 2)
        self.assertEqual(pixels.Opened(header, "JPEG", None, 8 * 5200 * 3300, io.BytesIO()).divisor, 4)

    def test_a_large_jpeg_is_decoded_small(self):
        large = photo().resize((6000, 4000))
        picture = read(encoded(large, "JPEG", exif=exif_with_orientation(6)))
        self.assertEqual((picture.width, picture.height), (4000, 6000))
        self.assertEqual(picture.image.size, (1000, 1500))
        expected = large.reduce(4).transpose(Image.Transpose.ROTATE_270)
        self.assertLess(np.abs(values(picture.image) - values(expected)).mean(), 2)

    def test_a_divided_picture_has_the_same_shape_for_clip(self):
        for size, divided in (((6001, 4001), (1501, 1001)), ((6002, 4001), (1501, 1000)), ((6000, 4000), (1500, 1000))):
            for kind in ("JPEG", "PNG"):
                with self.subTest(size=size, kind=kind):
                    image = read(
                        encoded(Image.new("L", size), kind, **({"compress_level": 1} if kind == "PNG" else {}))
                    ).image
                    self.assertEqual(image.size, divided)
                    for side in (224, 336):
                        self.assertEqual(side * image.width // image.height, side * size[0] // size[1])

    def test_a_large_png_is_divided(self):
        large = photo().resize((5001, 3003), Image.Resampling.NEAREST)
        picture = read(encoded(large, "PNG", compress_level=1))
        self.assertEqual((picture.width, picture.height), (5001, 3003))
        self.assertTrue((values(picture.image) == values(large.reduce(2).crop((0, 0, 2501, 1501)))).all())


class StoredJpegTests(SimpleTestCase):
    def stored(self, image, **options):
        data = reading.picture_to_jpeg(image, **options)
        return data, reading.picture_from_jpeg(data)

    def test_the_longer_side_is_512(self):
        self.assertEqual(self.stored(photo("rocket.jpg"))[1].size, (512, 342))
        self.assertEqual(self.stored(photo().rotate(90, expand=True).resize((1000, 2000)))[1].size, (256, 512))

    def test_a_small_picture_keeps_its_size(self):
        self.assertEqual(self.stored(photo())[1].size, (451, 300))
        self.assertEqual(self.stored(Image.new("RGB", (1, 40)))[1].size, (1, 40))
        self.assertEqual(self.stored(Image.new("RGB", (600, 12)))[1].size, (512, 10))

    def test_it_looks_like_the_picture(self):
        chelsea = photo()
        self.assertLess(np.abs(values(self.stored(chelsea)[1]) - values(chelsea)).mean(), 3)

    def test_nothing_but_pixels_is_kept(self):
        exif = Image.Exif()
        exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
        source = encoded(photo(), "JPEG", exif=exif, icc_profile=b"profile" * 99, comment=b"secret comment")
        data, image = self.stored(read(source).image)
        for part in (b"Exif", b"ICC_PROFILE", b"secret", b"http"):
            self.assertIn(part, source + b"http")
            self.assertNotIn(part, data)
        self.assertEqual(set(image.info), {"jfif", "jfif_version", "jfif_unit", "jfif_density"})


class NameTests(SimpleTestCase):
    def test_names_as_they_should_be_kept(self):
        for sent, kept in NAMES.items():
            with self.subTest(sent=sent):
                self.assertEqual(reading.name_clean(sent), kept)
                self.assertLessEqual(len(reading.name_clean(sent)), 255)
                self.assertTrue(reading.name_clean(sent).replace("\u200d", "").isprintable())

    def test_a_shorter_bound(self):
        self.assertEqual(reading.name_clean("a" * 99 + ".jpeg", longest=20), "a" * 15 + ".jpeg")
        self.assertEqual(reading.name_clean("a." + "x" * 99, longest=20), "a." + "x" * 18)
