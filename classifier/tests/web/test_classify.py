"""Sending a picture through the form: real photos, the stand-in for a model."""

from unittest import mock

from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client, TestCase, override_settings
from django.urls import reverse

from classifier.errors import Busy, ModelUnavailable
from classifier.models import Upload
from classifier.services import engines, uploads
from classifier.tests.photos import PHOTOS
from classifier.tests.web.test_views import STANDIN, end_run, photo

NAMED = STANDIN[0].upper() + STANDIN[1:]  # as a sentence begins


@override_settings(CLIP_MODEL="standin", CLIP_THREADS=1)
class ClassifyTests(TestCase):
    """A photo through the form, with the stand-in."""

    def send(self, file, **headers):
        return self.client.post("/", {"image": file} if file else {}, headers=headers)

    def test_coffee_is_an_espresso(self):
        response = self.send(photo("coffee.png"))
        upload = Upload.objects.get()
        self.assertRedirects(response, upload.get_absolute_url())
        page = self.client.get(upload.get_absolute_url())
        self.assertContains(page, "<h1>espresso</h1>")
        self.assertEqual(len(page.context["predictions"]), 5)
        self.assertContains(page, "WordNet n07920052")
        self.assertContains(page, "600 × 400 pixels, PNG")

    def test_chelsea_is_a_cat(self):
        self.send(photo("chelsea.png"))
        labels = Upload.objects.get().latest.predictions.values_list("label", flat=True)
        self.assertIn("cat", labels[0].lower())

    def test_every_page_says_that_a_stand_in_answers(self):
        self.send(photo("coffee.png"))
        address = Upload.objects.get().get_absolute_url()
        for page in ("/", "/history/", "/about/", address, f"{address}delete"):
            self.assertContains(self.client.get(page), NAMED)
        self.assertContains(self.client.get("/no-such-page"), NAMED, status_code=404)

    def test_what_the_stand_in_made_says_so_when_clip_serves(self):
        self.send(photo("coffee.png"))
        with override_settings(CLIP_MODEL="ViT-B/32"):
            self.assertContains(self.client.get(Upload.objects.get().get_absolute_url()), STANDIN)
            self.assertContains(self.client.get("/history/"), "stand-in")
            self.assertNotContains(self.client.get("/"), NAMED)

    def test_a_visitor_finds_the_picture_again_and_nobody_else_does(self):
        self.send(photo("coffee.png"))
        self.assertContains(self.client.get("/history/"), "espresso")
        self.assertContains(self.client.get("/"), "espresso")
        self.assertNotContains(Client().get("/history/"), "espresso")
        self.assertNotContains(Client().get("/"), "espresso")

    def test_a_script_gets_the_record(self):
        response = self.send(photo("coffee.png"), accept="application/json")
        self.assertEqual(response.status_code, 201)
        record = response.json()
        self.assertEqual(record["predictions"][0]["label"], "espresso")
        self.assertEqual(record["status"], "done")
        self.assertEqual(record["url"], f"http://testserver/uploads/{record['id']}/")

    def assert_refused(self, file, message: str, status: int):
        for accept in ("text/html", "application/json"):
            if file is not None:
                file.seek(0)
            response = self.send(file, accept=accept)
            self.assertContains(response, message, status_code=status, html=False)
            self.assertFalse(Upload.objects.exists())
        self.assertEqual(response.headers["Content-Type"], "application/problem+json")
        self.assertEqual(response.json()["status"], status)

    def test_no_file(self):
        self.assert_refused(None, "Choose a picture first.", 422)

    def test_an_empty_file(self):
        self.assert_refused(SimpleUploadedFile("a.jpg", b""), "The file is empty.", 422)

    def test_not_a_picture(self):
        self.assert_refused(SimpleUploadedFile("a.jpg", b"hello" * 99), "not a picture we can read", 415)

    def test_a_format_that_is_not_read(self):
        self.assert_refused(SimpleUploadedFile("a.pdf", b"%PDF-1.7 " * 99), "not a picture we can read", 415)

    def test_a_truncated_picture(self):
        whole = (PHOTOS / "rocket.jpg").read_bytes()
        self.assert_refused(SimpleUploadedFile("a.jpg", whole[:20000]), "damaged or cut short", 422)

    @override_settings(MAX_UPLOAD_MB=0.1)
    def test_too_many_bytes(self):
        self.assert_refused(photo("coffee.png"), "the limit is 0.1 MB", 413)

    @override_settings(MAX_MEGAPIXELS=0.1)
    def test_too_many_pixels(self):
        self.assert_refused(photo("coffee.png"), "megapixels", 422)

    def test_asking_whether_it_is_ready_already_marks_the_visitor(self):
        """What a newcomer sends side by side afterwards, before any of it is answered, is one visitor's."""
        self.client.post(reverse("upload_ready"))
        self.assertFalse(Session.objects.exists())
        for _ in range(2):
            client = Client()
            client.cookies.load(self.client.cookies)
            client.post(reverse("home"), {"image": photo("coffee.png")})
        first, second = Upload.objects.all()
        self.assertEqual((first.owner, len(first.owner)), (second.owner, 32))
        self.assertEqual(client.session["owner"], first.owner)

    def test_a_session_is_stored_only_with_a_picture(self):
        for bad in (None, SimpleUploadedFile("a.jpg", b"nothing")):
            self.send(bad)
        for path in ("/", "/history/", "/about/", "/admin/login/", "/api/v1/docs"):
            self.client.get(path)
        self.assertFalse(Session.objects.exists())
        self.send(photo("coffee.png"))
        self.assertEqual(Session.objects.count(), 1)

    def test_a_promised_key_that_was_written_by_somebody_else_does_not_count(self):
        self.client.cookies["newcomer"] = "me:forged"
        self.send(photo("coffee.png"))
        self.assertNotIn("me", Upload.objects.get().owner[:3])
        self.assertEqual(len(Upload.objects.get().owner), 32)

    def test_an_error_stands_at_the_field(self):
        response = self.send(None)
        self.assertContains(response, 'aria-describedby="image-note image-error" aria-invalid="true"', status_code=422)
        self.assertContains(response, 'id="image-error"', status_code=422)

    def test_a_page_that_was_sent_promises_nothing_where_the_database_is_away(self):
        with mock.patch.object(uploads, "upload_create", side_effect=OperationalError("gone")):
            response = self.send(photo("coffee.png"))
        self.assertContains(response, "Nothing is lost", status_code=503)
        self.assertNotContains(response, "by itself", status_code=503)
        self.assertNotIn("Refresh", response.headers)
        self.assertIn("Retry-After", response.headers)

    def test_asking_whether_it_is_ready_is_answered_however_many_wait(self):
        with mock.patch("classifier.capacity.admission.Admission.full", return_value=Busy("Too many wait.", 3)):
            self.assertEqual(self.client.post(reverse("upload_ready"), {"labels": ""}).status_code, 200)
        self.assertIn("newcomer", self.client.cookies)

    def test_a_busy_server_says_when_to_come_back(self):
        with mock.patch.object(uploads, "upload_create", side_effect=Busy("Too many pictures are waiting.", 7)):
            response = self.send(photo("coffee.png"))
        self.assertContains(response, "Too many pictures are waiting.", status_code=503)
        self.assertEqual(response.headers["Retry-After"], "7")

    def test_without_a_model_the_form_says_so(self):
        with mock.patch.object(engines, "engine_get", side_effect=ModelUnavailable("No model is prepared.")):
            page = self.send(photo("coffee.png"))
        self.assertContains(page, "model is not ready. Please come back later.", status_code=503)
        self.assertNotContains(page, "No model is prepared.", status_code=503)  # that is for the log
        self.assertFalse(Upload.objects.exists())

    def test_a_failed_upload_can_be_classified_again(self):
        self.send(photo("coffee.png"))
        upload = Upload.objects.get()
        end_run(upload, status="failed", reason="Out of memory.")
        self.client.post(f"{upload.get_absolute_url()}classify")
        upload.refresh_from_db()
        self.assertEqual((upload.status, upload.top_label), ("done", "espresso"))
