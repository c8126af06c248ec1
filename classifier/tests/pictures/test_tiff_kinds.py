"""TIFFs of every kind, written by tifffile: each is read as what it is, or is refused by name."""

import io
import itertools

import numpy as np
import tifffile
from django.test import SimpleTestCase
from PIL import Image

from classifier.errors import BrokenImage, ImageError, UnsupportedImage
from classifier.tests.photos import encoded, photo
from classifier.tests.pictures.test_reading import read

COLOURS = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "separated": 4}
EXTRAS = ((), ("unassalpha",), ("assocalpha",), ("unspecified",))
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8")
TOLERANCE = 0.02  # of white, of each pixel


def shades(samples):
    """(48, 64, samples) between 0 and 1: another gradient in each."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x / 64, y / 48, (x + y) / 112, 1 - x / 128, 0.3 + y / 96][:samples], -1)


def as_type(values, name):
    if name[0] == "f":
        return values.astype(name)
    most = 2 ** (8 * int(name[1])) - 1
    return (values * most - (most // 2 + 1 if name[0] == "i" else 0)).astype(name)


def written(values, photometric, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric=photometric, metadata=None, **options)
    return stream.getvalue()


def below(first, second, photometric, **options):
    """A TIFF whose first picture has a second one below it."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(first, photometric="rgb", subifds=1, metadata=None, **options)
        writer.write(second, photometric=photometric, subfiletype=0 if options else 1, metadata=None)
    return stream.getvalue()


def seen(values, photometric, alpha):
    """What a person sees of it, as RGB between 0 and 1, on white."""
    colours = values[..., : COLOURS[photometric]]
    if photometric == "separated":
        colours = (1 - colours[..., :3]) * (1 - colours[..., 3:])
    elif photometric != "rgb":
        colours = np.repeat(1 - colours if photometric == "miniswhite" else colours, 3, -1)
    return colours * alpha + 1 - alpha


class TiffKindTests(SimpleTestCase):
    def kinds(self):
        yield from itertools.product(TYPES, COLOURS, EXTRAS, ("contig", "separate"), (None, "zlib"), "<>")

    def outcome(self, sort, photometric, extras, planes, compression, order):
        """ "right", "refused", or by how much a pixel is wrong; None for a kind that cannot be written."""
        count = COLOURS[photometric] + len(extras)
        if count == 1 and planes == "separate":
            return None
        values = stored = shades(count)
        alpha = values[..., -1:] if extras and extras[0].endswith("alpha") else 1
        if extras == ("assocalpha",):
            stored = np.concatenate([values[..., :-1] * alpha, alpha], -1)
        stored = as_type(stored[..., 0] if count == 1 else stored, sort)
        options = {"planarconfig": planes} if count > 1 else {}
        if planes == "separate":
            stored = np.moveaxis(stored, -1, 0)
        try:
            data = written(
                stored, photometric, compression=compression, byteorder=order, extrasamples=extras or None, **options
            )
        except ValueError:
            return None
        try:
            picture = read(data)
        except UnsupportedImage:
            return "refused"
        wrong = np.abs(np.asarray(picture.image) / 255 - seen(values, photometric, alpha)).max()
        return "right" if wrong < TOLERANCE else wrong

    def test_each_is_read_as_what_it_is_or_refused(self):
        outcomes = {kind: self.outcome(*kind) for kind in self.kinds()}
        wrong = {kind: outcome for kind, outcome in outcomes.items() if outcome not in ("right", "refused", None)}
        self.assertEqual(wrong, {})
        right = [kind for kind, outcome in outcomes.items() if outcome == "right"]
        for kind in (
            ("u1", "rgb", (), "separate", "zlib", "<"),
            ("u1", "rgb", ("assocalpha",), "contig", None, ">"),
            ("u1", "separated", (), "contig", None, "<"),
            ("u2", "minisblack", (), "contig", "zlib", ">"),
            ("u2", "miniswhite", (), "contig", None, "<"),
            ("u2", "rgb", ("unassalpha",), "contig", None, "<"),
            ("u2", "rgb", (), "separate", "zlib", "<"),
            ("i2", "minisblack", (), "contig", None, ">"),
            ("f4", "minisblack", (), "contig", "zlib", "<"),
            ("f4", "miniswhite", (), "contig", None, ">"),
        ):
            self.assertIn(kind, right)

    def test_white_is_zero_is_the_negative_of_the_same_samples(self):
        """TIFF 6.0, PhotometricInterpretation: under 0 a sample of 0 is white, under 1 it is black.

        So two files with the same samples show a picture and its negative: libtiff's own reader (tiff2rgba 4.5) makes
        186 and 69 of 17733, and 173 and 82 of 21074. Files that show the same picture have opposite samples.
        """
        same = np.repeat(np.array([[17733, 21074]], np.uint16), 48, 0).repeat(32, 1)
        white, black = (np.asarray(read(written(same, name)).image)[24] for name in ("miniswhite", "minisblack"))
        self.assertEqual([tuple(white[0]), tuple(white[63])], [(186,) * 3, (173,) * 3])
        self.assertEqual([tuple(black[0]), tuple(black[63])], [(69,) * 3, (82,) * 3])
        opposite = np.asarray(read(written(65535 - same, "miniswhite")).image)[24]
        self.assertTrue((opposite == black).all())

    def test_sixteen_bits_in_planes_are_not_read_scrambled(self):
        planes = np.broadcast_to(np.array([55255, 6425, 7710], np.uint16)[:, None, None], (3, 48, 64))
        self.assertEqual(
            read(written(planes, "rgb", planarconfig="separate", compression="zlib")).image.getpixel((32, 24)),
            (215, 25, 30),
        )
        with self.assertRaisesMessage(UnsupportedImage, "This TIFF is of a rare kind that we cannot read."):
            read(written(planes, "rgb", planarconfig="separate"))

    def test_a_whole_file_of_a_rare_kind_is_not_called_damaged(self):
        grey = as_type(shades(1)[..., 0], "u2")
        for name, data in (
            (
                "grey with alpha in 16 bits",
                written(as_type(shades(2), "u2"), "minisblack", extrasamples=["unassalpha"]),
            ),
            ("CMYK with alpha", written(as_type(shades(5), "u1"), "separated", extrasamples=["unassalpha"])),
            ("Lab", encoded(Image.new("LAB", (8, 8)), "TIFF")),
            (
                "an unknown compression",
                written(grey, "minisblack").replace(b"\x03\1\3\0\1\0\0\0\1\0", b"\x03\1\3\0\1\0\0\0\x98\x87"),
            ),
        ):
            with self.subTest(name), self.assertRaisesMessage(UnsupportedImage, "Save it as a PNG or JPEG"):
                read(data)
        half = written(grey, "minisblack")
        for data in (half[: len(half) // 2], half[:100], half[:8]):
            with self.assertRaises(BrokenImage):
                read(data)

    def test_what_was_not_measured_does_not_count(self):
        heights = (shades(1)[..., 0] * 900 - 300).astype("f4")
        expected = np.asarray(read(written(heights, "minisblack")).image)
        for name, value in (
            ("NaN", np.nan),
            ("infinity", -np.inf),
            ("the least float", -3.4028235e38),
            ("named", -9999.0),
        ):
            with self.subTest(name):
                holed = heights.copy()
                holed[:, 20:24] = value
                tag = [(42113, "s", 0, "-9999", True)] if name == "named" else []
                pixels = np.asarray(read(written(holed, "minisblack", extratags=tag)).image)
                kept = np.arange(64)[(np.arange(64) < 20) | (np.arange(64) >= 24)]
                self.assertLessEqual(np.abs(pixels.astype(int) - expected)[:, kept].max(), 1)
        with self.assertRaisesMessage(ImageError, "nothing was measured"):
            read(written(np.full((8, 8), np.nan, "f4"), "minisblack"))

    def test_camera_raw_files(self):
        preview = np.full((12, 16, 3), 200, np.uint8)
        mosaic = as_type(shades(1)[..., 0], "u2")
        kinds = {
            "DNG with a preview": written(preview, "rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)]),
            "a mosaic": written(mosaic, "cfa"),
            "linear": written(as_type(shades(3), "u2"), "linear_raw"),
            "a preview over a mosaic": below(preview, mosaic, "cfa", subfiletype=1),
            "a preview over its picture": below(preview, preview, "rgb", subfiletype=1),
            "Canon": b"II*\0\x10\0\0\0CR\2\0" + bytes(60),
            "Canon, later": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
            "Fujifilm": b"FUJIFILMCCD-RAW 0201" + bytes(60),
            "Olympus": b"IIRO\x08\0\0\0" + bytes(60),
        }
        for name, data in kinds.items():
            with self.subTest(name), self.assertRaises(UnsupportedImage) as caught:
                read(data)
            self.assertEqual(
                str(caught.exception),
                "This is a camera's raw file, which we cannot read. Export it as a JPEG and send that.",
            )

    def test_a_tiff_with_smaller_copies_below_is_an_ordinary_one(self):
        chelsea = np.asarray(photo())
        data = below(chelsea, chelsea[::2, ::2], "rgb")
        self.assertTrue((np.asarray(read(data).image) == chelsea).all())
