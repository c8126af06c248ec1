"""Measuring the bulk core, with an engine that costs nothing."""

import tempfile
from pathlib import Path

from django.test import SimpleTestCase
from PIL import Image

from classifier.benchmark import bulk
from classifier.tests.colour_engine import ColourEngine


class BulkTests(SimpleTestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        for number in range(5):
            Image.new("RGB", (32, 24), "red").save(Path(self.folder, f"{number}.png"))

    def test_rates_are_of_the_pictures_that_were_seen(self):
        engine = ColourEngine()
        (rates,) = bulk.measure(engine, self.folder, pictures=5, rounds=1)
        self.assertEqual(engine.pictures_seen, bulk.PIECE + 5)  # the engine alone, and in bulk
        self.assertTrue(all(rate > 0 for rate in vars(rates).values()))
        self.assertIn("in bulk", bulk.table([rates]))

    def test_shares_are_of_the_engine_and_of_both_together(self):
        rates = bulk.Rates(embed=100, read=300, bulk=60, busy=1)
        self.assertAlmostEqual(rates.of_engine, 0.6)
        self.assertAlmostEqual(rates.of_both, 0.8)  # 75 are possible

    def test_memory_is_sampled_along_the_folder_again_and_again(self):
        found = bulk.memory_over(ColourEngine(), self.folder, 40, points=4)
        self.assertEqual([done for done, _ in found], [10, 20, 30, 40])
        self.assertTrue(all(10 < megabytes < 10_000 for _, megabytes in found))

    def test_a_folder_without_pictures_is_told(self):
        with self.assertRaises(bulk.NoPictures), tempfile.TemporaryDirectory() as empty:
            next(bulk.measure(ColourEngine(), empty, pictures=5, rounds=1))
