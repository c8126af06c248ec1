"""Searching one's pictures by words: where the matches end, how well each matches, and page on."""

import os
from unittest import mock

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.tests.browser import DESKTOP, PHONE
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase

SHOOT = os.environ.get("SCREENSHOTS")


class SearchPageTests(LabelsBrowserTestCase):
    def search(self, page, words):
        page.goto("/history/")
        page.get_by_label("Search your pictures by what they show").fill(words)
        page.keyboard.press("Enter")

    def test_only_what_matches_is_shown_and_the_rest_on_demand(self):
        for pair in (("yellow", "star"), ("blue", "square"), ("red", "circle")):
            self.upload(*pair)
        for page in (self.page, self.visitor(java_script_enabled=False)):
            page.context.add_cookies(self.page.context.cookies())
            self.search(page, "a yellow star")
            expect(page.get_by_role("status")).to_contain_text("1 picture matches, the best first.")
            expect(page.locator(".grid .card")).to_have_count(1)
            expect(page.locator(".card .label")).to_have_text("Very good match")
            expect(page.locator(".card img")).to_have_attribute("alt", "yellow-star.png")
            page.get_by_text("What counts as a match").click()
            expect(page.locator(".search-rule")).to_contain_text("tiny-clip compares them")
            expect(page.locator("main")).not_to_contain_text("ViT-B/32")
            page.get_by_role("link", name="Show the nearest of the other 2").click()
            expect(page.locator(".card .label")).to_have_text(["No match", "No match"])
            page.get_by_role("link", name="Only what matches").click()
            expect(page.locator(".grid .card")).to_have_count(1)

    def test_nothing_that_matches_is_said(self):
        self.upload("blue", "square")
        self.search(self.page, "a yellow star")
        expect(self.page.get_by_role("status")).to_contain_text("None of your pictures matches.")
        expect(self.page.locator(".grid .card")).to_have_count(0)

    def test_one_pages_on_and_axe_finds_nothing(self):
        for place in ("on the left", "on the right", "at the top"):
            self.upload("red", "circle", place=place)
        cookies = self.page.context.cookies()
        with mock.patch("classifier.web.search.HITS", 2):
            for scheme, viewport in (("light", DESKTOP), ("dark", PHONE)):
                page = self.visitor(color_scheme=scheme, viewport=viewport)
                page.context.add_cookies(cookies)
                self.search(page, "a red circle")
                expect(page.locator(".grid .card")).to_have_count(2)
                expect(page.get_by_role("status")).to_contain_text(
                    "3 pictures match, the best first. 1 to 2 are on this page."
                )
                self.assertEqual(Axe().run(page).response["violations"], [])
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), viewport["width"])
                if SHOOT:
                    page.screenshot(path=f"{SHOOT}/search-{scheme}.png", full_page=True)
                page.get_by_role("link", name="More matches").click()
                expect(page.locator(".grid .card")).to_have_count(1)
                page.get_by_role("link", name="Better matches").click()
                expect(page.locator(".grid .card")).to_have_count(2)
