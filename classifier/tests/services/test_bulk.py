"""Many pictures through one engine: order, batches, threads, memory, and files that are none."""

import io
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from django.test import SimpleTestCase
from PIL import Image

from classifier.engine import Config, load_engine
from classifier.services import bulk
from classifier.tests.colour_engine import ColourEngine, place
from classifier.tests.photos import PHOTOS, plain

ROOT = Path(__file__).parents[3]
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def png(colour, size=(32, 24)) -> bytes:
    return plain("PNG", colour, size)


def sources(*contents: bytes, asked: bool = True):
    return [bulk.Source(f"{n}", partial(io.BytesIO, data), asked) for n, data in enumerate(contents)]


class RunTests(SimpleTestCase):
    def test_results_come_in_order_with_the_embedding_of_their_own_picture(self):
        colours = [COLOURS[number % 3] for number in range(50)]
        found = list(bulk.pictures_embed(sources(*map(png, colours)), loaded=ColourEngine(), lanes=3, batch=4))
        self.assertEqual([result.source.name for result in found], [str(n) for n in range(50)])
        for result, colour in zip(found, colours, strict=True):
            np.testing.assert_allclose(result.value, place(colour), atol=1e-6)

    def test_a_file_that_is_no_picture_costs_no_other_its_answer(self):
        contents = [png("red"), b"nothing", b"", png("blue"), png("red")[:60]]
        found = list(bulk.pictures_classify(sources(*contents), loaded=ColourEngine(), top=1, batch=3))
        self.assertEqual(
            [result.value and result.value.predictions[0].label for result in found],
            ["red thing", None, None, "blue thing", None],
        )
        self.assertIn("not a picture we can read", found[1].error)
        self.assertIn("empty", found[2].error)
        self.assertIn("damaged or cut short", found[4].error)

    def test_a_file_that_is_gone_or_closed_to_us_is_told(self):
        (result,) = bulk.pictures_embed(bulk.sources_of(["/nowhere/a.jpg"]), loaded=ColourEngine())
        self.assertEqual(result.error, "No such file or directory.")

    def test_what_a_folder_holds_beside_pictures_is_passed_over_and_what_pretends_to_be_one_is_told(self):
        others = [b"notes", b"%PDF-1.7", b"PK\x03\x04", b"<html>", b"\0\0\0\x18ftypisom" + bytes(20), b""]
        found = list(bulk.pictures_embed(sources(*others, asked=False), loaded=ColourEngine()))
        self.assertTrue(all(result.passed_over for result in found))
        heic = b"\0\0\0\x18ftypheic" + bytes(20)
        pretends = [
            bulk.Source("heic", partial(io.BytesIO, heic), asked=False),
            bulk.Source("cut.JPG", partial(io.BytesIO, b""), asked=False),
        ]
        self.assertTrue(all(result.error for result in bulk.pictures_embed(pretends, loaded=ColourEngine())))

    def test_one_lane_reads_while_another_computes(self):
        meeting = threading.Barrier(2, timeout=10)  # broken, and the test with it, where only one lane runs

        def compute(pictures):
            meeting.wait()
            return [1] * len(pictures)

        found = bulk.sources_run(sources(*[png("red")] * 8), loaded=ColourEngine(), compute=compute, lanes=2, batch=2)
        self.assertEqual([result.value for result in found], [1] * 8)

    def test_sources_are_taken_as_results_are_asked_for(self):
        taken = itertools.count()
        endless = (bulk.Source(str(next(taken)), partial(io.BytesIO, png("red"))) for _ in itertools.count())
        results = bulk.pictures_embed(endless, loaded=ColourEngine(), lanes=2, batch=4)
        for _ in range(20):
            next(results)
        results.close()
        self.assertLess(next(taken), 20 + (bulk.AHEAD + 1) * 2 * 4 + 4)

    def test_the_whole_picture_can_be_looked_at_while_it_is_there(self):
        def keep(picture, file):
            return picture.width, picture.format, len(file.read())

        data = png("red", (300, 200))
        (result,) = bulk.pictures_embed(sources(data), loaded=ColourEngine(), keep=keep)
        self.assertEqual(result.kept[:2], (300, "PNG"))

    def test_what_the_model_raises_ends_the_run(self):
        def compute(pictures):
            raise RuntimeError("out of memory")

        with self.assertRaisesMessage(RuntimeError, "out of memory"):
            list(bulk.sources_run(sources(png("red")), loaded=ColourEngine(), compute=compute))

    def test_a_lane_that_finds_no_room_waits_for_it(self):
        from classifier.errors import Busy
        from classifier.pictures import reading

        real, refusals = reading.picture_open, iter([Busy("later"), Busy("later")])

        def crowded(*args, **options):
            for refusal in refusals:
                raise refusal
            return real(*args, **options)

        with mock.patch.object(reading, "picture_open", crowded):
            (result,) = bulk.pictures_embed(sources(png("red")), loaded=ColourEngine())
        self.assertEqual(result.error, "")

    def test_processor_time_is_told_apart(self):
        def compute(pictures):
            until = time.thread_time() + 0.05
            while time.thread_time() < until:
                pass
            return [1] * len(pictures)

        tally = bulk.Tally()
        data = png("red", (2000, 1500))
        for result in bulk.sources_run(sources(data, data), loaded=ColourEngine(), compute=compute, batch=2):
            tally.add(result)
        self.assertEqual((tally.done, tally.failed, tally.passed_over), (2, 0, 0))
        self.assertGreater(tally.read, 0.002)
        self.assertAlmostEqual(tally.compute, 0.05, delta=0.02)

    def test_the_standin_classifies_real_photos(self):
        loaded = load_engine(Config("standin", Path(), threads=1))
        found = bulk.pictures_classify(bulk.sources_of([PHOTOS / "coffee.png", PHOTOS / "rocket.jpg"]), loaded=loaded)
        self.assertEqual([r.value.predictions[0].label for r in found], ["espresso", "missile"])


class SharpnessTests(SimpleTestCase):
    """A JPEG is decoded small where what the model sees of it stays the same."""

    def seen(self, path: Path) -> Image.Image:
        engine = mock.Mock(info=mock.Mock(input_resolution=224))
        engine.seen = lambda picture: picture.copy()
        work = bulk.Batch(engine, list, bulk.Limits(), None)
        return work.read(next(bulk.sources_of([path]))).value

    def test_a_large_jpeg_comes_smaller_and_keeps_four_times_the_resolution(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "large.jpg")
            Image.open(PHOTOS / "astronaut.png").resize((2400, 2000)).save(path)
            self.assertEqual(self.seen(path).size, (1200, 1000))
            Image.open(PHOTOS / "astronaut.png").resize((2400, 1700)).save(path)
            self.assertEqual(self.seen(path).size, (2400, 1700))  # half of it would be less than 896

    def test_the_model_sees_the_same(self):
        from classifier.engine.preprocess import picture_crop

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "large.jpg")
            Image.open(PHOTOS / "astronaut.png").convert("RGB").resize((3000, 3000)).save(path, quality=92)
            with Image.open(path) as whole:
                small, large = (np.asarray(picture_crop(p, 224), float) for p in (self.seen(path), whole))
        self.assertLess(np.abs(small - large).mean(), 0.5)  # of 255 levels


class WithoutDjangoTests(SimpleTestCase):
    def test_an_actor_can_use_it_without_settings(self):
        code = (
            "import sys; from classifier.services import bulk, finding; "
            "assert not any(name.startswith('django') for name in sys.modules), sorted(sys.modules)"
        )
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
