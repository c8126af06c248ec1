"""The outline agrees with what the engine cuts out, and squares that somebody chooses lie in the picture."""

import itertools

import numpy as np
from django.test import SimpleTestCase
from PIL import Image

from classifier.engine.preprocess import centre_crop, picture_resized
from classifier.pictures.crop import Crop, crop_paths, crop_seen, smallest_side, square_within, squares_offered

STANDIN = "stand-in: EfficientNet-Lite0, not CLIP"


class CropTests(SimpleTestCase):
    def assert_agrees(self, width: int, height: int, model: str, shorter: int, side: int):
        """A picture whose colours are its coordinates: the corners of the engine's crop tell where it was cut."""
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        seen = crop_seen(width, height, model)
        for axis, (values, start, extent) in enumerate(((x, seen.left, seen.width), (y, seen.top, seen.height))):
            ramp = Image.fromarray(values.astype(np.float32), mode="F")
            cut = np.asarray(centre_crop(picture_resized(ramp, shorter, Image.Resampling.BILINEAR), side))
            middle = cut[side // 2] if axis == 0 else cut[:, side // 2]
            step = extent / side  # pixels of the picture per pixel of the crop; values are pixel centres
            for place in (side // 4, side // 2, 3 * side // 4):  # away from the edges, where filters are cut off
                self.assertAlmostEqual(middle[place], start + (place + 0.5) * step - 0.5, delta=0.51)

    def test_it_is_the_square_that_clip_reads(self):
        for width, height in ((600, 400), (400, 600), (512, 512), (1001, 333), (225, 224), (50, 40)):
            with self.subTest(width=width, height=height):
                self.assert_agrees(width, height, "ViT-B/32", 224, 224)

    def test_larger_models_read_the_same_square_more_finely(self):
        self.assert_agrees(600, 400, "ViT-L/14@336px", 336, 336)

    def test_the_stand_in_reads_less(self):
        self.assert_agrees(600, 400, STANDIN, 256, 224)

    def test_the_rest_is_covered_and_the_corners_are_inside(self):
        paths = crop_paths(crop_seen(600, 400, "ViT-B/32"), 600, 400)
        self.assertEqual(paths["outside"], "M0 0h600v400h-600zM100.0 0.0h400.0v400.0h-400.0z")
        self.assertEqual(paths["corners"].count("M"), 4)


class ChosenSquareTests(SimpleTestCase):
    def test_it_is_moved_into_the_picture(self):
        for asked, found in (
            ((10, 20, 100), (10, 20, 100)),
            ((-5, -900, 100), (0, 0, 100)),
            ((590, 390, 100), (500, 300, 100)),
            ((50, 50, 5000), (50, 0, 400)),
            ((10, 10, 1), (10, 10, 25)),  # a sixteenth of 400
            ((10**9, 10**9, -(10**9)), (575, 375, 25)),
        ):
            with self.subTest(asked):
                left, top, side = found
                self.assertEqual(square_within(600, 400, *asked), Crop(left, top, side, side))

    def test_it_fits_pictures_of_any_shape(self):
        for width, height in ((1, 1), (1, 5000), (3, 2), (16, 16), (512, 511), (9000, 40)):
            for asked in ((0, 0, 0), (10**6, 10**6, 10**6), (width // 2, height // 2, 7)):
                with self.subTest(width=width, height=height, asked=asked):
                    square = square_within(width, height, *asked)
                    self.assertGreaterEqual(square.left, 0)
                    self.assertGreaterEqual(square.top, 0)
                    self.assertGreaterEqual(square.width, smallest_side(width, height))
                    self.assertLessEqual(square.left + square.width, width)
                    self.assertLessEqual(square.top + square.height, height)

    def test_a_panorama_is_covered_from_end_to_end(self):
        for width, height in ((600, 400), (1200, 400), (1201, 400), (400, 3000), (5000, 7)):
            with self.subTest(width=width, height=height):
                squares = squares_offered(width, height)
                side, longer = min(width, height), max(width, height)
                places = [square.left if width > height else square.top for square in squares]
                self.assertEqual({square.width for square in squares}, {side})
                self.assertEqual((places[0], places[-1] + side), (0, longer))
                self.assertLess(side * (len(squares) - 1), longer)  # and one less would not do
                for one, next_one in itertools.pairwise(places):
                    self.assertLessEqual(next_one, one + side)

    def test_other_pictures_offer_none(self):
        for size in ((599, 400), (400, 599), (400, 400), (1, 1)):
            self.assertEqual(squares_offered(*size), [])
