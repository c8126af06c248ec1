"""The pages, through Django's test client: real photos and the stand-in where labels matter, stored runs elsewhere."""

import csv
import gzip
import io
import json
import re
from datetime import timedelta
from pathlib import Path
from unittest import mock

import skimage
from django.contrib.staticfiles import finders
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import Client, SimpleTestCase, TestCase, override_settings
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from classifier.engine import ModelInfo
from classifier.errors import Busy, ModelUnavailable
from classifier.models import Classification, Feedback, Prediction, Upload
from classifier.pictures.reading import picture_to_jpeg
from classifier.services import engines, uploads
from classifier.web.history import PAGE_SIZE

PHOTOS = Path(skimage.__file__).parent / "data"
STANDIN = "stand-in: EfficientNet-Lite0, not CLIP"
LABELS = ("espresso", "tea cup", "consomme", "chocolate syrup", "coffee mug")
JPEG = picture_to_jpeg(Image.new("RGB", (60, 40), "teal"))


def photo(name: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, (PHOTOS / name).read_bytes())


def make_run(owner: str = "me", *, labels=LABELS, scores=(0.9, 0.05, 0.03, 0.01, 0.01), cosine=0.3, **fields) -> Upload:
    """An upload as a run of ViT-B/32 leaves it."""
    values = {"name": "cup.jpg", "format": "JPEG", "width": 600, "height": 400, "sha256": "0" * 64, "image": JPEG}
    found = {"status": "done", "model": "ViT-B/32", "label_set": "imagenet", "top_label": labels[0]}
    upload = Upload.objects.create(owner=owner, **{**values, **found, "top_score": scores[0], **fields})
    upload.latest = Classification.objects.create(
        upload=upload,
        status="done",
        model=upload.model,
        precision="int8",
        label_set="imagenet",
        seconds_decode=0.012,
        seconds_predict=0.034,
    )
    upload.save()
    Prediction.objects.bulk_create(
        Prediction(
            classification=upload.latest, rank=n, label=label, index=967, score=score, similarity=cosine - n / 99
        )
        for n, (label, score) in enumerate(zip(labels, scores, strict=True), start=1)
    )
    return upload


def end_run(upload: Upload, **fields) -> None:
    """Change how the newest run went; it made no predictions then."""
    upload.latest.predictions.all().delete()
    Classification.objects.filter(pk=upload.latest_id).update(**fields)
    Upload.objects.filter(pk=upload.pk).update(status=fields["status"], top_label="", top_score=None)


class PageTestCase(TestCase):
    def setUp(self):
        self.become("me")

    def become(self, owner: str) -> None:
        self.client = Client()
        session = self.client.session
        session["owner"] = owner
        session.save()

    def stranger(self) -> Client:
        return Client()


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
            self.assertContains(self.client.get(page), STANDIN)
        self.assertContains(self.client.get("/no-such-page"), STANDIN, status_code=404)

    def test_what_the_stand_in_made_says_so_when_clip_serves(self):
        self.send(photo("coffee.png"))
        with override_settings(CLIP_MODEL="ViT-B/32"):
            self.assertContains(self.client.get(Upload.objects.get().get_absolute_url()), STANDIN)
            self.assertContains(self.client.get("/history/"), "stand-in")
            self.assertNotContains(self.client.get("/"), STANDIN)

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

    def test_the_empty_form_already_marks_the_visitor(self):
        self.send(None, accept="application/json")
        owner = self.client.session["owner"]
        self.send(photo("coffee.png"))
        self.assertEqual(Upload.objects.get().owner, owner)

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

    def test_the_empty_form_makes_a_visitor_known_however_many_wait(self):
        client = Client()
        with mock.patch("classifier.capacity.admission.Admission.full", return_value=Busy("Too many wait.", 3)):
            form = "application/x-www-form-urlencoded"
            answer = client.post(reverse("home"), b"", form, headers={"accept": "application/json"})
        self.assertEqual(answer.status_code, 422)
        self.assertIn("owner", client.session)

    def test_a_busy_server_says_when_to_come_back(self):
        with mock.patch.object(uploads, "upload_create", side_effect=Busy("Too many pictures are waiting.", 7)):
            response = self.send(photo("coffee.png"))
        self.assertContains(response, "Too many pictures are waiting.", status_code=503)
        self.assertEqual(response.headers["Retry-After"], "7")

    def test_without_a_model_the_form_says_so(self):
        with mock.patch.object(engines, "engine_get", side_effect=ModelUnavailable("No model is prepared.")):
            self.assertContains(self.send(photo("coffee.png")), "No model is prepared.", status_code=503)
        self.assertFalse(Upload.objects.exists())

    def test_a_failed_upload_can_be_classified_again(self):
        self.send(photo("coffee.png"))
        upload = Upload.objects.get()
        end_run(upload, status="failed", reason="Out of memory.")
        self.client.post(f"{upload.get_absolute_url()}classify")
        upload.refresh_from_db()
        self.assertEqual((upload.status, upload.top_label), ("done", "espresso"))


class HomeTests(PageTestCase):
    def test_a_newcomer_costs_one_query(self):
        with self.assertNumQueries(1):  # label sets
            self.stranger().get("/")

    def test_it_shows_the_latest_pictures_in_three_queries(self):
        for number in range(8):
            make_run(labels=(f"thing {number}", *LABELS[1:]))
        with self.assertNumQueries(3):  # session; pictures; label sets
            page = self.client.get("/")
        self.assertContains(page, "thing 7")
        self.assertNotContains(page, "thing 1")

    @override_settings(CLIP_MODEL="standin", CLIP_THREADS=1)
    def test_an_example_is_there_for_whoever_has_no_picture(self):
        self.assertContains(self.client.get("/"), "Try one of these")
        response = self.client.post("/", {"example": "coffee"}, follow=True)
        self.assertContains(response, "<h1>espresso</h1>")
        self.assertEqual(self.client.post("/", {"example": "../x"}).status_code, 422)
        self.assertNotContains(self.client.get("/"), "Try one of these")

    def test_the_first_page_is_under_60_kilobytes(self):
        html = self.stranger().get("/").content.decode()
        files = set(re.findall(r'(?:src|href)="/static/([^"]+)"', html))
        self.assertLessEqual({"classifier/style.css", "classifier/script.js", "classifier/icon.svg"}, files)
        sizes = [len(gzip.compress(Path(finders.find(name)).read_bytes())) for name in files]
        self.assertLess(len(html) + sum(sizes), 60_000)  # the page itself is sent as it is

    def test_a_phone_can_take_a_picture(self):
        self.assertContains(self.client.get("/"), 'accept="image/*" capture="environment"')

    def test_no_page_carries_inline_scripts_or_styles(self):
        upload = make_run()
        for address in ("/", "/history/", "/about/", upload.get_absolute_url(), f"{upload.get_absolute_url()}delete"):
            html = self.client.get(address).content.decode()
            self.assertNotRegex(html, r"<style|\sstyle=|\son[a-z]+=|<script(?! src=)|javascript:")


class ResultTests(PageTestCase):
    def setUp(self):
        super().setUp()
        self.upload = make_run()
        self.address = self.upload.get_absolute_url()

    def test_it_costs_five_queries(self):
        # Session; upload with run and feedback; predictions; label sets; embedding to find similar ones by, if any.
        with self.assertNumQueries(5):
            self.client.get(self.address)

    def test_it_shows_labels_cosines_synsets_model_and_times(self):
        page = self.client.get(self.address)
        for text in (*LABELS, "90.0 %", "cosine 0.290", "WordNet n07920052", "ViT-B/32", "int8", "12 ms", "34 ms"):
            self.assertContains(page, text)

    def test_bars_are_as_long_as_the_probability(self):
        self.assertContains(self.client.get(self.address), '<rect width="90.00" height="1"/>')

    def test_the_crop_is_outlined(self):
        self.assertContains(self.client.get(self.address), "M100.0 0.0h400.0v400.0h-400.0z")

    def test_it_says_when_nothing_fits(self):
        doubtful = make_run(scores=(0.1, 0.05, 0.03, 0.01, 0.01), cosine=0.22)
        self.assertContains(self.client.get(doubtful.get_absolute_url()), "None of the 1000 labels fits well")
        self.assertNotContains(self.client.get(self.address), "fits well")

    def test_other_labels_are_not_called_the_1000(self):
        upload = make_run(labels=("a red circle", "a blue square"), scores=(0.9, 0.1), cosine=0.12)
        Classification.objects.filter(pk=upload.latest_id).update(label_set="Shapes")
        page = self.client.get(upload.get_absolute_url())
        self.assertContains(page, "None of these labels fits well")
        self.assertContains(page, "<dd>Shapes</dd>")
        self.assertNotContains(page, "Pick the right label")  # feedback is about the 1000

    def test_whoever_has_the_address_sees_it_and_cannot_change_it(self):
        with self.assertNumQueries(3):
            page = self.stranger().get(self.address)
        self.assertContains(page, "espresso")
        self.assertNotContains(page, "cup.jpg")  # file names can say who somebody is
        self.assertNotContains(page, f"{self.address}delete")
        self.assertNotContains(page, "Pick the right label")
        for action in ("delete", "feedback", "classify"):
            response = self.stranger().post(f"{self.address}{action}", {"label": "espresso"})
            self.assertEqual(response.status_code, 403)
        self.assertTrue(Upload.objects.filter(pk=self.upload.pk).exists())

    def test_deleting_asks_first(self):
        self.assertContains(self.client.get(f"{self.address}delete"), "Delete this picture?")
        self.assertTrue(Upload.objects.exists())
        response = self.client.post(f"{self.address}delete", follow=True)
        self.assertContains(response, "The picture is deleted.")
        self.assertFalse(Upload.objects.exists())
        self.assertEqual(self.client.get(self.address).status_code, 404)

    def test_the_record_can_be_downloaded(self):
        response = self.client.get(f"{self.address}record.json")
        self.assertIn("attachment", response.headers["Content-Disposition"])
        self.assertEqual(response.json()["predictions"][0]["label"], "espresso")
        self.assertEqual(response.json()["seconds"], {"decode": 0.012, "predict": 0.034})
        self.assertContains(self.client.get(self.address), "&quot;espresso&quot;")

    def test_the_picture_is_cached_for_good(self):
        response = self.client.get(f"{self.address}image")
        self.assertEqual(response.content, JPEG)
        self.assertIn("immutable", response.headers["Cache-Control"])
        again = self.client.get(f"{self.address}image", headers={"if-none-match": response.headers["ETag"]})
        self.assertEqual((again.status_code, again.content), (304, b""))

    def test_a_run_that_goes_on_says_so_and_reloads(self):
        end_run(self.upload, status="running")
        page = self.client.get(self.address)
        self.assertContains(page, "Still classifying")
        self.assertIn("Refresh", page.headers)

    def test_a_run_that_was_cut_off_says_so(self):
        end_run(self.upload, status="running", created=timezone.now() - timedelta(hours=1))
        page = self.client.get(self.address)
        self.assertContains(page, "Classifying was interrupted")
        self.assertContains(page, "Classify again")
        self.assertNotIn("Refresh", page.headers)

    def test_a_failed_run_gives_its_reason(self):
        end_run(self.upload, status="failed", reason="Out of memory.")
        page = self.client.get(self.address)
        self.assertContains(page, "Out of memory.")
        self.assertContains(page, "Classify again")
        self.assertNotContains(self.stranger().get(self.address), "Classify again")
        self.assertContains(self.client.get("/history/"), "Could not be classified")


class FeedbackTests(PageTestCase):
    def setUp(self):
        super().setUp()
        self.upload = make_run()

    def send(self, **fields):
        return self.client.post(f"{self.upload.get_absolute_url()}feedback", fields)

    def test_the_right_label_is_kept_and_shown(self):
        self.send(label="  tench ")
        feedback = Feedback.objects.get()
        self.assertEqual((feedback.upload, feedback.label, feedback.index), (self.upload, "tench", 0))
        self.assertContains(self.client.get(self.upload.get_absolute_url()), "this is <strong>tench</strong>")

    def test_saying_it_again_replaces_it(self):
        self.send(label="tench")
        self.send(none="1")
        feedback = Feedback.objects.get()
        self.assertEqual((feedback.label, feedback.index), ("", None))
        self.assertContains(self.client.get(self.upload.get_absolute_url()), "none of the 1000 labels is right")

    def test_another_word_is_refused_with_the_nearest_labels(self):
        response = self.send(label="expresso")
        self.assertContains(
            response, "“expresso” is not one of the 1000 labels. Did you mean espresso?", status_code=422
        )
        self.assertFalse(Feedback.objects.exists())

    def test_nothing_is_not_a_label(self):
        self.assertContains(self.send(label=""), "Pick a label first.", status_code=422)


class HistoryTests(PageTestCase):
    def labels(self, address: str) -> list[str]:
        return [upload.top_label for upload in self.client.get(address).context["page"].uploads]

    def make(self, count: int, **fields) -> None:
        for number in range(count):
            make_run(labels=(f"thing {number}", *LABELS[1:]), **fields)

    def test_it_costs_three_queries_however_many_there_are(self):
        for count in (0, 2, PAGE_SIZE):
            self.make(count)
            with self.assertNumQueries(3):  # session; page; labels to filter by
                self.client.get("/history/")

    def test_a_later_page_costs_one_more(self):
        self.make(PAGE_SIZE + 1)
        older = self.client.get("/history/").context["page"].older
        with self.assertNumQueries(4):  # whether there are newer ones
            self.client.get(f"/history/?{older}")

    def test_it_filters_by_label(self):
        self.make(3)
        self.assertEqual(self.labels("/history/?label=thing+1"), ["thing 1"])
        self.assertContains(self.client.get("/history/?label=nothing"), "None of your pictures has the top label")
        self.assertContains(self.client.get("/history/"), '<option value="thing 2">thing 2 (1)</option>')

    def test_pages_stay_right_while_new_pictures_arrive(self):
        self.make(PAGE_SIZE + 2)
        page = self.client.get("/history/").context["page"]
        make_run(labels=("newcomer", *LABELS[1:]))
        self.assertEqual(self.labels(f"/history/?{page.older}"), ["thing 1", "thing 0"])

    def test_only_ticked_pictures_of_ones_own_are_deleted_once_confirmed(self):
        self.make(2)
        other = make_run("you")
        ticked = [Upload.objects.get(top_label="thing 1").pk, other.pk, "nonsense"]
        page = self.client.post("/history/delete", {"upload": ticked})
        self.assertContains(page, "Delete this picture?")
        self.assertEqual(Upload.objects.count(), 3)
        response = self.client.post("/history/delete", {"upload": ticked, "confirmed": "1"}, follow=True)
        self.assertContains(response, "The picture is deleted.")
        self.assertEqual(set(Upload.objects.values_list("top_label", flat=True)), {"thing 0", other.top_label})

    def test_deleting_nothing_says_what_to_do(self):
        self.assertContains(self.client.post("/history/delete", follow=True), "Tick the pictures to delete first.")

    def test_the_export_has_ones_own_pictures_as_json(self):
        self.make(2)
        make_run("you")
        response = self.client.get("/history/export.json")
        self.assertTrue(response.streaming)
        records = json.loads(response.getvalue())
        self.assertEqual([record["predictions"][0]["label"] for record in records], ["thing 1", "thing 0"])

    def test_the_export_has_ones_own_pictures_as_csv(self):
        upload = make_run(name="=cmd()")
        uploads.feedback_create(upload=upload, label="tench", index=0)
        make_run("you")
        rows = list(csv.DictReader(io.StringIO(self.client.get("/history/export.csv").getvalue().decode())))
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["label_1"], "espresso")
        self.assertEqual(float(rows[0]["score_1"]), 0.9)
        self.assertEqual(rows[0]["right_label"], "tench")
        self.assertEqual(rows[0]["file"], "'=cmd()")  # no formula for a spreadsheet

    def test_a_visitor_without_pictures_exports_an_empty_list(self):
        self.assertEqual(json.loads(self.stranger().get("/history/export.json").getvalue()), [])


class AboutTests(TestCase):
    @override_settings(CLIP_MODEL="standin", CLIP_THREADS=1)
    def test_it_names_the_model_and_its_file_without_a_query(self):
        with self.assertNumQueries(0):
            page = self.client.get("/about/")
        self.assertContains(page, engines.engine_get().info.weights_sha256)
        self.assertContains(page, "English only")

    def test_it_tells_how_the_self_check_went(self):
        check = {"pictures": 24, "cosine_mean": 0.99987, "cosine_min": 0.99912, "passed": True}
        info = ModelInfo("ViT-B/32", "int8", "40d3", 512, 224, False, {"self_check": check})
        with mock.patch.object(engines, "model_info", return_value=info):
            page = self.client.get("/about/")
        self.assertContains(page, "passed. On 24 pictures the embeddings have a cosine of 0.9999")

    @override_settings(CLIP_MODEL_DIR=Path("/nonexistent"))
    def test_it_says_when_there_is_no_model(self):
        self.assertContains(self.client.get("/about/"), "No model is loaded")

    def test_it_says_how_long_pictures_are_kept(self):
        with override_settings(UPLOAD_RETENTION_DAYS=30):
            self.assertContains(self.client.get("/about/"), "deleted after 30 days")
        self.assertContains(self.client.get("/about/"), "kept until you delete them")


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
