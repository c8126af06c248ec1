"""Why a label was given: computed once, kept, and refused where it would be another ranking's."""

from unittest import mock

import numpy as np
from django.test import TestCase, override_settings
from PIL import Image, ImageDraw

from classifier.errors import NothingToExplain
from classifier.models import Occlusion, Upload
from classifier.pictures.crop import Crop
from classifier.services import explain, storage, uploads
from classifier.services.explain import upload_explain
from classifier.services.heads import choice_of_labels
from classifier.services.live import square_keep
from classifier.tests import colour_engine
from classifier.tests.colour_engine import ColourEngine
from classifier.tests.services.test_uploads import png_of


def red_on_blue():
    """A red square in the top left of a blue picture."""
    picture = Image.new("RGB", (140, 140), "blue")
    ImageDraw.Draw(picture).rectangle((0, 0, 59, 59), fill="red")
    return picture


class ExplainTests(TestCase):
    def setUp(self):
        self.engine = ColourEngine()
        self.enterContext(colour_engine.serve(self.engine))
        self.upload = self.make(choice=choice_of_labels(("red", "blue"), ("{}",)))

    def make(self, **options):
        made = uploads.upload_create(file=png_of(red_on_blue()), name="a.png", owner="me", **options)
        return Upload.objects.with_latest().get(pk=made.pk)

    def rank_of(self, label):
        return next(each.rank for each in self.upload.latest.predictions.all() if each.label == label)

    def test_the_map_lies_where_the_label_is(self):
        red = upload_explain(upload=self.upload, rank=self.rank_of("red"))
        blue = upload_explain(upload=self.upload, rank=self.rank_of("blue"))
        self.assertEqual((red.prediction.label, red.heat.shape), ("red", (7, 7)))
        self.assertEqual(np.unravel_index(red.heat.argmax(), (7, 7)), (0, 0))
        self.assertLess(blue.heat[0, 0], 0)
        self.assertGreater(blue.heat[6, 6], 0)

    def test_another_label_costs_no_second_look(self):
        upload_explain(upload=self.upload, rank=1)
        seen = self.engine.pictures_seen
        again = upload_explain(upload=self.upload, rank=2)
        self.assertEqual(self.engine.pictures_seen, seen)
        self.assertEqual(Occlusion.objects.count(), 1)
        fresh = self.engine.explain(self.engine.occlude(red_on_blue()), 0, self.head("red", "blue"))
        expected = fresh if again.prediction.label == "red" else -fresh
        np.testing.assert_allclose(again.heat, expected, atol=0.6)  # float16, and a JPEG in between

    def test_the_map_of_a_square_lies_in_the_square(self):
        square = Crop(40, 40, 80, 80)  # its top left quarter of a quarter is red
        square_keep(upload=self.upload, choice=choice_of_labels(("red", "blue"), ("{}",)), square=square)
        self.upload = Upload.objects.with_latest().get(pk=self.upload.pk)
        upload_explain(upload=self.upload, rank=1)
        seen = self.engine.pictures_seen
        found = upload_explain(upload=self.upload, rank=self.rank_of("red"))
        self.assertGreater(found.heat[0, 0], 0.2)
        self.assertLess(found.heat[4, 4], 0)
        self.assertGreater(self.engine.pictures_seen, seen)  # squares are many: none is kept
        self.assertFalse(Occlusion.objects.exists())

    def test_without_room_it_is_told_and_not_kept(self):
        storage.meter.forget()
        self.addCleanup(storage.meter.forget)
        with override_settings(MAX_STORED_MB=1e-6):
            self.assertEqual(upload_explain(upload=self.upload, rank=1).heat.shape, (7, 7))
        self.assertEqual(Occlusion.objects.count(), 0)

    def head(self, *labels):
        return self.engine.build_head("custom", labels, ["{}"])

    def test_imagenets_labels_and_those_of_a_new_ranking(self):
        plain = self.make()
        self.assertEqual(upload_explain(upload=plain, rank=1).prediction.rank, 1)
        uploads.upload_relabel(upload=self.upload, choice=choice_of_labels(("green", "red", "white"), ("{}",)))
        upload = Upload.objects.with_latest().get(pk=self.upload.pk)
        labels = {upload_explain(upload=upload, rank=rank).prediction.label for rank in (1, 2, 3)}
        self.assertEqual(labels, {"green", "red", "white"})

    def test_what_cannot_be_explained(self):
        with self.assertRaisesMessage(NothingToExplain, "no place 3"):
            upload_explain(upload=self.upload, rank=3)
        other = colour_engine.serve(ColourEngine(weights_sha256="e" * 64))
        with other, self.assertRaisesMessage(NothingToExplain, "Classify it again first"):
            upload_explain(upload=self.upload, rank=1)
        with mock.patch.object(ColourEngine, "classify", side_effect=RuntimeError("no")), self.assertLogs():
            failed = self.make()
        with self.assertRaisesMessage(NothingToExplain, "Classify it first"):
            upload_explain(upload=failed, rank=1)

    def test_what_was_deleted_meanwhile_is_not_kept(self):
        save = explain._save

        def late(*arguments):
            Upload.objects.filter(pk=self.upload.pk).delete()
            save(*arguments)

        with mock.patch.object(explain, "_save", late):
            upload_explain(upload=self.upload, rank=1)
        self.assertFalse(Occlusion.objects.exists())
