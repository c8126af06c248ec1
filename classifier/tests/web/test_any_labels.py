"""Any labels and word search end to end with a real CLIP, a tiny one, in every precision: page, API and label sets."""

import base64
import io
import json

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase

from classifier.models import Classification, Upload
from classifier.services import engines, label_sets, uploads
from classifier.services.label_sets import choice_make
from classifier.tests.api.calls import UPLOADS, ZERO_SHOT, bearer, issue
from classifier.tests.tiny_clip import caption, draw
from classifier.tests.tiny_server import tiny_server

SHAPES = [("red", "circle"), ("blue", "square"), ("green", "triangle"), ("yellow", "star")]
CAPTIONS = [caption(*pair) for pair in SHAPES]


def drawn(colour: str, shape: str, **how) -> SimpleUploadedFile:
    return drawn_as(colour, shape, 77_000, **how)


def drawn_as(colour: str, shape: str, seed: int, **how) -> SimpleUploadedFile:
    stream = io.BytesIO()
    draw(colour, shape, seed=seed, **how).save(stream, "PNG")
    return SimpleUploadedFile(f"{colour}-{shape}.png", stream.getvalue(), content_type="image/png")


class AnyLabelsTests(TestCase):
    precision = "fp32"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(tiny_server(cls.precision))

    def assertRanked(self, predictions, first):
        """All captions, the right one far ahead, with a cosine that says so too."""
        self.assertEqual({p.label for p in predictions}, set(CAPTIONS))
        self.assertEqual(predictions[0].label, first)
        self.assertAlmostEqual(sum(p.score for p in predictions), 1, places=4)
        self.assertGreater(predictions[0].score, 0.5)
        self.assertGreater(predictions[0].similarity, predictions[1].similarity + 0.05)

    def test_the_engine_serves_in_this_precision(self):
        self.assertEqual(engines.engine_get().info.precision, self.precision)

    def test_a_red_circle_is_one_on_the_page(self):
        for pair in SHAPES:
            data = {"image": drawn(*pair), "labels": ", ".join(CAPTIONS), "template": "a photo of {}."}
            response = self.client.post("/", data)
            self.assertEqual(response.status_code, 302, response.content)
            run = Classification.objects.first()
            self.assertRanked(run.predictions.all(), caption(*pair))
            self.assertEqual((run.label_set, run.templates), ("custom", "a photo of {}."))
            page = self.client.get(response.url)
            self.assertContains(page, f"<h1>{caption(*pair)}</h1>")

    def test_and_in_the_api(self):
        _, token = issue()
        data = {"image": drawn("red", "circle"), "candidate_labels": CAPTIONS}
        record = self.client.post(UPLOADS, data, headers=bearer(token)).json()
        self.assertEqual(record["predictions"][0]["label"], "a red circle")
        body = {
            "inputs": base64.b64encode(drawn("blue", "square").read()).decode(),
            "parameters": {"candidate_labels": CAPTIONS, "hypothesis_template": "a picture of {}"},
        }
        answer = self.client.post(ZERO_SHOT, json.dumps(body), content_type="application/json").json()
        self.assertEqual((answer[0]["label"], len(answer)), ("a blue square", 4))

    def test_and_by_a_saved_set_with_several_templates(self):
        with self.captureOnCommitCallbacks(execute=True):
            label_sets.label_set_create(
                name="Shapes", labels=CAPTIONS, templates=("a photo of {}.", "a drawing of {}.", "{}")
            )
        upload = uploads.upload_create(
            file=drawn("green", "triangle"), name="a.png", owner="me", choice=choice_make(label_set="shapes")
        )
        self.assertRanked(upload.latest.predictions.all(), "a green triangle")
        self.assertEqual(upload.latest.label_set, "Shapes")

    def test_other_labels_rank_the_same_from_the_stored_embedding_as_from_the_picture(self):
        upload = uploads.upload_create(file=drawn("yellow", "star"), name="a.png", owner="me")
        self.assertEqual(upload.latest.label_set, "imagenet")
        choice = choice_make(labels=CAPTIONS)
        again = uploads.upload_relabel(upload=upload, choice=choice)
        self.assertRanked(again.predictions.all(), "a yellow star")
        fresh = uploads.upload_create(file=drawn("yellow", "star"), name="a.png", owner="me", choice=choice).latest
        for kept, seen in zip(again.predictions.all(), fresh.predictions.all(), strict=True):
            self.assertEqual(kept.label, seen.label)
            self.assertAlmostEqual(kept.similarity, seen.similarity, delta=0.001)  # rounded to float16

    def test_words_find_the_pictures_they_describe(self):
        for pair in SHAPES:
            self.client.post("/", {"image": drawn(*pair)})
            self.client.post("/", {"image": drawn(*pair, size=(400, 300))})
        for pair in SHAPES:
            page = self.client.get("/history/search", {"q": caption(*pair)})
            found = [hit.upload.name for hit in page.context["hits"]]
            self.assertEqual(found[:2], [f"{pair[0]}-{pair[1]}.png"] * 2)

    def test_similar_pictures_are_of_the_same_shape_and_colour(self):
        for pair in SHAPES:
            for place in ("on the left", "on the right"):
                self.client.post("/", {"image": drawn(*pair, place=place)})
        for upload in Upload.objects.all():
            page = self.client.get(upload.get_absolute_url())
            self.assertEqual(page.context["hits"][0].upload.name, upload.name)

    def test_a_label_too_long_for_clip_is_told_and_nothing_is_stored(self):
        response = self.client.post("/", {"image": drawn("red", "circle"), "labels": "cat, " + "q7z " * 49})
        self.assertContains(response, "tokens; CLIP reads at most 77", status_code=422)
        self.assertFalse(Upload.objects.exists())


class AnyLabelsFp16Tests(AnyLabelsTests):
    precision = "fp16"


class AnyLabelsInt8Tests(AnyLabelsTests):
    precision = "int8"
