"""The map of one's pictures in a real browser, with a real tiny CLIP."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Upload
from classifier.tests.browser import PHONE
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase

DATETIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"  # HTML takes no six digits after the second


class AtlasTests(LabelsBrowserTestCase):
    def setUp(self):
        super().setUp()
        for pair in (("red", "circle"), ("red", "circle"), ("blue", "square")):
            self.upload(*pair)

    def test_dots_open_and_duplicates_are_tidied(self):
        page = self.page
        page.goto("/history/")
        page.get_by_role("link", name="See them as a map").click()
        dots = page.locator("#atlas a")
        expect(dots).to_have_count(3)
        dots.last.focus()
        expect(page.locator("#peek img")).to_be_visible()
        page.get_by_role("button", name="Zoom in").click()
        self.assertNotEqual(page.locator("#atlas > svg").get_attribute("viewBox"), "0 0 1000 620")
        expect(page.get_by_role("list", name="Group 1: 2 pictures")).to_be_visible()
        page.get_by_role("button", name="Delete what is ticked").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Delete this picture?")
        page.get_by_role("button", name="Delete").click()
        page.wait_for_url("**/history/")
        self.assertEqual(Upload.objects.count(), 2)
        page.goto("/history/map")
        expect(page.get_by_text("No two of your pictures are.")).to_be_visible()
        page.locator("#atlas a").first.click()
        page.wait_for_url("**/uploads/*/")

    def test_without_javascript_on_a_phone_and_in_the_dark(self):
        cookies = self.page.context.cookies()
        for scheme in ("light", "dark"):
            plain = self.visitor(viewport=PHONE, color_scheme=scheme, java_script_enabled=scheme == "dark")
            plain.context.add_cookies(cookies)
            plain.goto("/history/map")
            expect(plain.locator("#atlas a")).to_have_count(3)
            if scheme == "dark":
                self.assertEqual(Axe().run(plain).response["violations"], [])
                self.assertLessEqual(plain.evaluate("document.documentElement.scrollWidth"), 390)
                dot = plain.locator("#atlas a circle").first.bounding_box()
                self.assertGreater(dot["width"], 10)  # pixels: a finger finds it
            for time in plain.locator("time").all():
                self.assertRegex(time.get_attribute("datetime"), DATETIME)
