"""The square that CLIP sees, by the C files and by Pillow: the same to the bit."""

import unittest
from unittest import mock

import numpy as np
from django.test import SimpleTestCase
from PIL import Image

from classifier.engine import preprocess
from classifier.engine.native import resize
from classifier.engine.native.build import library_build
from classifier.engine.native.library import library

BICUBIC = Image.Resampling.BICUBIC
SIDES = (64, 224, 336)
SIZES = (
    (500, 375), (375, 500), (300, 700), (480, 640), (400, 1000), (230, 500), (224, 224), (225, 955), (955, 225),
    (224, 300), (1, 1), (7, 3), (3, 40), (33, 923), (1822, 94), (226, 293), (803, 274), (1999, 1500), (1500, 1999),
)  # fmt: skip


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values if seed % 2 == 0 else 255 * (values > 127).astype(np.uint8))


@unittest.skipUnless(library_build() and library(), "needs a C compiler and a processor with AVX-512 and VNNI")
class ResizeTests(SimpleTestCase):
    def by_pillow(self, picture: Image.Image, side: int) -> np.ndarray:
        with mock.patch.object(preprocess, "library", return_value=None):
            return np.asarray(preprocess.picture_crop(picture, side))

    def test_it_is_pillows_to_the_bit(self):
        for width, height in SIZES:
            for side in SIDES:
                for seed in (0, 1):  # the second one of black and white only, where sums overshoot
                    picture = noise(width, height, seed)
                    with self.subTest(size=(width, height), side=side, seed=seed):
                        square = preprocess.native_square(picture, side)
                        self.assertTrue(np.array_equal(square[:, :, :3], self.by_pillow(picture, side)))

    def test_pixels_and_crop_are_the_same_either_way(self):
        picture = noise(500, 375)
        ours, crop = preprocess.picture_to_pixels(picture, 224), preprocess.picture_crop(picture, 224)
        with mock.patch.object(preprocess, "library", return_value=None):
            self.assertTrue(np.array_equal(ours, preprocess.picture_to_pixels(picture, 224)))
        self.assertTrue(np.array_equal(np.asarray(crop), self.by_pillow(picture, 224)))
        self.assertTrue(np.array_equal(ours, preprocess.picture_to_pixels(crop, 224)))

    def test_a_pillow_that_always_goes_across_first_is_followed(self):
        picture = noise(300, 700)
        across = picture.resize((224, 700), BICUBIC).resize((224, 522), BICUBIC)
        with mock.patch.object(resize, "pillow_goes_down_first", return_value=False):
            square = preprocess.native_square(picture, 224)
        self.assertTrue(np.array_equal(square[:, :, :3], np.asarray(preprocess.centre_crop(across, 224))))

    def test_what_it_cannot_read_is_left_to_pillow(self):
        picture = noise(100, 80)
        for other in (picture.convert("L"), picture.convert("RGBA"), picture.convert("P"), noise(2600, 2000)):
            with self.subTest(mode=other.mode, size=other.size):
                self.assertIsNone(preprocess.native_square(other, 224))
                self.assertEqual(preprocess.picture_to_pixels(other, 224).shape, (3, 224, 224))
        self.assertIsNone(preprocess.native_square(picture, 10))

    def test_a_pillow_without_arrow_is_not_asked_for_it(self):
        picture = mock.Mock(spec=["mode", "size", "width", "height"], mode="RGB", size=(100, 80), width=100, height=80)
        self.assertIsNone(preprocess.native_square(picture, 224))

    def test_an_even_colour_stays_even_to_the_edges(self):
        for width, height in ((8, 8), (9, 200), (200, 9)):
            picture = Image.new("RGB", (width, height), (200, 100, 50))
            square = preprocess.native_square(picture, 64)
            self.assertEqual(set(map(tuple, square[:, :, :3].reshape(-1, 3))), {(200, 100, 50)})
