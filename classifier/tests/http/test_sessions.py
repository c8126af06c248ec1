"""A visitor's history is theirs whoever logs in and out."""

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.test import TestCase

from classifier.tests.test_models import make_upload


class SessionTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        users = get_user_model().objects
        cls.ada, cls.bob = users.create_superuser("ada", password="one"), users.create_superuser("bob", password="two")
        cls.upload = make_upload("me", top_label="espresso", status="done")

    def setUp(self):
        session = self.client.session
        session["owner"] = "me"
        session.save()
        self.before = session.session_key

    def assertKept(self):
        self.assertContains(self.client.get("/history/"), "espresso")
        self.assertEqual(Session.objects.count(), 1)

    def log_in(self, name, password):
        answer = self.client.post("/admin/login/?next=/admin/", {"username": name, "password": password})
        self.assertRedirects(answer, "/admin/")

    def test_logging_in_and_out_of_the_admin_keeps_it(self):
        self.log_in("ada", "one")
        self.assertKept()
        self.client.post("/admin/logout/")
        self.assertKept()
        self.assertEqual(self.client.get("/admin/").status_code, 302)
        self.assertNotEqual(self.client.session.session_key, self.before)
        self.assertEqual(set(self.client.session.keys()), {"owner"})

    def test_another_login_and_a_changed_password_keep_it(self):
        self.log_in("ada", "one")
        self.log_in("bob", "two")
        self.assertKept()
        self.bob.set_password("three")
        self.bob.save()
        self.assertEqual(self.client.get("/admin/").status_code, 302)
        self.assertKept()

    def test_who_stored_nothing_has_no_session_afterwards(self):
        self.client.cookies.clear()
        Session.objects.all().delete()
        self.log_in("ada", "one")
        self.client.post("/admin/logout/")
        self.assertFalse(Session.objects.exists())

    def test_a_cookie_that_is_no_key_is_no_session(self):
        for cookie in ('"\\000aaaaaaaaaaaaaaaaaaaaa"', "é" * 32, "x" * 5000):
            self.client.cookies.clear()
            answer = self.client.get("/history/", headers={"Cookie": f"sessionid={cookie}"})
            self.assertEqual(answer.status_code, 200)
