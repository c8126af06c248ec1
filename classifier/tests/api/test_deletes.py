"""Deletes beside runs, relabels and each other: both are done, or one finds the other's work gone and says so."""

import threading
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from classifier.errors import Gone
from classifier.models import ApiKey, Classification, Feedback, LabelExample, LabelSet, Prediction, Upload
from classifier.services import embeddings, examples, heads, keys, label_sets, runs, uploads
from classifier.services.rows import deadlocks_retried
from classifier.tests.api.calls import UPLOADS, bearer, issue, small_jpeg
from classifier.tests.concurrency import ConcurrencyTestCase, after_query, begin, together
from classifier.tests.services.test_search import coloured

LABELS = heads.choice_of_labels(("red", "blue", "green"), ("a {}",))
FINISHED = ("INSERT INTO", "classifier_prediction")  # a run's last statement but one


def file() -> SimpleUploadedFile:
    return SimpleUploadedFile("red.jpg", small_jpeg())


class DeleteTests(ConcurrencyTestCase):
    def setUp(self):
        super().setUp()
        self.upload = coloured("red")

    def delete(self):
        uploads.upload_delete(upload=Upload.objects.get(pk=self.upload.pk))

    def relabel(self):
        return uploads.upload_relabel(upload=Upload.objects.get(pk=self.upload.pk), choice=LABELS)

    def left(self):
        return Upload.objects.count(), Classification.objects.count(), Prediction.objects.count()

    def test_a_delete_while_a_run_is_stored_waits_for_it(self):
        with after_query(*FINISHED, do=self.delete):
            self.assertEqual(self.relabel().status, "done")
        self.assertEqual(self.left(), (0, 0, 0))

    def test_a_delete_while_a_run_begins_waits_for_it_and_the_run_ends_quietly(self):
        with after_query("INSERT INTO", "classifier_classification", do=self.delete), suppress(Gone):
            self.relabel()
        self.assertEqual(self.left(), (0, 0, 0))

    def test_a_run_whose_upload_is_gone_ends_quietly(self):
        rank = self.engine.rank_embedding

        def deleted_meanwhile(*given):
            begin(self.delete).end()
            return rank(*given)

        stored = mock.patch.object(self.engine, "rank_embedding", side_effect=deleted_meanwhile)
        with self.assertRaisesMessage(Gone, "deleted meanwhile"), stored:
            self.relabel()
        self.assertEqual(self.left(), (0, 0, 0))

    def test_whoever_classifies_again_what_is_gone_is_told(self):
        stale = Upload.objects.get(pk=self.upload.pk)
        self.delete()
        for again in (
            lambda: uploads.upload_classify(upload=stale),
            lambda: uploads.upload_relabel(upload=stale, choice=LABELS),
            lambda: uploads.feedback_create(upload=stale, label="red thing", index=0),
        ):
            with self.assertRaises(Gone):
                again()
        self.assertFalse(Feedback.objects.exists())

    def test_feedback_and_delete_at_the_same_time(self):
        stale = Upload.objects.get(pk=self.upload.pk)
        with after_query("INSERT INTO", "classifier_feedback", do=self.delete):
            uploads.feedback_create(upload=stale, label="red thing", index=0)
        self.assertEqual((self.left()[0], Feedback.objects.count()), (0, 0))

    def test_a_purge_loses_no_batch_to_a_run(self):
        for _ in range(3):
            coloured("blue")
        Upload.objects.update(created=timezone.now() - timedelta(days=2))
        purge = lambda: call_command("purge_uploads", "--days", "1", stdout=StringIO())  # noqa: E731
        with after_query(*FINISHED, do=purge):
            self.relabel()
        self.assertEqual(self.left(), (0, 0, 0))

    def test_many_deletes_beside_many_runs(self):
        """As visitors do it, with nothing held up on purpose."""
        uploads_ = [coloured("red", owner="me") for _ in range(12)]
        headers = bearer(issue()[1])
        Upload.objects.update(api_key=ApiKey.objects.get())
        body = {"candidate_labels": ["red", "blue"]}
        answers = {"DELETE": [], "POST": []}

        def call(method, upload):
            client = Client(headers=headers, raise_request_exception=False)
            path = f"{UPLOADS}/{upload.pk}"
            if method == "DELETE":
                answers[method].append(client.delete(path).status_code)
            else:
                for _ in range(6):
                    answer = client.post(f"{path}/classifications", body, content_type="application/json")
                    answers[method].append(answer.status_code)

        for upload in uploads_:
            post = [lambda upload=upload: call("POST", upload)] * 3
            found = together(*post, lambda upload=upload: call("DELETE", upload))
            self.assertEqual(found, [None] * 4)
        self.assertEqual(answers["DELETE"], [204] * 12)
        self.assertLessEqual(set(answers["POST"]), {201, 404})
        self.assertEqual(list(Upload.objects.all()), [self.upload])

    def test_an_upload_is_deleted_while_it_is_looked_at(self):
        """The visitor who waits is told; nothing of it is left."""

        def delete(*_arguments, **_options):
            begin(lambda: uploads.uploads_delete(uploads=Upload.objects.all())).end()
            return original(*_arguments, **_options)

        original = self.engine.classify
        with mock.patch.object(self.engine, "classify", side_effect=delete):
            answer = Client(raise_request_exception=False).post(UPLOADS, {"image": file()})
        self.assertEqual(answer.status_code, 404)
        self.assertIn("deleted meanwhile", answer.json()["detail"])
        self.assertEqual(self.left(), (0, 0, 0))

    def test_two_deletes_of_the_same_uploads(self):
        for _ in range(20):
            coloured("red")
        results = together(*[lambda: uploads.uploads_delete(uploads=Upload.objects.all())] * 3)
        self.assertEqual((sum(results), self.left()), (21, (0, 0, 0)))

    def test_a_run_given_up_while_its_upload_is_deleted(self):
        Classification.objects.update(status="running", created=timezone.now() - timedelta(minutes=5))
        deleted = after_query("UPDATE", "classifier_classification", "status", do=self.delete)
        with deleted, self.assertLogs("classifier.services.runs", "WARNING"):
            self.assertEqual(runs.runs_expire(), 1)
        self.assertEqual(self.left(), (0, 0, 0))

    def test_an_example_whose_picture_or_set_is_deleted(self):
        colours = {"name": "Colours", "labels": ("red", "blue"), "templates": ("{}",)}
        label_set = label_sets.label_set_create(**colours)
        with after_query("INSERT INTO", "classifier_labelexample", do=self.delete):
            examples.example_add(label_set=label_set, upload=self.upload, label="red")
        with self.assertRaises(Gone):
            examples.example_add(label_set=label_set, upload=self.upload, label="red")
        remove = lambda: label_sets.label_set_delete(label_set=LabelSet.objects.get())  # noqa: E731
        with after_query("INSERT INTO", "classifier_labelexample", do=remove):
            examples.example_add(label_set=label_set, upload=coloured("red"), label="red")
        with self.assertRaises(Gone):
            examples.example_add(label_set=label_set, upload=coloured("red"), label="red")
        self.assertFalse(LabelExample.objects.exists())

    def test_the_backfill_beside_a_delete(self):
        self.upload.embeddings.all().delete()
        with after_query("FOR UPDATE", "classifier_upload", do=self.delete):
            embeddings.uploads_embed(loaded=self.engine, batch=4, progress=lambda *_: None)
        self.assertEqual(self.left()[0], 0)


class ApiKeyTests(ConcurrencyTestCase):
    """A key that is deleted beside what its program sends."""

    def test_an_upload_with_a_key_that_is_being_deleted(self):
        api_key, token = issue()

        def delete():
            keys.api_key_delete(api_key=ApiKey.objects.get(pk=api_key.pk))

        with after_query("INSERT INTO", "classifier_upload", do=delete):
            answer = Client(headers=bearer(token), raise_request_exception=False).post(UPLOADS, {"image": file()})
        self.assertEqual(answer.status_code, 201, answer.content)
        self.assertEqual([upload.api_key for upload in Upload.objects.all()], [None])
        self.assertFalse(ApiKey.objects.exists())

    def test_an_upload_with_a_key_that_has_just_been_deleted(self):
        api_key, token = issue()
        original = self.engine.seen

        def delete(picture):
            begin(lambda: keys.api_key_delete(api_key=ApiKey.objects.get(pk=api_key.pk))).end()
            return original(picture)

        with mock.patch.object(self.engine, "seen", side_effect=delete):
            answer = Client(headers=bearer(token), raise_request_exception=False).post(UPLOADS, {"image": file()})
        self.assertEqual(answer.status_code, 401)
        self.assertFalse(Upload.objects.exists())


class DeadlockTests(ConcurrencyTestCase):
    def test_whoever_is_sacrificed_begins_anew(self):
        first, second = coloured("red"), coloured("blue")
        barrier = threading.Barrier(2)

        def swap(one, other):
            tries = []

            @deadlocks_retried
            def rename():
                tries.append(1)
                Upload.objects.filter(pk=one.pk).update(name="a")
                if len(tries) == 1:
                    barrier.wait(10)
                Upload.objects.filter(pk=other.pk).update(name="b")
                return len(tries)

            return rename

        with self.assertLogs("classifier.services.rows", "INFO") as logs:
            self.assertEqual(sorted(together(swap(first, second), swap(second, first))), [1, 2])
        self.assertIn("event=deadlock", logs.output[0])
