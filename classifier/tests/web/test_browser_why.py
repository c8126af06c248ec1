"""The heat map on a result, in a real browser with a real tiny CLIP."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Occlusion
from classifier.tests.browser import PHONE
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase


class WhyTests(LabelsBrowserTestCase):
    def brightest(self, page):
        """The middle of the most opaque part, in parts of the picture's width and height."""
        return page.locator(".heat g rect").evaluate_all(
            """rects => {
                const opacity = (rect) => Number(rect.getAttribute("fill-opacity"));
                const best = rects.reduce((a, b) => (opacity(b) > opacity(a) ? b : a));
                const [, , width, height] = best.ownerSVGElement.getAttribute("viewBox").split(" ").map(Number);
                const box = best.getBBox();
                return [(box.x + box.width / 2) / width, (box.y + box.height / 2) / height];
            }"""
        )

    def test_red_lies_on_the_thing_and_another_label_is_quick(self):
        self.upload("red", "circle", place="on the left")
        self.page.get_by_role("link", name=re.compile("^Why")).first.click()
        expect(self.page.locator("#seen figcaption")).to_contain_text(re.compile("speaks for|No part alone"))
        across, _ = self.brightest(self.page)
        self.assertLess(across, 0.5)
        self.assertEqual(Occlusion.objects.count(), 1)
        self.page.get_by_role("link", name=re.compile("^Why")).nth(1).click()
        expect(self.page.get_by_role("link", name=re.compile("^Why")).nth(1)).to_have_attribute("aria-current", "true")
        self.assertEqual(Occlusion.objects.count(), 1)
        self.page.get_by_role("link", name="Hide").click()
        expect(self.page.locator("#seen figcaption")).to_contain_text("only the square")
        expect(self.page.locator(".heat")).to_have_count(0)

    def test_it_works_without_javascript_and_on_a_phone(self):
        self.upload("blue", "square", place="on the right")
        address = self.page.url
        for scheme in ("light", "dark"):
            plain = self.visitor(java_script_enabled=scheme == "dark", viewport=PHONE, color_scheme=scheme)
            plain.goto(address)
            plain.get_by_role("link", name=re.compile("^Why")).first.click()
            expect(plain.locator(".heat")).to_be_visible()
            if scheme == "dark":
                self.assertEqual(Axe().run(plain).response["violations"], [])
                self.assertLessEqual(plain.evaluate("document.documentElement.scrollWidth"), 390)
