"""The pages, through Django's test client: real photos and the stand-in where labels matter, stored runs elsewhere."""

import gzip
import re
from datetime import timedelta
from pathlib import Path
from unittest import mock

from django.contrib.staticfiles import finders
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, TestCase, override_settings
from django.utils import timezone
from PIL import Image

from classifier.engine import ModelInfo
from classifier.models import Classification, Feedback, Prediction, Upload
from classifier.pictures.reading import picture_to_jpeg
from classifier.services import engines
from classifier.tests.photos import PHOTOS

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
        scripts = {Path(finders.find(name)) for name in files if name.endswith(".js")}
        for script in scripts:  # what they load is among what the page names, and so is counted
            for name in re.findall(r'from "([^"]+)"', script.read_text()):
                self.assertIn((script.parent / name).resolve(), {path.resolve() for path in scripts})
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

    def test_it_costs_eight_queries(self):
        # Session; upload with run and feedback; predictions; label sets; embedding to find similar ones by, if any; the
        # next newer and the next older one; its rankings, each with its likeliest label.
        with self.assertNumQueries(8):
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
        self.assertContains(page, "Is it a red circle all the same?")

    def test_whoever_has_the_address_sees_it_and_cannot_change_it(self):
        with self.assertNumQueries(3):
            page = self.stranger().get(self.address)
        self.assertContains(page, "espresso")
        self.assertNotContains(page, "cup.jpg")  # file names can say who somebody is
        self.assertNotContains(page, f"{self.address}delete")
        self.assertNotContains(page, "Was this right?")
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
        self.assertEqual(response.headers["Cache-Control"], "private, max-age=3600")
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
        self.assertContains(self.client.get(self.upload.get_absolute_url()), "Noted: this is not espresso.")

    def test_another_word_is_refused_with_the_nearest_labels(self):
        response = self.send(label="expresso")
        self.assertContains(
            response, "“expresso” is not one of the 1000 labels. Did you mean espresso?", status_code=422
        )
        self.assertFalse(Feedback.objects.exists())

    def test_nothing_is_not_a_label(self):
        self.assertContains(self.send(label=""), "Pick a label first.", status_code=422)


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

    def test_it_tells_how_many_layers_stayed_float16(self):
        info = ModelInfo("ViT-B/32", "int8", "40d3", 512, 224, False, {}, float16_layers=5, layers=48)
        with mock.patch.object(engines, "model_info", return_value=info):
            page = self.client.get("/about/")
        self.assertContains(page, "<dd>int8, 5 of 48 layers float16</dd>")

    @override_settings(CLIP_MODEL_DIR=Path("/nonexistent"))
    def test_it_says_when_there_is_no_model(self):
        self.assertContains(self.client.get("/about/"), "No model is loaded")

    def test_it_says_how_long_pictures_are_kept(self):
        with override_settings(UPLOAD_RETENTION_DAYS=30):
            self.assertContains(self.client.get("/about/"), "deleted after 30 days")
        self.assertContains(self.client.get("/about/"), "kept until you delete them")


class ReadyTests(TestCase):
    def test_it_says_in_which_precision_the_model_computes(self):
        info = ModelInfo("ViT-B/32", "int8", "40d3", 512, 224, False, {}, float16_layers=5, layers=48)
        with mock.patch.object(engines, "engine_get", return_value=mock.Mock(info=info)):
            answer = self.client.get("/readyz")
        self.assertEqual(answer.status_code, 200)
        parts = {"model": "ok", "database": "ok", "storage": "ok"}
        self.assertEqual(answer.json(), {**parts, "precision": "int8, 5 of 48 layers float16"})

    @override_settings(CLIP_MODEL_DIR=Path("/nonexistent"))
    def test_it_says_what_is_missing(self):
        answer = self.client.get("/readyz")
        self.assertEqual(answer.status_code, 503)
        self.assertIn("prepare_model", answer.json()["model"])
        self.assertEqual(answer.json()["precision"], "")
