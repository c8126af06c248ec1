from django.test import SimpleTestCase

from classifier.capacity import limits
from classifier.pictures import pixels


class LimitTests(SimpleTestCase):
    def test_every_format_that_is_read_has_one(self):
        self.assertEqual(set(limits.pixel_limits(50_000_000)), set(pixels.READERS))

    def test_no_format_has_more_than_all(self):
        self.assertEqual(set(limits.pixel_limits(1_000_000).values()), {1_000_000})
        self.assertEqual(limits.pixel_limits(50_000_000)["JPEG"], 50_000_000)
        self.assertEqual(limits.pixel_limits(50_000_000)["PNG"], 30_000_000)

    def test_pages_say_which_are_lower(self):
        self.assertEqual(limits.smaller_limits(50_000_000), "30 as PNG or BMP, 16 as TIFF, 12 as WebP or AVIF")
        self.assertEqual(limits.smaller_limits(15_000_000), "12 as WebP or AVIF")
        self.assertEqual(limits.smaller_limits(1_000_000), "")
