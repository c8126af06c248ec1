"""Ranking in passing: what it looks at, what it remembers, what it counts, and what is kept of it."""

from unittest import mock

import numpy as np
from PIL import Image, ImageDraw

from classifier.errors import Gone, StorageFull
from classifier.models import Classification, Embedding, Upload
from classifier.pictures.crop import Crop
from classifier.services import live, uploads
from classifier.services.heads import IMAGENET_CHOICE, choice_of_labels
from classifier.services.live import rank_share, square_keep, square_of_run, upload_rank
from classifier.tests.colour_engine import ColourEngine, ColourTestCase, serve
from classifier.tests.services.test_uploads import png_of

COLOURS = choice_of_labels(("red", "blue", "green"), ("{}",))
LEFT, RIGHT = Crop(0, 0, 100, 100), Crop(200, 0, 100, 100)


class LiveTestCase(ColourTestCase):
    def setUp(self):
        super().setUp()
        live._squares.clear()
        self.addCleanup(live._squares.clear)
        self.upload = self.make()

    def make(self, size=(300, 100)):
        """Red on the left, blue on the right, and green between."""
        picture = Image.new("RGB", size, "green")
        draw = ImageDraw.Draw(picture)
        third = size[0] // 3
        draw.rectangle((0, 0, third - 1, size[1]), fill="red")
        draw.rectangle((2 * third, 0, size[0], size[1]), fill="blue")
        made = uploads.upload_create(file=png_of(picture), name="a.png", owner="me", choice=COLOURS)
        return Upload.objects.with_latest().get(pk=made.pk)

    def first(self, **how):
        return upload_rank(upload=self.upload, **{"choice": COLOURS, **how}).predictions[0].label

    def looks(self, **how):
        """How many pictures the model looks at for one ranking."""
        before = self.engine.pictures_seen
        upload_rank(upload=self.upload, **{"choice": COLOURS, **how})
        return self.engine.pictures_seen - before


class RankTests(LiveTestCase):
    def test_labels_are_ranked_by_what_was_kept_and_nothing_is_stored(self):
        other = choice_of_labels(("white", "black"), ("{}",))
        self.assertEqual(self.looks(choice=other), 0)
        found = upload_rank(upload=self.upload, choice=other)
        self.assertEqual({each.label for each in found.predictions}, {"white", "black"})
        self.assertAlmostEqual(sum(each.score for each in found.predictions), 1, places=5)
        self.assertEqual((found.model, found.label_set), ("colours", "custom"))
        self.assertEqual(Classification.objects.count(), 1)

    def test_a_square_is_looked_at_alone(self):
        self.assertEqual(self.first(square=LEFT), "red")
        self.assertEqual(self.first(square=RIGHT), "blue")
        self.assertEqual(self.first(square=Crop(100, 0, 100, 100)), "green")

    def test_a_square_lies_where_it_lay_in_the_larger_original(self):
        self.upload = self.make((3000, 1000))
        self.assertEqual(self.first(square=Crop(0, 0, 1000, 1000)), "red")
        self.assertEqual(self.first(square=Crop(2000, 0, 1000, 1000)), "blue")
        self.assertEqual(self.first(square=Crop(2999, 999, 1, 1)), "blue")  # less than a pixel of what was kept

    def test_a_square_is_looked_at_once(self):
        self.assertEqual([self.looks(square=LEFT), self.looks(square=LEFT), self.looks(square=RIGHT)], [1, 0, 1])
        self.assertEqual(self.looks(square=LEFT, choice=choice_of_labels(("white", "red"), ("{}",))), 0)

    def test_no_more_squares_are_remembered_than_there_is_room_for(self):
        with mock.patch.object(live, "REMEMBERED", 2):
            for left in (0, 50, 100):
                self.looks(square=Crop(left, 0, 100, 100))
            self.assertEqual(len(live._squares), 2)
            self.assertEqual(self.looks(square=Crop(100, 0, 100, 100)), 0)
            self.assertEqual(self.looks(square=LEFT), 1)

    def test_another_model_looks_again(self):
        self.looks(square=LEFT)
        other = ColourEngine(weights_sha256="e" * 64)
        with serve(other):
            upload_rank(upload=self.upload, choice=COLOURS, square=LEFT)
        self.assertEqual(other.pictures_seen, 1)

    def test_what_was_deleted_is_gone(self):
        Upload.objects.filter(pk=self.upload.pk).delete()
        with self.assertRaises(Gone):
            upload_rank(upload=self.upload, choice=COLOURS, square=LEFT)


class ShareTests(LiveTestCase):
    def share(self, *labels, square=None):
        return rank_share(choice=choice_of_labels(labels, ("{}",)) if labels else IMAGENET_CHOICE, square=square)

    def test_it_is_what_a_ranking_costs(self):
        self.assertEqual(self.share("red", "blue"), 0.1)  # asked about already
        self.assertEqual(self.share(), 0.1)
        self.assertAlmostEqual(self.share("red", "something new"), 0.2)
        self.assertEqual(self.share("red", "blue", square=LEFT), 1)

    def test_it_is_never_more_than_a_picture(self):
        self.assertEqual(self.share(*(f"label {number}" for number in range(100))), 1)


class KeepTests(LiveTestCase):
    def test_the_ranking_of_a_square_is_kept_with_where_it_was(self):
        kept = np.asarray(Embedding.objects.get().vector)
        run = square_keep(upload=self.upload, choice=COLOURS, square=RIGHT)
        upload = Upload.objects.with_latest().get()
        self.assertEqual((upload.latest, upload.top_label), (run, "blue"))
        self.assertEqual(upload.latest.square, {"x": 200, "y": 0, "side": 100})
        self.assertEqual(square_of_run(upload, upload.latest), RIGHT)
        self.assertEqual(upload.latest.predictions.count(), 3)
        # What pictures are compared by stays that of the whole.
        np.testing.assert_array_equal(np.asarray(Embedding.objects.get().vector), kept)

    def test_runs_of_the_whole_have_no_square(self):
        self.assertIsNone(square_of_run(self.upload, self.upload.latest))
        self.assertIsNone(square_of_run(self.upload, None))
        square_keep(upload=self.upload, choice=COLOURS, square=RIGHT)
        uploads.upload_relabel(upload=self.upload, choice=COLOURS)
        upload = Upload.objects.with_latest().get()
        self.assertEqual((upload.latest.square, upload.classifications.count()), (None, 3))

    def test_nothing_is_kept_where_there_is_no_room_or_no_upload(self):
        with (
            mock.patch.object(live, "storage_check", side_effect=StorageFull("full")),
            self.assertRaises(StorageFull),
        ):
            square_keep(upload=self.upload, choice=COLOURS, square=RIGHT)
        upload_rank(upload=self.upload, choice=COLOURS, square=RIGHT)  # remembered
        Upload.objects.filter(pk=self.upload.pk).delete()
        with self.assertRaises(Gone):
            square_keep(upload=self.upload, choice=COLOURS, square=RIGHT)
        self.assertFalse(Classification.objects.exists())
