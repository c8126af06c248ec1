"""What services keep true of the records. The model is not the point here, so a small one answers."""

from types import SimpleNamespace
from unittest import mock

from django.test import TestCase
from PIL import Image

from classifier import services
from classifier.errors import ModelUnavailable
from classifier.images import picture_to_jpeg
from classifier.models import Classification, Upload

from .test_models import make_upload


class Engine:
    """Answers with fixed labels; calls `before` first, which may raise or overtake."""

    def __init__(self, *labels, before=lambda: None):
        self.labels, self.before = labels, before
        self.info = SimpleNamespace(model="ViT-B/32", precision="int8", weights_sha256="0" * 64, standin=False)

    def classify(self, picture, head=None, top=5):
        self.before()
        ranked = [
            SimpleNamespace(rank=rank, label=label, index=rank, score=0.5**rank, similarity=0.3 / rank)
            for rank, label in enumerate(self.labels, start=1)
        ]
        return SimpleNamespace(predictions=tuple(ranked), embedding=None)


def serve(*labels, **options):
    return mock.patch("classifier.services.engine_get", return_value=Engine(*labels, **options))


class ClassifyAgainTests(TestCase):
    """Upload's own fields follow its newest run."""

    def setUp(self):
        jpeg = picture_to_jpeg(Image.new("RGB", (8, 6), "red"))
        self.upload = make_upload(name="IMG_1.jpg", image=jpeg)

    def test_the_upload_repeats_what_the_run_found(self):
        with serve("espresso", "cup"):
            run = services.upload_classify(upload=self.upload)
        for upload in (self.upload, Upload.objects.get()):
            self.assertEqual(upload.latest, run)
            self.assertEqual((upload.status, upload.model, upload.label_set), ("done", "ViT-B/32", "imagenet"))
            self.assertEqual((upload.top_label, upload.top_score), ("espresso", 0.5))
            self.assertEqual(upload.words, " img 1 jpg espresso")

    def test_a_failed_run_leaves_no_label(self):
        with serve("espresso"):
            services.upload_classify(upload=self.upload)
        with serve(before=mock.Mock(side_effect=RuntimeError("out of luck"))), self.assertLogs("classifier", "ERROR"):
            services.upload_classify(upload=self.upload)
        upload = Upload.objects.get()
        self.assertEqual((upload.status, upload.top_label, upload.top_score), ("failed", "", None))
        self.assertEqual(upload.words, " img 1 jpg")

    def test_a_run_that_was_overtaken_does_not_show(self):
        def overtake():
            with serve("moped"):
                services.upload_classify(upload=Upload.objects.get())

        with serve("espresso", before=overtake):
            services.upload_classify(upload=self.upload)
        self.assertEqual(Upload.objects.get().top_label, "moped")
        self.assertEqual(Classification.objects.filter(status="done").count(), 2)

    def test_without_a_model_nothing_changes(self):
        with (
            mock.patch("classifier.services.engine_get", side_effect=ModelUnavailable("none")),
            self.assertRaises(ModelUnavailable),
        ):
            services.upload_classify(upload=self.upload)
        self.assertFalse(Classification.objects.exists())
