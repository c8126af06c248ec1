"""What is written by SQL put together once is what Django would have written."""

from uuid import uuid4

from django.forms.models import model_to_dict
from django.test import TestCase

from classifier.models import Classification, Embedding, Prediction, Upload
from classifier.services.statements import row_insert, row_lock, row_update, rows_insert
from classifier.tests.test_models import make_upload


class StatementTests(TestCase):
    def test_a_row_is_stored_as_django_stores_it(self):
        upload = make_upload(name="a 'quoted' name.png", image=b"\x00\xff'")
        fields = {"upload": upload, "model": "m", "precision": "int8", "square": {"x": 1, "y": 2, "side": 3}}
        theirs, ours = Classification.objects.create(**fields), Classification(**fields)
        row_insert(ours)
        stored = Classification.objects.get(pk=ours.pk)
        self.assertEqual(model_to_dict(stored, exclude=["id"]), model_to_dict(theirs, exclude=["id"]))
        self.assertIsNotNone(stored.created)
        self.assertEqual((ours._state.adding, ours._state.db), (False, "default"))
        ours.reason = "changed"
        ours.save()  # an update and no second row
        self.assertEqual(Classification.objects.count(), 2)

    def test_a_key_of_ones_own_is_kept(self):
        upload = Upload(id=uuid4(), name="b.png", format="PNG", width=1, height=1, image=b"\x00\xff'")
        row_insert(upload)
        self.assertEqual(bytes(Upload.objects.get(pk=upload.pk).image), b"\x00\xff'")

    def test_several_rows_at_once(self):
        run = Classification.objects.create(upload=make_upload(), model="m", precision="int8")
        rows = [Prediction(classification=run, rank=n, label=f"l{n}", score=0.1 * n) for n in (1, 2, 3)]
        rows_insert(rows)
        self.assertEqual([row.label for row in run.predictions.order_by("rank")], ["l1", "l2", "l3"])

    def test_what_is_there_is_replaced_in_the_columns_named(self):
        upload = make_upload()
        for vector, owner in ((b"\x00\x3c", "first"), (b"\x00\x40", "second")):
            row = Embedding(upload=upload, owner=owner, weights_sha256="1" * 64, dim=1, vector=vector)
            rows_insert([row], unique=("upload_id", "weights_sha256"), replaced=("vector",))
        stored = Embedding.objects.get()
        self.assertEqual((stored.vector, stored.owner), (b"\x00\x40", "first"))

    def test_an_update_of_what_has_changed_meanwhile_changes_nothing(self):
        upload = make_upload()
        upload.latest = Classification.objects.create(upload=upload, model="m", precision="int8")
        upload.save()
        other = Classification.objects.create(upload=upload, model="m", precision="int8")
        self.assertFalse(row_update(upload, {"top_label": "x"}, latest=other))
        self.assertNotEqual(Upload.objects.get(pk=upload.pk).top_label, "x")
        self.assertTrue(row_update(upload, {"top_label": "x", "latest": other}, latest=upload.latest))
        stored = Upload.objects.get(pk=upload.pk)
        self.assertEqual((stored.top_label, stored.latest_id), ("x", other.pk))

    def test_a_lock_says_whether_the_row_is_there(self):
        self.assertTrue(row_lock(Upload, make_upload().pk, "FOR NO KEY UPDATE"))
        self.assertFalse(row_lock(Upload, uuid4(), "FOR NO KEY UPDATE"))
