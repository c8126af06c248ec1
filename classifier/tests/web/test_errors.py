"""What a page says when something is wrong."""

from unittest import mock

from django.db import OperationalError
from django.test import Client, SimpleTestCase, override_settings
from django.urls import reverse

from classifier.errors import Busy
from classifier.services import engines
from classifier.tests.web.test_views import photo


class ErrorPageTests(SimpleTestCase):
    """None of them may need the database: SimpleTestCase forbids it."""

    def get(self, **options):
        client = Client(raise_request_exception=False)
        return client.get("/about/", **options)

    def failing(self, error: Exception, **options):
        with mock.patch.object(engines, "model_info", side_effect=error):
            return self.get(**options)

    def test_an_address_that_is_not_there(self):
        self.assertContains(Client().get("/no/such/page"), "There is nothing here", status_code=404)

    def test_an_error_of_ours(self):
        with self.assertLogs("django.request", "ERROR"):
            self.assertContains(self.failing(RuntimeError("secret")), "Something broke", status_code=500)

    def test_a_host_that_is_not_ours(self):
        with self.assertLogs("django.security.DisallowedHost"):
            page = self.get(headers={"host": "evil.example"})
        self.assertContains(page, "That request made no sense", status_code=400)

    def test_a_form_from_elsewhere(self):
        with self.assertLogs("django.security.csrf", "WARNING"):
            page = Client(enforce_csrf_checks=True).post("/history/delete")
        self.assertContains(page, "The page was too old", status_code=403)

    def test_a_database_that_is_away_makes_the_page_try_again(self):
        page = self.failing(OperationalError("gone"))
        self.assertContains(page, "tries again by itself", status_code=503)
        self.assertEqual(page.headers["Refresh"], page.headers["Retry-After"])

    def test_a_script_gets_a_problem(self):
        page = self.failing(Busy("Full."), headers={"accept": "application/json"})
        self.assertEqual((page.status_code, page.json()["detail"]), (503, "Full."))

    def test_a_picture_is_refused_unread_where_too_many_wait(self):
        full = mock.patch("classifier.capacity.admission.Admission.full", return_value=Busy("Too many wait.", 3))
        for path, headers in (("/", {}), ("/", {"accept": "application/json"}), ("/api/v1/uploads", {})):
            with self.subTest(path=path, headers=headers), full:
                body = mock.patch("django.http.request.HttpRequest._load_post_and_files", side_effect=AssertionError)
                with body:
                    page = Client(enforce_csrf_checks=True).post(path, {"image": photo("coffee.png")}, headers=headers)
                self.assertContains(page, "Too many wait.", status_code=503)
                self.assertEqual(page.headers["Retry-After"], "3")
                if path == "/" and not headers:
                    self.assertContains(page, "Nothing was stored; the page comes back by itself", status_code=503)
                    self.assertEqual(page.headers["Refresh"], "3")
        with full:
            self.assertEqual(self.get().status_code, 200)  # pages do not wait

    @override_settings(MAX_FORM_BYTES=10)
    def test_a_body_too_large(self):
        page = Client().post(reverse("home"), {"image": photo("coffee.png")})
        self.assertContains(page, "That file is too large", status_code=413)
