"""What the API answers is of one moment, and is done once, whatever else goes on."""

from contextlib import suppress
from unittest import mock

from django.db import OperationalError
from django.test import Client

from classifier.models import IdempotentRequest, Prediction, Upload
from classifier.services import uploads
from classifier.services.heads import choice_of_labels
from classifier.tests.api.calls import UPLOADS, bearer, issue
from classifier.tests.api.test_deletes import file
from classifier.tests.concurrency import ConcurrencyTestCase, after_query, begin
from classifier.tests.services.test_search import coloured


class RecordTests(ConcurrencyTestCase):
    def setUp(self):
        super().setUp()
        api_key, token = issue()
        self.client = Client(headers=bearer(token), raise_request_exception=False)
        self.upload = coloured("red", api_key=api_key)
        self.path = f"{UPLOADS}/{self.upload.pk}"

    def relabel(self, *labels):
        upload = Upload.objects.get(pk=self.upload.pk)
        return uploads.upload_relabel(upload=upload, choice=choice_of_labels(labels, ("a {}",)))

    def post(self, *labels):
        body = {"candidate_labels": labels}
        return self.client.post(f"{self.path}/classifications", body, content_type="application/json")

    def test_who_asks_for_labels_is_answered_those(self):
        """And not what somebody else asked for a moment later."""
        original = uploads.upload_relabel

        def overtaken(**arguments):
            run = original(**arguments)
            with mock.patch("classifier.services.uploads.upload_relabel", original):
                begin(lambda: self.relabel("white", "black")).end()
            return run

        with mock.patch("classifier.services.uploads.upload_relabel", side_effect=overtaken):
            answer = self.post("blue", "red")
        self.assertEqual([line["label"] for line in answer.json()["predictions"]], ["red", "blue"])
        newest = {line["label"] for line in self.client.get(self.path).json()["predictions"]}
        self.assertEqual(newest, {"white", "black"})

    def test_an_upload_deleted_before_its_record_is_read(self):
        original = uploads.upload_relabel

        def deleted(**arguments):
            run = original(**arguments)
            begin(lambda: uploads.upload_delete(upload=self.upload)).end()
            return run

        with mock.patch("classifier.services.uploads.upload_relabel", side_effect=deleted):
            self.assertIn(self.post("blue", "red").status_code, (201, 404))

    def test_a_run_that_ends_between_two_queries_is_still_running(self):
        run = self.upload.latest
        run.predictions.all().delete()
        type(run).objects.update(status="running")
        Upload.objects.update(status="running")

        def finish():
            type(run).objects.update(status="done")
            Prediction.objects.create(classification=run, rank=1, label="red", score=1)

        with after_query("SELECT", '"classifier_upload"', "classifier_classification", do=finish):
            record = self.client.get(self.path).json()
        self.assertEqual((record["status"], record["predictions"]), ("running", []))

    def test_a_picture_deleted_between_two_queries(self):
        visitor = Client(raise_request_exception=False)
        delete = lambda: uploads.upload_delete(upload=self.upload)  # noqa: E731
        with after_query("SELECT", '"classifier_upload"', do=delete):
            self.assertIn(visitor.get(f"/uploads/{self.upload.pk}/image").status_code, (200, 404))


class OnceTests(ConcurrencyTestCase):
    HEADERS = {"Idempotency-Key": "b1f3"}

    def post(self):
        return Client(raise_request_exception=False).post(UPLOADS, {"image": file()}, headers=self.HEADERS)

    def test_a_failure_after_the_upload_was_stored_does_not_free_the_key(self):
        for what in ("run_finish", "predict"):
            with self.subTest(what=what):
                failure = OperationalError("gone") if what == "run_finish" else KeyboardInterrupt()
                IdempotentRequest.objects.all().delete()
                Upload.objects.all().delete()
                failing = mock.patch(f"classifier.services.uploads.{what}", side_effect=failure)
                with failing, suppress(KeyboardInterrupt):
                    self.assertEqual(self.post().status_code, 503)
                again = self.post()
                self.assertEqual(again.status_code, 201, again.content)
                upload = Upload.objects.get()
                self.assertEqual((again.json()["id"], again["Idempotent-Replayed"]), (str(upload.pk), "true"))
                self.assertEqual(self.post().json(), again.json())

    def test_a_failure_while_the_answer_is_written(self):
        broken = mock.patch("classifier.api.uploads.record_of", side_effect=ValueError("broken"))
        with broken, self.assertLogs("classifier.http.problems", "ERROR"):
            self.assertEqual(self.post().status_code, 500)
        again = self.post()
        self.assertEqual((again.status_code, again.json()["predictions"][0]["label"]), (201, "red thing"))
        self.assertEqual(Upload.objects.count(), 1)

    def test_an_upload_deleted_while_its_answer_is_kept_frees_the_key(self):
        delete = lambda: uploads.uploads_delete(uploads=Upload.objects.all())  # noqa: E731
        with after_query("INSERT INTO", "classifier_prediction", do=delete):
            self.assertIn(self.post().status_code, (201, 404))
        self.assertFalse(Upload.objects.exists())
        self.assertEqual(self.post().status_code, 201)
        self.assertEqual(Upload.objects.count(), 1)
