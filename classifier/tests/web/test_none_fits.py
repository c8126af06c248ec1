"""A label that says nothing about the picture is not shown as if it did: in history, on home, in search and the API."""

import csv
import io
from importlib import import_module

from django.apps import apps
from django.test import TestCase
from playwright.sync_api import expect

from classifier.models import Upload
from classifier.services import uploads
from classifier.tests.browser import BrowserTestCase
from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.services.test_search import coloured
from classifier.tests.services.test_uploads import FixedEngine, png, use_engine
from classifier.tests.web.test_views import LABELS, PageTestCase, make_run


class StoredTests(TestCase):
    def test_a_run_says_whether_its_best_label_fits(self):
        for cosine, fits in ((0.30, True), (0.12, False)):
            with self.subTest(cosine=cosine), use_engine(FixedEngine(cosine=cosine)):
                upload = uploads.upload_create(file=png(), name="a.png", owner="me")
                self.assertIs(Upload.objects.get(pk=upload.pk).fits, fits)

    def test_a_run_that_failed_says_nothing(self):
        with use_engine(FixedEngine(RuntimeError("broken"))), self.assertLogs("classifier", "ERROR"):
            uploads.upload_create(file=png(), name="a.png", owner="me")
        self.assertIsNone(Upload.objects.get().fits)

    def test_what_was_stored_before_is_judged_by_the_same_rule(self):
        rows = [
            (make_run(cosine=0.31 + 1 / 99), True),  # make_run counts a ninety-ninth down per rank
            (make_run(cosine=0.15 + 1 / 99), False),
            (make_run(cosine=0.22 + 1 / 99, scores=(0.5, 0.2, 0.1, 0.1, 0.1)), True),
            (make_run(cosine=0.22 + 1 / 99, scores=(0.1, 0.1, 0.1, 0.1, 0.1)), False),
            (make_run(model="RN50", cosine=0.12), True),
            (make_run(model="RN50", cosine=0.3, scores=(0.1, 0.1, 0.1, 0.1, 0.1)), False),
            (make_run(status="failed", top_score=None), None),
        ]
        Upload.objects.update(fits=None)
        import_module("classifier.migrations.0008_say_what_fits").judge(apps, None)
        for number, (upload, fits) in enumerate(rows):
            with self.subTest(number):
                self.assertIs(Upload.objects.get(pk=upload.pk).fits, fits)


class ShownTests(PageTestCase):
    def setUp(self):
        super().setUp()
        make_run(fits=True)
        self.doubtful = make_run(
            labels=("tench", *LABELS[1:]), scores=(0.1, 0.05, 0.03, 0.01, 0.01), cosine=0.19, fits=False
        )

    def test_the_export_has_it(self):
        rows = list(csv.DictReader(io.StringIO(self.client.get("/history/export.csv").getvalue().decode("utf-8-sig"))))
        self.assertEqual([row["fits"] for row in rows], ["no", "yes"])

    def test_the_api_has_it(self):
        items = self.client.get("/api/v1/uploads").json()["items"]
        self.assertEqual([item["fits"] for item in items], [False, True])
        self.assertIs(self.client.get(f"/api/v1/uploads/{self.doubtful.id}").json()["fits"], False)

    def test_search_and_similar_pictures_show_it(self):
        red, _crimson = coloured("red"), coloured("crimson")
        Upload.objects.filter(pk=red.pk).update(fits=False)
        with serve(ColourEngine()):
            found = self.client.get("/history/search", {"q": "something red"})
        self.assertContains(found, "None fits well", count=1)
        self.assertContains(found, "nearest: red thing")
        similar = self.client.get(_crimson.get_absolute_url())
        self.assertContains(similar, "nearest: red thing")


class BrowserTests(BrowserTestCase):
    def test_history_and_home_say_that_none_fits(self):
        self.own(self.page.context)
        make_run(fits=True)
        make_run(labels=("tench", *LABELS[1:]), scores=(0.1, 0.05, 0.03, 0.01, 0.01), cosine=0.19, fits=False)
        for address in ("/history/", "/"):
            self.page.goto(address)
            cards = self.page.locator(".card")
            expect(cards.nth(0).locator(".label")).to_have_text("None fits well")
            expect(cards.nth(0)).to_contain_text("nearest: tench")
            expect(cards.nth(1).locator(".label")).to_have_text("espresso")
