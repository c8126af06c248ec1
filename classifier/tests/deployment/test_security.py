"""What every answer says to browsers, and what the login does about guessing."""

import re
import time
from unittest import mock

from django.contrib.auth.models import User
from django.test import TestCase, override_settings
from django.urls import reverse

from classifier.admin import login
from classifier.services.keys import api_key_find


class HeaderTests(TestCase):
    def test_every_page_restricts_what_a_browser_may_do_with_it(self):
        for path in ("/", "/history/", "/nowhere", reverse("admin:login")):
            with self.subTest(path=path):
                headers = self.client.get(path).headers
                self.assertIn("default-src 'self'", headers["Content-Security-Policy"])
                self.assertNotRegex(headers["Content-Security-Policy"], "unsafe|data:|blob:|http")
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["X-Frame-Options"], "DENY")
                self.assertEqual(headers["Referrer-Policy"], "same-origin")
                self.assertEqual(headers["Cross-Origin-Opener-Policy"], "same-origin")
                self.assertEqual(headers["Cross-Origin-Resource-Policy"], "same-origin")
                self.assertIn("geolocation=()", headers["Permissions-Policy"])

    @override_settings(
        SECURE_SSL_REDIRECT=True,
        SECURE_HSTS_SECONDS=31536000,
        SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    )
    def test_behind_a_router_that_ends_tls_everything_is_https(self):
        plain = self.client.get("/", headers={"x-forwarded-proto": "http"})
        self.assertRedirects(plain, "https://testserver/", status_code=301, fetch_redirect_response=False)
        secure = self.client.get("/", headers={"x-forwarded-proto": "https"})
        self.assertIn("max-age=31536000", secure.headers["Strict-Transport-Security"])

    def test_what_is_private_is_not_kept(self):
        for path in ("/", "/history/", "/history/export.csv", "/history/export.json", "/history/search?q=a", "/nowhere",
                     "/api/v1/uploads", "/admin/login/", "/readyz"):  # fmt: skip
            with self.subTest(path=path):
                self.assertIn("no-store", self.client.get(path)["Cache-Control"])

    def test_a_new_api_key_is_shown_once_and_in_no_cookie(self):
        self.client.force_login(User.objects.create_superuser("admin"))
        answer = self.client.post("/admin/classifier/apikey/add/", {"name": "robot", "active": "on"})
        token = re.search(r"clip_key_[\w-]+", answer.content.decode())[0]
        self.assertEqual(api_key_find(token=token).name, "robot")
        self.assertIn("no-store", answer["Cache-Control"])
        self.assertFalse([cookie for cookie in answer.cookies.values() if "clip_key" in cookie.value])
        self.assertNotIn("messages", answer.cookies)
        self.assertNotContains(self.client.get("/admin/classifier/apikey/"), token)

    def test_subdomains_and_preloading_are_for_the_domains_owner_to_say(self):
        from heroku_clip import settings

        self.assertEqual((settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_HSTS_PRELOAD), (False, False))

    @override_settings(ALLOWED_HOSTS=["clip.example"])
    def test_other_hosts_are_refused(self):
        self.assertEqual(self.client.get("/", headers={"host": "elsewhere.example"}).status_code, 400)
        self.assertEqual(self.client.get("/", headers={"host": "clip.example"}).status_code, 200)


class LoginTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        User.objects.create_superuser("staff", password="right")

    def setUp(self):
        """Time stands still: a place comes back every half a minute, and hashing passwords takes its time."""
        self.enterContext(mock.patch("classifier.http.ratelimits.time.time", return_value=time.time()))

    def attempt(self, password: str, name: str = "staff", address: str = "192.0.2.1"):
        return self.client.post(reverse("admin:login"), {"username": name, "password": password}, REMOTE_ADDR=address)

    def test_guessing_stops_being_answered(self):
        for _ in range(login.ATTEMPTS_AT_NAME):
            self.assertContains(self.attempt("wrong"), "Please enter the correct")
        self.assertContains(self.attempt("wrong"), "Too many attempts")
        self.assertContains(self.attempt("right"), "Too many attempts")

    def test_writing_the_name_differently_does_not_help(self):
        for number in range(login.ATTEMPTS_AT_NAME):
            self.attempt("wrong", name="STAFF" if number % 2 else "staff")
        self.assertContains(self.attempt("wrong", name="Staff"), "Too many attempts")

    def test_one_address_cannot_try_many_names(self):
        for number in range(login.ATTEMPTS_FROM_ADDRESS):
            self.attempt("wrong", name=f"name{number}")
        self.assertContains(self.attempt("wrong", name="another"), "Too many attempts")

    def test_all_addresses_of_one_ipv6_customer_count_as_one(self):
        answers = [self.attempt("wrong", address=f"2001:db8:1:2::{number:x}") for number in range(1, 41)]
        refused = sum("Too many attempts" in answer.content.decode() for answer in answers)
        self.assertEqual(refused, 40 - login.ATTEMPTS_AT_NAME)
        self.assertContains(self.attempt("wrong", address="2001:db8:1:3::1"), "Please enter the correct")

    def test_the_owner_gets_in_from_elsewhere(self):
        for _ in range(login.ATTEMPTS_AT_NAME + 1):
            self.attempt("wrong")
        self.assertEqual(self.attempt("right", address="192.0.2.2").status_code, 302)

    def test_the_owner_gets_in_after_a_while(self):
        for _ in range(login.ATTEMPTS_AT_NAME + 1):
            self.attempt("wrong")
        with mock.patch("classifier.http.ratelimits.time.time", return_value=time.time() + login.PERIOD):
            self.assertEqual(self.attempt("right").status_code, 302)
