"""Ranking in passing on a result: labels as chips, the square that is dragged, and all of it without the script."""

import itertools
import os

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Classification
from classifier.services.label_sets import label_set_create
from classifier.tests.browser import DESKTOP, PHONE
from classifier.tests.web.test_any_labels import CAPTIONS
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase

SHOOT = os.environ.get("SCREENSHOTS")


class LiveTestCase(LabelsBrowserTestCase):
    def row(self, page, label, table="#live-result"):
        """What a label had before and has now."""
        row = page.locator(f"{table} tbody tr").filter(has=page.get_by_role("rowheader", name=label, exact=True))
        expect(row).to_have_count(1)
        return row.locator("td").all_inner_texts()

    def check(self, page, scheme, name):
        self.assertEqual(Axe().run(page).response["violations"], [])
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        self.assertEqual(wide, 0)
        if SHOOT:
            page.screenshot(path=f"{SHOOT}/{name}-{scheme}.png", full_page=True)


class LiveLabelTests(LiveTestCase):
    def test_each_change_of_a_chip_ranks_again_and_nothing_is_kept_until_asked(self):
        self.upload("red", "circle")
        page = self.page
        page.get_by_label("Labels of your own").first.fill("a red circle, a blue square")
        expect(page.locator("#live-result tbody tr").first.locator("th")).to_have_text("a red circle")
        self.assertEqual(self.row(page, "a red circle")[0], "–")
        page.get_by_role("button", name="Compare further changes with these").click()
        page.get_by_role("textbox", name="Label 2").fill("something red")
        expect(page.locator("#live-result")).to_contain_text("something red")
        before, now = self.row(page, "a red circle")
        self.assertGreater(float(before.split()[0]), float(now.split()[0]))
        self.assertEqual(self.row(page, "a blue square")[1], "–")
        page.get_by_role("button", name="Add a label").click()
        page.keyboard.type("a yellow star")
        expect(page.locator("#live-result")).to_contain_text("a yellow star")
        page.get_by_role("button", name="Remove a yellow star").click()
        expect(page.locator("#live-result")).not_to_contain_text("a yellow star")
        expect(page.locator("#live-said")).to_contain_text("not kept")
        self.assertEqual(Classification.objects.count(), 1)
        page.get_by_role("button", name="Rank these").click()
        expect(page.locator(".predictions li")).to_have_count(2)
        self.assertEqual(Classification.objects.count(), 2)

    def test_two_sets_are_compared_and_one_starts_with_what_is_shown(self):
        label_set_create(name="Shapes", labels=CAPTIONS, templates=("a photo of {}.",))
        label_set_create(name="Colours", labels=("something red", "something blue"), templates=("{}",))
        self.upload("red", "circle")
        page = self.page
        page.locator("#other-set").select_option("Shapes")
        expect(page.locator("#live-result")).to_contain_text("a red circle")
        page.get_by_role("button", name="Compare further changes with these").click()
        page.locator("#other-set").select_option("Colours")
        expect(page.locator("#live-result")).to_contain_text("something red")
        self.assertEqual(self.row(page, "a red circle")[1], "–")
        self.assertEqual(self.row(page, "something red")[0], "–")
        page.get_by_role("button", name="Start with the labels above").click()
        expect(page.locator("#live-chips li")).to_have_count(5)
        expect(page.locator("#live-chips input").first).to_have_value(
            page.locator(".predictions .label").first.inner_text()
        )

    def test_two_sets_are_compared_without_the_script(self):
        label_set_create(name="Colours", labels=("something red", "something blue"), templates=("{}",))
        self.upload("red", "circle")
        address, cookies = self.page.url, self.page.context.cookies()
        for scheme, viewport in itertools.product(("light", "dark"), (DESKTOP, PHONE)):
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            page.context.add_cookies(cookies)
            query = "first-labels=a red circle, a blue square&second-labels=&second-label_set=Colours"
            page.goto(f"{address}?{query}#compare")
            expect(page.locator(".compared")).to_have_count(2)
            self.check(page, f"{scheme}-{viewport['width']}", "compare")
        plain = self.visitor(java_script_enabled=False)
        plain.context.add_cookies(cookies)
        plain.goto(address)
        plain.get_by_text("Compare two sets").click()
        sides = plain.locator("#compare")
        sides.get_by_role("textbox", name="Labels").first.fill("a red circle, a blue square")
        sides.get_by_role("combobox", name="Label set").last.select_option("Colours")
        plain.get_by_role("button", name="Compare", exact=True).click()
        found = plain.locator(".compared")
        expect(found.first.locator("li")).to_have_count(2)
        expect(found.first.locator("li").first).to_contain_text("a red circle")
        expect(found.last.locator("li").first).to_contain_text("something red")
        self.assertEqual(Classification.objects.count(), 1)

    def test_a_mistake_is_told_beside_the_chips(self):
        self.upload()
        self.page.get_by_label("Labels of your own").first.fill("cat, cat")
        expect(self.page.locator("#live-result .error")).to_have_text("Label 2 (“cat”) repeats label 1.")


class SquareTests(LiveTestCase):
    def sliders(self, page):
        return [int(page.locator(f"#square-{name}").input_value()) for name in ("x", "y", "side")]

    def drag(self, page, start, end):
        """From one point of the picture to another, in parts of its width and height."""
        box = page.locator("#seen .frame svg").first.bounding_box()
        at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
        page.mouse.move(*at[0])
        page.mouse.down()
        page.mouse.move(*at[1], steps=4)
        page.mouse.up()

    def test_it_is_dragged_and_resized_and_ranks_again(self):
        self.upload("red", "circle", size=(900, 600))
        page = self.page
        page.get_by_text("Move the square").click()
        self.assertEqual(self.sliders(page), [150, 0, 600])
        expect(page.locator("#square")).to_contain_text("The picture had 900 × 600 pixels")
        outline = page.locator("#seen .outside").get_attribute("d")
        self.drag(page, (0.5, 0.5), (0.4, 0.5))
        x, y, side = self.sliders(page)
        self.assertAlmostEqual(x, 60, delta=3)
        self.assertEqual((y, side), (0, 600))
        expect(page.locator("#square-result tbody tr").first).to_be_visible()
        self.assertNotEqual(page.locator("#seen .outside").get_attribute("d"), outline)
        self.drag(page, (655 / 900, 0.98), (360 / 900, 0.5))  # its lower right corner
        x, y, side = self.sliders(page)
        self.assertAlmostEqual(side, 300, delta=6)
        self.assertAlmostEqual(x, 60, delta=3)
        page.locator("#square-x").focus()
        page.keyboard.press("ArrowRight")
        self.assertEqual(self.sliders(page)[0], x + 1)
        self.assertEqual(Classification.objects.count(), 1)

    def test_what_was_seen_is_told_and_its_ranking_kept(self):
        self.upload("red", "circle", size=(900, 600))
        page = self.page
        page.get_by_text("Move the square").click()
        expect(page.get_by_role("button", name="Keep this ranking")).not_to_be_visible()
        self.drag(page, (0.5, 0.5), (0.4, 0.5))
        caption = page.locator("#seen figcaption")
        expect(caption).to_contain_text("CLIP saw only this square: 600 × 600 of the picture’s pixels")
        x, y, side = self.sliders(page)
        expect(caption).to_contain_text(f"{x} from the left and {y} from the top")
        page.get_by_role("button", name="Keep this ranking").click()
        expect(page.get_by_text("Rankings of this picture: 2")).to_be_visible()
        self.assertEqual(Classification.objects.first().square, {"x": x, "y": y, "side": side})
        expect(caption).to_contain_text(f"{x} from the left and {y} from the top")
        page.get_by_text("Rankings of this picture: 2").click()
        expect(page.locator(".runs li").first).to_contain_text(f"of a square of {side} pixels at {x}, {y}")
        expect(page.locator(".runs li").last).not_to_contain_text("square")
        self.check(page, "light", "kept")

    def test_labels_that_are_ranked_for_good_are_ranked_in_the_square_that_is_shown(self):
        self.upload("red", "circle", size=(900, 600))
        page = self.page
        page.get_by_text("Move the square").click()
        self.drag(page, (0.5, 0.5), (0.3, 0.5))
        expect(page.locator("#seen figcaption")).to_contain_text("saw only this square")
        where = self.sliders(page)
        page.get_by_label("Labels of your own").first.fill("a red circle, a blue square")
        page.get_by_role("button", name="Rank these").click()
        expect(page.locator(".predictions li")).to_have_count(2)
        self.assertEqual(list(Classification.objects.first().square.values()), where)

    def test_the_heat_map_works_beside_it(self):
        self.upload("red", "circle", size=(900, 600), place="on the left")
        page = self.page
        page.get_by_role("link", name="Why ").first.click()
        expect(page.locator("#seen figcaption")).not_to_contain_text("only the square")
        page.get_by_text("Move the square").click()
        self.drag(page, (0.5, 0.5), (0.3, 0.5))
        expect(page.locator("#square-result tbody tr").first).to_be_visible()
        expect(page.locator(".heat")).to_have_count(0)
        page.get_by_role("link", name="Why ").nth(1).click()
        expect(page.locator("#square")).not_to_have_attribute("open", "")
        page.get_by_text("Move the square").click()
        self.drag(page, (0.5, 0.5), (0.6, 0.5))
        expect(page.locator("#square-result tbody tr").first).to_be_visible()

    def test_a_panorama_offers_its_squares_also_without_the_script(self):
        self.upload("red", "circle", size=(1200, 400))
        address, cookies = self.page.url, self.page.context.cookies()
        self.page.get_by_role("link", name="Right", exact=True).click()
        expect(self.page.locator("#square-result tbody tr").first).to_be_visible()
        self.assertEqual(self.sliders(self.page), [800, 0, 400])
        for scheme, viewport in (("light", DESKTOP), ("dark", PHONE), ("plain", PHONE)):
            plain = self.visitor(
                java_script_enabled=scheme != "plain",
                color_scheme=scheme if scheme != "plain" else "light",
                viewport=viewport,
            )
            plain.context.add_cookies(cookies)
            plain.goto(address)
            if scheme == "light":
                plain.get_by_label("Labels of your own").first.fill("a red circle, a blue square, something red")
                expect(plain.locator("#live-result tbody tr").first).to_be_visible()
            plain.get_by_role("link", name="Left", exact=True).click()
            expect(plain.locator("#square-result tbody tr").first).to_be_visible()
            self.assertEqual(self.sliders(plain), [0, 0, 400])
            if scheme != "plain":  # axe is a script
                self.check(plain, scheme, "live")

    def test_the_sliders_work_without_the_script(self):
        self.upload("red", "circle", size=(900, 600))
        plain = self.visitor(java_script_enabled=False)
        plain.context.add_cookies(self.page.context.cookies())
        plain.goto(self.page.url)
        plain.get_by_text("Move the square").click()
        plain.locator("#square-x").focus()
        plain.keyboard.press("ArrowRight")
        plain.get_by_role("button", name="Rank this square").click()
        self.assertIn("x=151&y=0&side=600", plain.url)
        expect(plain.locator("#square-result tbody tr")).to_have_count(5)
        stranger = self.visitor()
        stranger.goto(plain.url)
        expect(stranger.locator("#square")).to_have_count(0)
