"""Many pictures in one form, in a real browser: sent, worked off, opened, and nothing wrong with the pages."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.tests.browser import PHONE
from classifier.tests.services.test_batches import work
from classifier.tests.web.test_browser_atlas import DATETIME
from classifier.tests.web.test_browser_labels import LABELS, LabelsBrowserTestCase


class BatchPageTests(LabelsBrowserTestCase):
    def send(self, page):
        page.goto("/history/")
        page.get_by_role("link", name="Send hundreds at once").click()
        page.set_input_files("#images", [self.file("red", "circle"), self.file("blue", "square")])
        page.get_by_label("Labels of your own").fill(LABELS)
        page.get_by_role("button", name="Classify them").click()
        page.wait_for_url("**/batches/*-*/")
        expect(page.get_by_role("status")).to_contain_text("0 of 2 are done")

    def test_from_the_history_to_the_results(self):
        self.send(self.page)
        work()
        expect(self.page.get_by_role("status")).to_contain_text("2 of 2 are done")  # the page reloads by itself
        self.page.get_by_role("link", name="red-circle.png").click()
        expect(self.page.locator("h1")).to_contain_text("a red circle")

    def test_both_pages_on_a_phone_in_both_schemes(self):
        for scheme in ("light", "dark"):
            page = self.visitor(viewport=PHONE, color_scheme=scheme)
            self.send(page)
            work()
            expect(page.get_by_role("status")).to_contain_text("2 of 2 are done")
            for address in (page.url, "/batches/"):
                page.goto(address)
                self.assertEqual(Axe().run(page).response["violations"], [])
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 390)
            self.assertRegex(page.locator("time").first.get_attribute("datetime"), DATETIME)
