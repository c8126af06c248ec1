"""A long history in a real browser: older pictures come as one scrolls, and what is ticked can be ranked anew."""

from datetime import UTC, datetime

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Upload
from classifier.tests.browser import PHONE, BrowserTestCase
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase
from classifier.tests.web.test_views import LABELS, make_run
from classifier.web.history import PAGE_SIZE


class LongHistoryTests(BrowserTestCase):
    def setUp(self):
        super().setUp()
        for number in range(2 * PAGE_SIZE + 5):
            made = make_run(labels=(f"thing {number}", *LABELS[1:]))
            moment = datetime(2026, 10 if number < PAGE_SIZE else 11, 1 + number % 28, tzinfo=UTC)
            Upload.objects.filter(pk=made.pk).update(created=moment)
        self.own(self.page.context)

    def test_scrolling_brings_the_older_ones_once_each(self):
        page = self.page
        page.goto("/history/")
        for _ in range(20):
            page.mouse.wheel(0, 4000)
            page.wait_for_timeout(100)
            if page.locator("#pictures .card").count() == 2 * PAGE_SIZE + 5:
                break
        addresses = page.locator("#pictures .card > a").evaluate_all("links => links.map(link => link.href)")
        self.assertEqual((len(addresses), len(set(addresses))), (2 * PAGE_SIZE + 5, 2 * PAGE_SIZE + 5))
        self.assertEqual(page.locator(".month > h2").all_inner_texts(), ["November 2026", "October 2026"])
        expect(page.locator(".pages [rel=next]")).to_have_count(0)
        page.get_by_role("button", name="Select all on this page").click()
        expect(page.locator("#selected")).to_have_text(f"{len(addresses)} selected")

    def test_without_a_script_there_are_pages_and_months_to_jump_to(self):
        plain = self.visitor(java_script_enabled=False, viewport=PHONE)
        self.own(plain.context)
        plain.goto("/history/")
        plain.get_by_role("navigation", name="Months").get_by_role("link", name="Oct 2026").click()
        expect(plain.locator(".month > h2")).to_have_text(["October 2026"])
        plain.get_by_role("link", name="Newer").click()
        expect(plain.locator(".month > h2").first).to_have_text("November 2026")

    def test_axe_finds_nothing(self):
        for scheme in ("light", "dark"):
            page = self.visitor(color_scheme=scheme, viewport=PHONE)
            self.own(page.context)
            page.goto("/history/")
            self.assertEqual(Axe().run(page).response["violations"], [])
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 390)


class RankTickedTests(LabelsBrowserTestCase):
    def test_ticked_pictures_are_ranked_against_other_labels(self):
        self.upload("red", "circle")
        self.upload("blue", "square")
        page = self.page
        page.goto("/history/")
        page.get_by_role("button", name="Select all on this page").click()
        page.get_by_text("Rank the ticked ones against other labels").click()
        page.get_by_label("Labels of your own").fill("something red, something blue")
        page.get_by_role("button", name="Rank these").click()
        expect(page.get_by_text("2 pictures are ranked anew.")).to_be_visible()
        expect(page.locator(".card .label")).to_have_text(["something blue", "something red"])
