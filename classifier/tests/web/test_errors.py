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

    def test_a_form_without_a_token(self):
        page = self.refused("/history/delete")
        self.assertContains(page, "The page was too old", status_code=403)
        self.assertNotContains(page, "CSRF_TRUSTED_ORIGINS", status_code=403)

    def refused(self, path: str = "/admin/login/", logged: str = "event=csrf_refused", **headers):
        """What a form is answered that Django refuses; its refusal is in the log."""
        with self.assertLogs("classifier.web.errors", "WARNING") as logs:
            page = Client(enforce_csrf_checks=True).post(path, headers=headers)
        self.assertIn(logged, logs.output[0])
        return page

    def test_behind_a_proxy_that_nobody_believes_the_setting_is_named(self):
        hint = "this server takes itself for http://testserver. A proxy in front ends TLS: set TRUSTED_PROXIES=1"
        page = self.refused(logged=hint, origin="https://testserver", x_forwarded_proto="https")
        self.assertContains(page, hint, status_code=403)

    def test_a_proxy_that_is_believed_and_says_nothing_is_told_to(self):
        with override_settings(TRUSTED_PROXIES=1):
            page = self.refused(origin="https://testserver")
        self.assertContains(page, "Let the proxy in front send X-Forwarded-Proto", status_code=403)

    def test_an_origin_of_another_name_is_named(self):
        page = self.refused(logged="origin=https://other.example", origin="https://other.example")
        self.assertContains(page, "set CSRF_TRUSTED_ORIGINS=https://other.example", status_code=403)

    def test_visitors_are_told_no_settings(self):
        page = self.refused("/history/delete", origin="https://other.example")
        self.assertContains(page, "The address is not trusted", status_code=403)
        self.assertNotContains(page, "CSRF_TRUSTED_ORIGINS", status_code=403)

    def test_a_script_reads_a_refused_form_as_a_problem(self):
        page = self.refused("/history/delete", origin="https://other.example", accept="application/json")
        self.assertEqual((page.status_code, page.json()["type"].rpartition("#")[2]), (403, "csrf"))

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
