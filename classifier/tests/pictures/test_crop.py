"""The outline agrees with what the engine cuts out."""

import numpy as np
from django.test import SimpleTestCase
from PIL import Image

from classifier.engine.preprocess import centre_crop, picture_resized
from classifier.pictures.crop import crop_paths, crop_seen

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
