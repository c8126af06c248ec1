import io
import struct

from django.test import SimpleTestCase
from PIL import Image, PngImagePlugin

from classifier.errors import BrokenImage, UnsupportedImage
from classifier.pictures import containers
from classifier.pictures.containers.parts import Damaged, Parts, Stream, exactly
from classifier.tests.hostile.common import exif_bomb, noise
from classifier.tests.hostile.jpeg import segment
from classifier.tests.hostile.png import chunk
from classifier.tests.photos import encoded


def bare(name, data):
    return containers.bare(name, io.BytesIO(data))


class NameTests(SimpleTestCase):
    def test_the_first_bytes_decide(self):
        for kind, name in (("JPEG", "JPEG"), ("PNG", "PNG"), ("GIF", "GIF"), ("BMP", "BMP"), ("TIFF", "TIFF")):
            self.assertEqual(containers.format_name(encoded(noise(), kind)[: containers.PREFIX]), name)
        for kind, name in (("WEBP", "WebP"), ("AVIF", "AVIF")):
            self.assertEqual(containers.format_name(encoded(noise(), kind)[: containers.PREFIX]), name)
        self.assertEqual(containers.format_name(b""), "")
        self.assertEqual(containers.format_name(b"hello"), "")

    def test_brands_of_iso_media_files(self):
        for brands, name in (
            ((b"avif", b"mif1", b"miaf"), "AVIF"),
            ((b"mif1", b"avif"), "AVIF"),
            ((b"heic", b"mif1"), "a HEIC photo"),
            ((b"mif1", b"heic"), "a HEIC photo"),
            ((b"mif1",), "a HEIC photo"),
            ((b"isom", b"mp42"), "a video"),
        ):
            major, *compatible = brands
            box = b"ftyp" + major + bytes(4) + b"".join(compatible)
            self.assertEqual(containers.format_name(struct.pack(">L", 4 + len(box)) + box), name, brands)


class OrientationTests(SimpleTestCase):
    def exif(self, value, order="<"):
        magic = b"II*\0" if order == "<" else b"MM\0*"
        return magic + struct.pack(order + "LHHHLHHL", 8, 1, 274, 3, 1, value, 0, 0)

    def test_it_is_read_in_either_byte_order_with_and_without_a_prefix(self):
        for order in "<>":
            for value in range(1, 9):
                self.assertEqual(containers.orientation(self.exif(value, order)), value)
                self.assertEqual(containers.orientation(b"Exif\0\0" + self.exif(value, order)), value)

    def test_what_cannot_be_read_means_upright(self):
        good = self.exif(6)
        for exif in (b"", b"Exif\0\0", good[:18], b"XX" + good[2:], self.exif(9), self.exif(0), exif_bomb(), good[:-9]):
            self.assertEqual(containers.orientation(exif), 1)


class PartsTests(SimpleTestCase):
    def setUp(self):
        self.file = io.BytesIO(b"0123456789")
        self.pieces = [b"ab", range(2, 5), b"", range(7, 9), b"z"]

    def test_pieces_follow_each_other(self):
        self.assertEqual(Stream(self.file, self.pieces).read(), b"ab23478z")
        self.assertEqual(Parts(self.file, self.pieces).readall(), b"ab23478z")
        self.assertEqual(Stream(self.file, []).read(), b"")

    def test_it_seeks_and_tells_like_a_file(self):
        plain, parts = io.BytesIO(b"ab23478z"), Stream(self.file, self.pieces)
        for move in ((3, 0), (-2, 1), (4, 1), (-1, 2), (0, 0), (50, 0), (0, 2)):
            self.assertEqual(parts.seek(*move), plain.seek(*move))
            self.assertEqual((parts.tell(), parts.read(2)), (plain.tell(), plain.read(2)))

    def test_a_read_of_four_milliard_bytes_sets_no_memory_aside(self):
        self.assertEqual(Stream(self.file, self.pieces).read(2**62), b"ab23478z")  # a plain buffered file would fail

    def test_exactly_means_exactly(self):
        self.assertEqual(exactly(io.BytesIO(b"abc"), 3), b"abc")
        for length in (4, -1):
            with self.assertRaises(Damaged):
                exactly(io.BytesIO(b"abc"), length)


class BareTests(SimpleTestCase):
    def test_a_decoder_gets_no_metadata(self):
        secret = {"exif": b"Exif\0\0" + exif_bomb(3)[:99] + b"secret", "icc_profile": b"secret" * 9}
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("secret", "secret" * 9)
        more = {"JPEG": {"comment": b"secret"}, "PNG": {"pnginfo": chunks}, "WEBP": {"xmp": b"secret"}}
        for kind, name in (("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WebP")):
            with self.subTest(kind=kind):
                data = encoded(noise(), kind, **secret, **more[kind])
                self.assertIn(b"secret", data)
                left = bare(name, data).stream.read()
                for part in (b"secret", b"Exif", b"EXIF", b"eXIf", b"iCCP", b"ICCP"):
                    self.assertNotIn(part, left)
                self.assertIn(b"secret", bare(name, data).exif)

    def test_what_is_left_decodes_to_the_same_pixels(self):
        for kind, name in (("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WebP"), ("GIF", "GIF"), ("BMP", "BMP")):
            data = encoded(noise("P" if kind == "GIF" else "RGB"), kind)
            left = Image.open(bare(name, data).stream).convert("RGB").tobytes()
            self.assertEqual(left, Image.open(io.BytesIO(data)).convert("RGB").tobytes(), kind)

    def test_of_an_animation_one_frame_is_left(self):
        frames = [noise("RGB").rotate(turn) for turn in (90, 180, 270)]
        for kind, name in (("WEBP", "WebP"), ("PNG", "PNG")):
            data = encoded(noise(), kind, save_all=True, append_images=frames)
            self.assertEqual(Image.open(io.BytesIO(data)).n_frames, 4)
            self.assertEqual(Image.open(bare(name, data).stream).n_frames, 1)

    def test_a_jpegs_colours_are_still_coded_as_it_says(self):
        jfif = encoded(noise(), "JPEG")
        adobe = encoded(noise("CMYK"), "JPEG")
        self.assertIn(b"JFIF\0", bare("JPEG", jfif).stream.read(30))
        self.assertIn(b"Adobe", bare("JPEG", adobe).stream.read(30))
        rgb = encoded(noise(), "JPEG", subsampling=0)  # libjpeg goes by the components' names, too
        rgb = rgb.replace(b"\1\x11\0\2\x11\1\3\x11\1", b"R\x11\0G\x11\1B\x11\1")
        rgb = rgb.replace(b"\3\1\0\2\x11\3\x11\0\x3f\0", b"\3R\0G\x11B\x11\0\x3f\0")
        self.assertIn(b"\3R\0G", rgb)
        for data in (jfif, adobe, rgb):
            left = Image.open(bare("JPEG", data).stream)
            self.assertEqual(left.tobytes(), Image.open(io.BytesIO(data)).tobytes())

    def test_coefficients_of_a_progressive_jpeg_are_counted(self):
        size = (640, 480)
        for options, per_pixel in (
            ({"subsampling": 2}, 1.5),
            ({"subsampling": 0}, 3),
            ({"subsampling": 1}, 2),
        ):
            data = encoded(noise("RGB", size), "JPEG", progressive=True, **options)
            self.assertEqual(bare("JPEG", data).extra, 2 * per_pixel * 640 * 480)
        self.assertEqual(bare("JPEG", encoded(noise("RGB", size), "JPEG")).extra, 0)

    def test_a_jpeg_of_more_scans_than_encoders_write(self):
        data = encoded(noise(), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        bare("JPEG", data[:last] + data[last:-2] * 50 + b"\xff\xd9")
        with self.assertRaisesMessage(BrokenImage, "This JPEG is drawn in too many passes."):
            bare("JPEG", data[:last] + data[last:-2] * 100 + b"\xff\xd9")

    def test_scans_are_found_across_the_edges_of_what_is_read_at_once(self):
        data = encoded(noise(), "JPEG", progressive=True)
        first, last = data.index(b"\xff\xda"), data.rindex(b"\xff\xda")
        for fill in range(65_520, 65_545):
            padded = data[:last] + segment(0xFE, bytes(fill - last + first)) + data[last:-2] * 100 + b"\xff\xd9"
            with self.subTest(fill=fill), self.assertRaises(BrokenImage):
                bare("JPEG", padded)

    def test_rare_kinds_of_jpeg(self):
        data = encoded(noise(), "JPEG")
        for marker in (0xC3, 0xC5, 0xC9, 0xCA, 0xCF):
            with self.assertRaisesMessage(UnsupportedImage, "This JPEG is of a rare kind that we cannot read."):
                bare("JPEG", data.replace(b"\xff\xc0", bytes((0xFF, marker))))

    def test_padding_between_segments_is_read_over(self):
        data = encoded(noise(), "JPEG")
        at = data.index(b"\xff\xdb")
        for padding in (b"\xff" * 9, b"\0" * 9, b"\xff\0\xff\0", b"\xff\x01"):
            left = Image.open(bare("JPEG", data[:at] + padding + data[at:]).stream)
            self.assertEqual(left.tobytes(), Image.open(io.BytesIO(data)).tobytes())

    def test_a_png_with_data_in_many_chunks(self):
        data = encoded(noise(), "PNG")
        start = data.index(b"IDAT") - 4
        length = int.from_bytes(data[start : start + 4], "big")
        packed = data[start + 8 : start + 8 + length]
        split = b"".join(chunk(b"IDAT", packed[at : at + 7]) for at in range(0, length, 7))
        left = Image.open(bare("PNG", data[:start] + split + chunk(b"IEND")).stream)
        self.assertEqual(left.tobytes(), Image.open(io.BytesIO(data)).tobytes())
