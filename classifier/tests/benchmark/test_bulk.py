"""Measuring the bulk core, with an engine that costs nothing."""

import hashlib
import itertools
import sys
import tempfile
import time
import unittest
from pathlib import Path

from django.test import SimpleTestCase
from PIL import Image

from classifier.benchmark import bulk
from classifier.services import bulk as core
from classifier.tests.colour_engine import ColourEngine


class BulkTests(SimpleTestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        for number in range(5):
            Image.new("RGB", (32, 24), "red").save(Path(self.folder, f"{number}.png"))

    def test_rates_are_of_the_pictures_that_were_seen(self):
        engine = ColourEngine()
        (found,) = bulk.measure(engine, self.folder, pictures=5, rounds=1)
        self.assertEqual(engine.pictures_seen, bulk.PIECE + 5)  # the engine alone, and in bulk
        for cost in (found.engine, found.read, found.bulk):
            self.assertGreater(cost.rate, 0)
            self.assertGreater(cost.processor, 0)
        self.assertIn("in bulk", bulk.table([found]))

    def test_shares_are_of_the_engine_and_of_both_together(self):
        found = bulk.Round(bulk.Cost(100, 12), bulk.Cost(300, 4), bulk.Cost(60, 20), wanted=1)
        self.assertAlmostEqual(found.of_engine, 0.6)
        self.assertAlmostEqual(found.of_both, 0.8)

    @unittest.skipUnless(sys.platform == "linux", "schedstat is Linux's")
    def test_lanes_that_compute_want_a_core_and_lanes_that_sleep_do_not(self):
        def spin(pictures):
            until = time.thread_time() + 0.02
            while time.thread_time() < until:
                hashlib.sha256(bytes(100_000))  # lets Python's lock go, as the model does
            return [1] * len(pictures)

        def sleep(pictures):
            time.sleep(0.02)
            return [1] * len(pictures)

        (source,) = itertools.islice(bulk.Finder([self.folder]), 1)
        for compute, low, high in ((spin, 0.75, 1.1), (sleep, 0, 0.5)):
            watch = bulk.LaneWatch()
            watch.over(
                core.sources_run([source] * 160, loaded=ColourEngine(), compute=compute, batch=2, lanes=core.cores())
            )
            self.assertTrue(low <= watch.wanted <= high, (compute, watch.wanted))

    def test_memory_is_sampled_along_the_folder_again_and_again(self):
        found = bulk.memory_over(ColourEngine(), self.folder, 40, points=4)
        self.assertEqual([done for done, _ in found], [10, 20, 30, 40])
        self.assertTrue(all(10 < megabytes < 10_000 for _, megabytes in found))

    def test_a_folder_without_pictures_is_told(self):
        with self.assertRaises(bulk.NoPictures), tempfile.TemporaryDirectory() as empty:
            next(bulk.measure(ColourEngine(), empty, pictures=5, rounds=1))
