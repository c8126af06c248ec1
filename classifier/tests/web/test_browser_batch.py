"""Many pictures at once, in a real browser: one bar, a table to sort, a CSV, and from one result to the next."""

import csv
import io
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Upload
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.photos import PHOTOS
from classifier.tests.web.test_browser_uploads import BAD, CAT, COFFEE
from classifier.tests.web.test_views import make_run

ROCKET = str(PHOTOS / "rocket.jpg")
TEXTURE = str(PHOTOS / "brick.png")  # none of the 1000 fits it


def file(path: str) -> dict:
    return {"name": Path(path).name, "mimeType": "image/png", "buffer": Path(path).read_bytes()}


class BatchTests(BrowserTestCase):
    def send(self, *files, page=None):
        page = page or self.page
        page.goto("/")
        page.set_input_files("#image", list(files))
        expect(page.locator("#batch-title")).to_contain_text(f"of {len(files)} done")

    def names(self):
        return self.page.locator("#queue .name").all_text_contents()

    def test_one_bar_tells_how_many_are_done(self):
        self.send(file(COFFEE), file(CAT), BAD)
        expect(self.page.locator("#batch-title")).to_have_text("2 of 3 done, 1 not")
        bar = self.page.locator("#batch-bar")
        expect(bar).to_have_js_property("max", 3)
        expect(bar).to_have_js_property("value", 3)

    def test_fifteen_are_all_taken_three_at_a_time(self):
        page, held = self.page, []
        page.goto("/")
        page.route("**/", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
        page.set_input_files("#image", [file(COFFEE)] * 15)
        expect(page.locator("#queue tr")).to_have_count(15)
        expect(page.locator("#queue .state", has_text="Uploading")).to_have_count(3)
        page.wait_for_timeout(300)
        self.assertEqual(len(held), 3)
        for number in range(15):
            while len(held) <= number:
                page.wait_for_timeout(20)
            held[number].continue_()
        expect(page.locator("#batch-title")).to_have_text("15 of 15 done")
        self.assertEqual(Upload.objects.count(), 15)

    def test_each_shows_its_picture_three_bars_and_whether_it_fits(self):
        self.send(COFFEE, TEXTURE)
        rows = self.page.locator("#queue tr")
        expect(rows.nth(0).locator(".bars li")).to_have_count(3)
        expect(rows.nth(0).locator(".bars li").first).to_contain_text("espresso")
        expect(rows.nth(0).locator(".score")).to_have_text("95 %")
        expect(rows.nth(0).locator(".fit")).to_have_text("fits")
        expect(rows.nth(0).locator("canvas")).to_be_visible()
        wide, narrow = (rows.nth(0).locator("rect").nth(n).bounding_box()["width"] for n in (0, 1))
        self.assertGreater(wide, 5 * narrow)
        expect(rows.nth(1).locator(".fit")).to_have_text("no")
        expect(rows.nth(1)).to_contain_text("None of the labels fits well")

    def test_it_is_sorted_by_its_columns(self):
        self.send(file(ROCKET), file(COFFEE), BAD, file(CAT))
        expect(self.page.locator("#batch-title")).to_have_text("3 of 4 done, 1 not")
        self.page.get_by_role("button", name="Picture", exact=True).click()
        self.assertEqual(self.names(), ["bad.jpg", "chelsea.png", "coffee.png", "rocket.jpg"])
        expect(self.page.get_by_role("columnheader", name="Picture")).to_have_attribute("aria-sort", "ascending")
        self.page.get_by_role("button", name="Picture", exact=True).click()
        self.assertEqual(self.names(), ["rocket.jpg", "coffee.png", "chelsea.png", "bad.jpg"])
        self.page.get_by_role("button", name="Score").click()
        scores = [int(text.split()[0]) for text in self.page.locator("#queue .score").all_text_contents() if text]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(self.names()[-1], "bad.jpg")  # it has none
        self.page.get_by_role("button", name="Looks most like").click()
        labels = self.page.locator("#queue .bars li:first-child .line > :first-child").all_text_contents()
        self.assertEqual(labels, sorted(labels, key=str.lower))

    def test_the_table_can_be_had_as_csv(self):
        self.send(COFFEE, CAT)
        expect(self.page.locator("#batch-title")).to_have_text("2 of 2 done")
        other = make_run(Upload.objects.first().owner)  # of another day
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name="Download CSV").click()
        rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))
        self.assertEqual({row["file"] for row in rows}, {"coffee.png", "chelsea.png"})
        self.assertNotIn(str(other.id), {row["id"] for row in rows})
        self.assertEqual({row["fits"] for row in rows}, {"yes"})

    def test_rows_open_arrow_keys_go_on_and_back_brings_the_list(self):
        self.send(ROCKET, COFFEE, CAT)
        expect(self.page.locator("#batch-title")).to_have_text("3 of 3 done")
        self.page.get_by_role("button", name="Picture", exact=True).click()
        order = self.names()
        self.page.get_by_role("link", name=f"See result for {order[0]}").click()
        self.expect_place(1, order)
        self.page.keyboard.press("ArrowRight")
        self.expect_place(2, order)
        self.page.keyboard.press("ArrowRight")
        self.expect_place(3, order)
        expect(self.page.get_by_role("link", name="Next", exact=True)).to_have_count(0)
        self.page.keyboard.press("ArrowLeft")
        self.expect_place(2, order)
        self.page.locator("#neighbours .place").click()
        expect(self.page.locator("#queue tr")).to_have_count(3)
        self.assertEqual(self.names(), order)
        expect(self.page.locator("#queue .bars").first).to_be_visible()
        picture = self.page.locator("#queue img").first
        self.assertTrue(picture.evaluate("img => img.decode().then(() => img.naturalWidth > 0)"))

    def expect_place(self, place: int, order: list[str]) -> None:
        """The page shows this file, and its script listens."""
        self.expect_file(order[place - 1])
        expect(self.page.locator("#neighbours .place")).to_have_text(f"{place} of {len(order)}")

    def expect_file(self, name: str) -> None:
        expect(self.page.locator(".facts-list")).to_contain_text(name)

    def test_arrow_keys_in_a_field_move_the_cursor(self):
        self.send(ROCKET, COFFEE)
        expect(self.page.locator("#batch-title")).to_have_text("2 of 2 done")
        self.page.get_by_role("link", name="See result for rocket.jpg").click()
        self.expect_file("rocket.jpg")
        self.page.get_by_label("Link to share").press("ArrowRight")
        self.page.wait_for_timeout(300)
        self.expect_file("rocket.jpg")

    def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(self):
        for scheme, viewport in (("light", DESKTOP), ("dark", {**PHONE, "width": 320})):
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            self.send(file(COFFEE), file(TEXTURE), BAD, page=page)
            expect(page.locator("#batch-title")).to_have_text("2 of 3 done, 1 not")
            found = Axe().run(page)
            self.assertEqual(found.violations_count, 0, found.generate_report())
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), viewport["width"])


class NeighboursTests(BrowserTestCase):
    def test_without_a_batch_it_is_the_order_of_the_history(self):
        page = self.page
        for path in (ROCKET, COFFEE):
            page.goto("/")
            page.set_input_files("#image", path)
            page.wait_for_url("**/uploads/*/")
        page.get_by_role("link", name="Older").click()
        expect(page.locator(".facts-list")).to_contain_text("rocket.jpg")
        page.keyboard.press("ArrowLeft")
        expect(page.locator(".facts-list")).to_contain_text("coffee.png")
        expect(page.get_by_role("link", name="Newer")).to_have_count(0)
        stranger = self.visitor()
        stranger.goto(page.url)
        expect(stranger.locator("#neighbours")).to_have_count(0)
