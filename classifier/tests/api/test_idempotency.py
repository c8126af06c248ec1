"""A POST with an Idempotency-Key is done once, however often it is sent."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client, TransactionTestCase, override_settings, skipUnlessDBFeature
from django.utils import timezone

from classifier.errors import ModelUnavailable
from classifier.models import IdempotentRequest, Upload
from classifier.services import uploads
from classifier.tests.api.calls import UPLOADS, ApiTestCase, bearer, issue, photo, small_jpeg
from classifier.tests.services.test_uploads import use_engine


class IdempotencyTests(ApiTestCase):
    KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}

    def test_a_repeated_request_repeats_the_answer_and_not_the_work(self):
        first = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
        second = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
        self.assertEqual((first.status_code, second.status_code), (201, 201))
        self.assertEqual(first.json(), second.json())
        self.assertEqual(first["Location"], second["Location"])
        self.assertNotIn("Idempotent-Replayed", first)
        self.assertEqual(second["Idempotent-Replayed"], "true")
        self.assertEqual(Upload.objects.count(), 1)

    def test_the_secret_is_repeated_but_not_stored(self):
        secret = self.create(**self.KEY)["secret"]
        self.assertEqual(self.create(**self.KEY)["secret"], secret)
        self.assertNotIn(secret, json.dumps(IdempotentRequest.objects.get().answer))

    def test_another_picture_needs_another_key(self):
        self.create(**self.KEY)
        response = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
        self.assertProblem(response, 422, "idempotency-key-reused")
        self.create(**{"Idempotency-Key": "another"})

    def test_while_the_first_is_being_answered_the_second_must_wait(self):
        def meanwhile(**_):
            response = self.client.post(UPLOADS, {"image": photo()}, headers=self.KEY)
            self.assertProblem(response, 409, "request-in-progress")
            self.assertEqual(response["Retry-After"], "2")
            return original(**_)

        original = uploads.upload_create
        with mock.patch("classifier.services.uploads.upload_create", side_effect=meanwhile):
            self.create(file=photo(), **self.KEY)
        self.assertEqual(Upload.objects.count(), 1)

    def test_after_an_error_the_same_key_may_be_tried_again(self):
        with mock.patch("classifier.services.engines.engine_get", side_effect=ModelUnavailable("Not yet.")):
            self.create(status=503, **self.KEY)
        self.create(**self.KEY)

    def test_a_request_whose_process_died_is_taken_over_after_a_while(self):
        self.create(**self.KEY)
        Upload.objects.all().update(latest=None)
        IdempotentRequest.objects.update(answer=None, upload=None)
        self.create(status=409, **self.KEY)
        IdempotentRequest.objects.update(created=timezone.now() - timedelta(minutes=3))
        self.create(**self.KEY)
        self.assertEqual(Upload.objects.count(), 2)

    def test_callers_do_not_share_keys(self):
        first = self.create(**self.KEY)
        self.assertNotEqual(self.create(**self.KEY, **bearer(issue()[1]))["id"], first["id"])
        with override_settings(TRUSTED_PROXIES=1):
            elsewhere = self.create(**self.KEY, **{"X-Forwarded-For": "203.0.113.9"})
        self.assertNotEqual(elsewhere["id"], first["id"])

    def test_deleting_the_upload_forgets_the_answer(self):
        created = self.create(**self.KEY)
        self.client.delete(f"{UPLOADS}/{created['id']}", headers=bearer(created["secret"]))
        self.assertFalse(IdempotentRequest.objects.exists())

    def test_answers_are_forgotten_after_a_day(self):
        first = self.create(**self.KEY)
        IdempotentRequest.objects.update(created=timezone.now() - timedelta(hours=25))
        self.assertNotEqual(self.create(**self.KEY)["id"], first["id"])

    def test_a_key_may_have_255_characters(self):
        self.create(**{"Idempotency-Key": "k" * 255})
        response = self.client.post(UPLOADS, {"image": photo()}, headers={"Idempotency-Key": "k" * 256})
        self.assertProblem(response, 422, "invalid", "Idempotency-Key")


@skipUnlessDBFeature("test_db_allows_multiple_connections")
class ConcurrentIdempotencyTests(TransactionTestCase):
    def test_of_requests_at_the_same_time_one_does_the_work(self):
        def post(_: int) -> int:
            try:
                picture = SimpleUploadedFile("a.jpg", small_jpeg())
                return Client().post(UPLOADS, {"image": picture}, headers=IdempotencyTests.KEY).status_code
            finally:
                connection.close()

        with use_engine(), ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(post, range(12)))
        self.assertEqual(Upload.objects.count(), 1)
        self.assertLessEqual(set(statuses), {201, 409})
        self.assertIn(201, statuses)
