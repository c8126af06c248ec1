"""Constraints and querysets of the records."""

from django.db import IntegrityError
from django.test import TestCase

from classifier.models import Classification, Prediction, Upload


def make_upload(owner: str = "someone", **fields) -> Upload:
    values = {"name": "a.jpg", "format": "JPEG", "width": 4, "height": 3, "sha256": "0" * 64, "image": b"jpeg"}
    return Upload.objects.create(owner=owner, **{**values, **fields})


class UploadTests(TestCase):
    def test_it_finds_an_owners_uploads_only(self):
        mine, _other = make_upload("me"), make_upload("you")
        self.assertEqual(list(Upload.objects.of_owner("me")), [mine])

    def test_nobody_owns_uploads_without_an_owner(self):
        make_upload("")
        self.assertFalse(Upload.objects.of_owner("").exists())

    def test_lists_leave_the_picture_in_the_database(self):
        make_upload()
        with self.assertNumQueries(1) as queries:
            upload = Upload.objects.get()
        self.assertNotIn('"image"', queries[0]["sql"])
        self.assertEqual(bytes(upload.image), b"jpeg")

    def test_a_run_that_is_not_done_has_no_top_label(self):
        upload = make_upload()
        self.assertIsNone(upload.top)
        upload.latest = Classification.objects.create(upload=upload, status="failed")
        self.assertIsNone(upload.top)


class PredictionTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.run_ = Classification.objects.create(upload=make_upload(), status="done")

    def make(self, **fields):
        return Prediction.objects.create(
            **{"classification": self.run_, "rank": 1, "label": "cat", "score": 0.5, **fields}
        )

    def test_a_rank_exists_once(self):
        self.make()
        with self.assertRaises(IntegrityError):
            self.make(label="dog")

    def test_a_score_is_a_probability(self):
        with self.assertRaises(IntegrityError):
            self.make(score=1.5)
