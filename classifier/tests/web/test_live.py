"""The addresses that rank in passing, keep a square and compare two sets: who may, how often, and what is told."""

import uuid
from unittest import mock

from django.test import override_settings
from django.urls import reverse

from classifier.errors import Busy, ModelUnavailable
from classifier.models import Classification, Upload
from classifier.services import live
from classifier.services.label_sets import label_set_create
from classifier.tests.services.test_live import COLOURS, LiveTestCase


class LivePagesTestCase(LiveTestCase):
    def setUp(self):
        super().setUp()
        session = self.client.session
        session["owner"] = "me"
        session.save()

    def address(self, name, upload_id=None):
        return reverse(name, args=[upload_id or self.upload.pk])

    def ask(self, status=200, **fields):
        response = self.client.post(self.address("upload_live"), fields)
        self.assertEqual(response.status_code, status, response.content)
        return response

    def page(self, **query):
        response = self.client.get(self.upload.get_absolute_url(), query)
        self.assertEqual(response.status_code, 200)
        return response


class LiveTests(LivePagesTestCase):
    def test_it_answers_with_a_ranking_and_keeps_nothing(self):
        answer = self.ask(labels="white, red").json()
        self.assertEqual({each["label"] for each in answer["predictions"]}, {"white", "red"})
        self.assertEqual((answer["model"], answer["label_set"]), ("colours", "custom"))
        self.assertLess(answer["seconds"], 5)
        self.assertEqual(Classification.objects.count(), 1)

    def test_without_labels_those_of_the_run_are_ranked_in_the_square(self):
        answer = self.ask(x=200, y=0, side=100).json()
        self.assertEqual(answer["predictions"][0]["label"], "blue")
        self.assertEqual({each["label"] for each in answer["predictions"]}, set(COLOURS.labels))

    def test_only_whoever_made_it_may_ask_and_only_by_post(self):
        self.assertEqual(self.client.get(self.address("upload_live")).status_code, 405)
        self.assertEqual(self.client.post(self.address("upload_live", uuid.uuid4())).status_code, 404)
        self.client.logout()
        for name in ("upload_live", "upload_square"):
            self.assertEqual(self.client.post(self.address(name), {"labels": "a, b"}).status_code, 403)

    def test_what_is_wrong_with_labels_is_told(self):
        problem = self.ask(422, labels="red, red").json()
        self.assertIn("repeats label 1", problem["detail"])

    def test_it_says_when_the_model_is_busy_or_away(self):
        for error in (Busy("Many pictures are waiting.", retry_after=7), ModelUnavailable("Not yet.")):
            with self.subTest(error), mock.patch("classifier.web.live.upload_rank", side_effect=error):
                response = self.ask(503, labels="white, red")
                self.assertEqual(response["Content-Type"], "application/problem+json")
        with mock.patch("classifier.web.live.upload_rank", side_effect=Busy("Wait.", retry_after=7)):
            self.assertEqual(self.ask(503, labels="white, red")["Retry-After"], "7")


@override_settings(RATE_LIMIT_PER_MINUTE=2)
class LimitTests(LivePagesTestCase):
    def test_labels_that_are_known_count_a_tenth_of_a_picture(self):
        for _ in range(20):
            self.ask(labels="red, blue", template="{}")
        response = self.ask(429, labels="red, blue", template="{}")
        self.assertEqual(response["Retry-After"], "3")  # a tenth of 30 s
        self.assertIn("2 per minute from your address", response.json()["detail"])

    def test_new_labels_count_for_what_they_take(self):
        for number in range(10):  # 0.2 each
            self.ask(labels=f"red, label {number}", template="{}")
        self.ask(429, labels="red, label 10", template="{}")

    def test_a_square_counts_as_a_picture(self):
        self.ask(x=0, y=0, side=100)
        self.ask(x=10, y=0, side=100)
        self.ask(429, x=20, y=0, side=100)
        self.assertEqual(self.engine.pictures_seen, 1 + 2)

    def test_what_was_refused_is_told_on_the_page_where_there_is_no_script(self):
        self.ask(x=0, y=0, side=100)
        self.ask(x=10, y=0, side=100)
        page = self.page(**{"first-labels": "red, blue", "second-labels": ""})
        self.assertContains(page, "That was a lot of pictures", count=2)
        self.client.post(self.address("upload_square"), {"x": 0, "y": 0, "side": 100})
        self.assertContains(self.page(), "That was a lot of pictures")
        self.assertEqual(Classification.objects.count(), 1)


class KeepTests(LivePagesTestCase):
    def keep(self, **fields):
        return self.client.post(self.address("upload_square"), fields, follow=True)

    def test_a_square_is_kept_and_shown(self):
        page = self.keep(x=200, y=0, side=100)
        self.assertContains(page, "<h1>blue</h1>")
        for text in (
            "CLIP saw only this square: 100 × 100 of the picture’s pixels, 200 from the left and 0 from the top.",
            "Rankings of this picture: 2",
            "of a square of 100 pixels at 200, 0",
            "M200.0 0.0h100.0v100.0h-100.0z",  # what is outside it is covered
        ):
            self.assertContains(page, text)
        record = self.client.get(self.address("upload_record")).json()
        self.assertEqual(record["square"], {"x": 200, "y": 0, "side": 100})

    def test_strangers_are_told_what_was_seen_but_not_what_was_tried(self):
        self.keep(x=200, y=0, side=100)
        self.client.logout()
        self.assertContains(self.page(), "CLIP saw only this square: 100 × 100")
        self.assertNotContains(self.page(), "Rankings of this picture")

    def test_other_labels_are_ranked_in_the_square_that_was_kept(self):
        self.keep(x=200, y=0, side=100)
        fields = {"x": "200", "y": "0", "side": "100", "labels": "red, blue"}
        self.assertContains(self.page(), '<input type="hidden" name="x" value="200">')
        self.client.post(self.address("upload_relabel"), fields)
        upload = Upload.objects.with_latest().get()
        self.assertEqual((upload.top_label, upload.latest.square["x"]), ("blue", 200))

    def test_the_whole_can_be_ranked_again(self):
        self.assertNotContains(self.page(), "Rank the whole again")
        self.assertContains(self.keep(x=200, y=0, side=100), "Rank the whole again")
        page = self.keep()
        self.assertNotContains(page, "saw only this square")
        self.assertIsNone(Upload.objects.with_latest().get().latest.square)

    def test_without_the_script_the_square_in_the_address_can_be_kept(self):
        page = self.page(x=200, y=0, side=100)
        self.assertContains(page, "Keep this ranking")
        self.assertContains(page, "CLIP saw only this square: 100 × 100")
        self.assertNotContains(page, 'id="square-keep" hidden')
        self.assertContains(self.page(), 'id="square-keep" hidden')
        self.assertEqual(Classification.objects.count(), 1)

    def test_a_list_says_it_too(self):
        self.keep(x=200, y=0, side=100)
        table = b"".join(self.client.get(reverse("history_csv")).streaming_content).decode()
        self.assertIn('"200 0 100"', table)


class CompareTests(LivePagesTestCase):
    def test_two_sets_side_by_side_by_a_plain_address(self):
        with self.captureOnCommitCallbacks(execute=True):
            label_set_create(name="Light", labels=("white", "black"), templates=("{}",))
        self.assertContains(self.page(), "Compare two sets")
        page = self.page(**{"first-labels": "red, blue, green", "second-labels": "", "second-label_set": "Light"})
        one, other = page.context["sides"]
        self.assertEqual({each.label for each, _ in one["shown"]}, {"red", "blue", "green"})
        self.assertEqual({each.label for each, _ in other["shown"]}, {"white", "black"})
        self.assertContains(page, 'class="compared"', count=2)
        self.assertEqual(Classification.objects.count(), 1)
        self.assertEqual(self.engine.pictures_seen, 1)

    def test_empty_is_imagenet_and_a_mistake_stands_on_its_side(self):
        page = self.page(**{"first-labels": "red", "second-labels": ""})
        one, other = page.context["sides"]
        self.assertIn("Give 2 to 100 labels", one["error"])
        self.assertEqual(other["found"].label_set, "imagenet")
        self.assertContains(page, 'id="first-error"')

    def test_it_compares_in_the_square_that_was_kept(self):
        live.square_keep(upload=self.upload, choice=COLOURS, square=live.Crop(200, 0, 100, 100))
        page = self.page(**{"first-labels": "red, blue", "second-labels": "green, blue"})
        self.assertEqual([side["shown"][0][0].label for side in page.context["sides"]], ["blue", "blue"])

    def test_it_is_for_whoever_made_it(self):
        self.client.logout()
        page = self.page(**{"first-labels": "red, blue", "second-labels": ""})
        self.assertNotContains(page, "Compare two sets")
