"""What the REST API says when it refuses or cannot answer."""

from unittest import mock

from django.db import OperationalError
from django.test import override_settings

from classifier.errors import Busy, ModelUnavailable
from classifier.models import Upload
from classifier.tests.api.calls import UPLOADS, ZERO_SHOT, ApiTestCase, bearer, issue, photo, small_jpeg


class RateLimitTests(ApiTestCase):
    @override_settings(RATE_LIMIT_PER_MINUTE=2)
    def test_the_limit_of_an_address_counts_everywhere(self):
        self.create()
        self.client.post(ZERO_SHOT, small_jpeg(), content_type="image/jpeg")
        for address in (UPLOADS, ZERO_SHOT):
            response = self.client.post(address, {"image": photo()})
            self.assertProblem(response, 429, "rate-limited", "2 per minute from your address")
            self.assertIn(int(response["Retry-After"]), range(1, 31))
        self.create(**bearer(issue()[1]))
        self.assertEqual(self.client.get(f"{UPLOADS}/{Upload.objects.first().id}").status_code, 200)

    @override_settings(RATE_LIMIT_KEY_PER_MINUTE=1)
    def test_a_key_has_its_own(self):
        token = issue()[1]
        self.create(**bearer(token))
        self.create(status=429, **bearer(token))
        self.create()


class ErrorTests(ApiTestCase):
    """One shape, whatever goes wrong."""

    def test_addresses_that_do_not_exist(self):
        for address in ("/api/", "/api/v1/", "/api/v2/uploads", "/api/v1/uploads/", "/api/v1/nothing"):
            self.assertProblem(self.client.get(address), 404, "not-found")

    def test_methods_that_do_not_exist(self):
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            response = self.client.generic(method, UPLOADS)
            self.assertProblem(response, 405, "method-not-allowed")
            self.assertEqual(set(response["Allow"].split(", ")), {"GET", "HEAD", "POST"})

    def test_a_host_that_is_not_ours(self):
        with self.assertLogs("django.security.DisallowedHost"):
            response = self.client.get(UPLOADS, headers={"Host": "evil.example"})
        self.assertProblem(response, 400, "bad-request")

    def test_no_model(self):
        with mock.patch("classifier.services.engines.engine_get", side_effect=ModelUnavailable("Run prepare_model.")):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 503, "model-unavailable", ModelUnavailable.visitors)
        self.assertEqual(response["Retry-After"], "30")

    def test_too_busy(self):
        with mock.patch(
            "classifier.services.uploads.upload_create", side_effect=Busy("Many are waiting.", retry_after=7)
        ):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 503, "busy", "Many are waiting.")
        self.assertEqual(response["Retry-After"], "7")

    def test_no_database(self):
        with (
            mock.patch("classifier.services.uploads.upload_create", side_effect=OperationalError("gone")),
            self.assertLogs("classifier", "ERROR"),
        ):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 503, "database-away")
        self.assertEqual(response["Retry-After"], "5")

    def test_our_own_mistakes_say_nothing_of_the_inside(self):
        with (
            mock.patch("classifier.services.uploads.upload_create", side_effect=RuntimeError("password=hunter2")),
            self.assertLogs("classifier", "ERROR"),
        ):
            response = self.client.post(UPLOADS, {"image": photo()})
        self.assertProblem(response, 500, "internal")
        self.assertNotIn("hunter2", response.content.decode())

    def test_mistakes_outside_the_operations_too(self):
        self.client.raise_request_exception = False
        with (
            mock.patch("django.middleware.common.CommonMiddleware.process_request", side_effect=RuntimeError("no")),
            self.assertLogs("django.request", "ERROR"),
        ):
            self.assertProblem(self.client.get(UPLOADS), 500, "internal")

    def test_pages_keep_their_own_errors(self):
        self.assertNotEqual(self.client.get("/nothing").headers["Content-Type"], "application/problem+json")
