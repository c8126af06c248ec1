"""Yes or no in one click, then the label; and where a correction is seen from then on."""

import csv

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Feedback, LabelExample, LabelSet
from classifier.services.label_sets import label_set_create
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.web.test_any_labels import CAPTIONS
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase
from classifier.tests.web.test_views import make_run


class OneClickTests(BrowserTestCase):
    def setUp(self):
        super().setUp()
        self.own(self.page.context)
        self.upload = make_run()
        self.page.goto(self.upload.get_absolute_url())

    def press(self, name, page=None):
        (page or self.page).get_by_role("button", name=name, exact=True).click()

    def test_yes_is_one_click(self):
        expect(self.page.get_by_role("heading", name="Was this right?")).to_be_visible()
        expect(self.page.get_by_label("Which of the 1000 labels is it?")).to_have_count(0)
        self.press("Yes")
        expect(self.page.get_by_text("Noted: this is espresso.")).to_be_visible()
        expect(self.page.get_by_role("button", name="Yes")).to_have_attribute("aria-pressed", "true")
        self.assertTrue(Feedback.objects.get().right)
        self.page.goto("/history/")
        expect(self.page.locator(".card .facts").first).to_contain_text("confirmed")

    def test_a_correction_shows_in_heading_history_filter_and_csv(self):
        page = self.page
        self.press("No")
        page.get_by_label("Which of the 1000 labels is it?").fill("teapot")
        self.press("Save")
        expect(page.get_by_role("heading", level=1)).to_have_text("teapot")
        expect(page.get_by_text("The model took it for espresso.")).to_be_visible()
        for words, found in (("teapot", 1), ("teap", 1), ("espresso", 0)):
            page.goto(f"/history/?label={words}x"[: -1 if found else None])
            expect(page.locator(".card .label")).to_have_text(["teapot"] * found)
        page.goto("/history/?label=teapot")
        expect(page.locator(".card .facts").first).to_contain_text("corrected from espresso")
        with page.expect_download() as download:
            page.get_by_role("link", name="Export CSV").click()
        with open(download.value.path(), encoding="utf-8-sig") as file:
            (row,) = csv.DictReader(file)
        self.assertEqual((row["right"], row["right_label"], row["label_1"]), ("no", "teapot", "espresso"))

    def test_it_works_without_a_script_and_axe_finds_nothing(self):
        for scheme, viewport in (("light", DESKTOP), ("dark", PHONE)):
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            self.own(page.context)
            page.goto(self.upload.get_absolute_url())
            self.press("No", page)
            expect(page.get_by_text("Noted: this is not espresso.")).to_be_visible()
            self.assertEqual(Axe().run(page).response["violations"], [])
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), viewport["width"])
        plain = self.visitor(java_script_enabled=False)
        self.own(plain.context)
        plain.goto(self.upload.get_absolute_url())
        self.press("No", plain)
        self.press("coffee mug", plain)
        expect(plain.get_by_role("heading", level=1)).to_have_text("coffee mug")


class SavedSetTests(LabelsBrowserTestCase):
    def test_a_correction_teaches_the_set_that_ranked_the_picture(self):
        made = label_set_create(name="Shapes", labels=CAPTIONS, templates=["{}"])
        LabelSet.objects.filter(pk=made.pk).update(learns=True)
        page = self.page
        page.goto("/?label_set=Shapes")
        page.set_input_files("#image", self.file("red", "circle"))
        page.wait_for_url("**/uploads/**")
        right = CAPTIONS[1]
        page.get_by_role("button", name="No", exact=True).click()
        expect(page.get_by_text("The label set “Shapes” learns from it.")).to_be_visible()
        expect(page.get_by_label(f"Which of the {len(CAPTIONS)} labels is it?")).to_be_visible()
        page.get_by_role("button", name=right, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(right)
        self.assertEqual(LabelExample.objects.get().label, right)
