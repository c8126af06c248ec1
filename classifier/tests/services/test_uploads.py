"""Uploads are stored, classified, classified again and deleted."""

import io
from unittest import mock

import numpy as np
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from PIL import Image

from classifier.engine import Answer, Engine, ModelInfo, Ranked
from classifier.errors import ImageError, ModelUnavailable
from classifier.models import Classification, Upload
from classifier.services import engines, runs, uploads
from classifier.tests.photos import PHOTOS


class FixedEngine(Engine):
    """Answers always the same, without a model; what the services do with an answer is the point here."""

    info = ModelInfo("ViT-B/32", "fp32", "f" * 64, 4, 224, standin=False, manifest={})

    def __init__(self, error: Exception | None = None, first="label 1", before=lambda: None, cosine=0.3) -> None:
        self.error, self.first, self.before, self.cosine = error, first, before, cosine

    def classify(self, picture, head=None, top=5) -> Answer:
        self.before()
        if self.error:
            raise self.error
        labels = [self.first, *(f"label {n}" for n in range(2, 6))]
        ranked = tuple(Ranked(n, label, n, 1 / 2**n, self.cosine - n / 100) for n, label in enumerate(labels, start=1))
        return Answer(ranked, np.array([1, 0, 0, 0], dtype=np.float32))


def use_engine(loaded: FixedEngine | None = None):
    return mock.patch("classifier.services.engines.engine_get", return_value=loaded or FixedEngine())


def serve(first: str = "label 1", **options):
    return use_engine(FixedEngine(first=first, **options))


def png(width: int = 64, height: int = 48) -> io.BytesIO:
    return png_of(Image.new("RGB", (width, height), "teal"))


def png_of(picture: Image.Image) -> io.BytesIO:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    stream.seek(0)
    return stream


class UploadCreateTests(TestCase):
    def test_it_stores_the_picture_the_run_and_five_predictions(self):
        with use_engine():
            upload = uploads.upload_create(file=png(1024, 512), name="../a\x00b.png", owner="me")
        upload = Upload.objects.with_latest().get(pk=upload.pk)
        self.assertEqual((upload.owner, upload.name, upload.format), ("me", "ab.png", "PNG"))
        self.assertEqual((upload.width, upload.height), (1024, 512))
        self.assertEqual(Image.open(io.BytesIO(bytes(upload.image))).size, (512, 256))
        run = upload.latest
        self.assertEqual((run.status, run.model, run.precision), ("done", "ViT-B/32", "fp32"))
        self.assertGreater(run.seconds_decode, 0)
        self.assertGreater(run.seconds_predict, 0)
        self.assertEqual([p.label for p in run.predictions.all()], [f"label {n}" for n in range(1, 6)])
        self.assertEqual(upload.top.label, "label 1")

    def test_a_bad_picture_stores_nothing(self):
        with use_engine(), self.assertRaises(ImageError):
            uploads.upload_create(file=io.BytesIO(b"not a picture"), name="a.txt", owner="me")
        self.assertFalse(Upload.objects.exists())

    def test_without_a_model_nothing_is_stored(self):
        with (
            mock.patch("classifier.services.engines.engine_get", side_effect=ModelUnavailable("none")),
            self.assertRaises(ModelUnavailable),
        ):
            uploads.upload_create(file=png(), name="a.png", owner="me")
        self.assertFalse(Upload.objects.exists())

    def test_a_failed_classification_keeps_the_upload_and_says_why(self):
        with use_engine(FixedEngine(RuntimeError("out of luck"))), self.assertLogs("classifier", "ERROR"):
            upload = uploads.upload_create(file=png(), name="a.png", owner="me")
        run = Upload.objects.with_latest().get(pk=upload.pk).latest
        self.assertEqual((run.status, run.predictions.count()), ("failed", 0))
        self.assertIn("out of luck", run.reason)

    def test_predictions_and_done_are_stored_together_or_not_at_all(self):
        broken = mock.patch.object(runs, "rows_insert", side_effect=RuntimeError("disk full"))
        with use_engine(), broken, self.assertRaisesMessage(RuntimeError, "disk full"):
            uploads.upload_create(file=png(), name="a.png", owner="me")
        run = Classification.objects.get()
        self.assertEqual((run.status, run.predictions.count()), ("running", 0))


class UploadClassifyTests(TestCase):
    def test_it_adds_a_run_from_the_stored_picture(self):
        with use_engine(FixedEngine(RuntimeError("x"))), self.assertLogs("classifier", "ERROR"):
            upload = uploads.upload_create(file=png(), name="a.png", owner="me")
        with use_engine():
            run = uploads.upload_classify(upload=Upload.objects.get(pk=upload.pk))
        self.assertEqual(run.status, "done")
        upload = Upload.objects.with_latest().get(pk=upload.pk)
        self.assertEqual((upload.latest, upload.classifications.count()), (run, 2))


class NewestRunTests(TestCase):
    """An upload repeats what its newest run found, for lists and the search."""

    def setUp(self):
        with serve("cup"):
            self.upload = uploads.upload_create(file=png(), name="IMG_1.png", owner="me")

    def test_the_upload_repeats_it(self):
        with serve("espresso"):
            run = uploads.upload_classify(upload=self.upload)
        for upload in (self.upload, Upload.objects.get()):
            self.assertEqual(upload.latest, run)
            self.assertEqual((upload.status, upload.model, upload.label_set), ("done", "ViT-B/32", "imagenet"))
            self.assertEqual((upload.top_label, upload.top_score), ("espresso", 0.5))
            self.assertEqual(upload.words, " img 1 png espresso")

    def test_a_failed_run_leaves_no_label(self):
        with serve(error=RuntimeError("out of luck")), self.assertLogs("classifier", "ERROR"):
            uploads.upload_classify(upload=self.upload)
        upload = Upload.objects.get()
        self.assertEqual((upload.status, upload.top_label, upload.top_score), ("failed", "", None))
        self.assertEqual(upload.words, " img 1 png")

    def test_each_row_is_written_no_more_often_than_it_changes(self):
        with serve("espresso"), CaptureQueriesContext(connection) as asked:
            upload = uploads.upload_create(file=png(), name="a.png", owner="me")
        of_upload = [query["sql"] for query in asked if query["sql"].startswith(("INSERT", "UPDATE", "SELECT"))]
        of_upload = [sql.split()[0] for sql in of_upload if '"classifier_upload"' in sql and "SUM(" not in sql]
        self.assertEqual(of_upload, ["INSERT", "UPDATE"])  # which locks the row, too
        stored = Upload.objects.get(pk=upload.pk)
        self.assertEqual((stored.latest_id, stored.status, stored.top_label), (upload.latest_id, "done", "espresso"))

    def test_a_run_that_was_overtaken_does_not_show(self):
        overtaken = self.upload.latest
        with serve("moped"):
            uploads.upload_classify(upload=self.upload)
        runs.upload_repeat(overtaken, Ranked(1, "espresso", 1, 0.9, 0.3))
        self.assertEqual(Upload.objects.get().top_label, "moped")


class StandinTests(TestCase):
    def test_production_refuses_it(self):
        production = self.settings(CLIP_MODEL="standin", ON_HEROKU=True, DEBUG=False)
        with production, self.assertRaisesMessage(ModelUnavailable, "not CLIP"):
            engines.engine_config()
        with self.settings(CLIP_MODEL="standin", ON_HEROKU=False, DEBUG=False):
            self.assertEqual(engines.engine_config().model, "standin")

    def test_real_photos_get_their_label(self):
        with self.settings(CLIP_MODEL="standin"):
            for name, expected in (("coffee.png", "espresso"), ("rocket.jpg", "missile"), ("chelsea.png", "cat")):
                with self.subTest(name), (PHOTOS / name).open("rb") as file:
                    upload = uploads.upload_create(file=file, name=name, owner="me")
                    upload = Upload.objects.with_latest().get(pk=upload.pk)
                    self.assertIn(expected, upload.top.label)
                    self.assertEqual(upload.latest.model, "stand-in: EfficientNet-Lite0, not CLIP")
