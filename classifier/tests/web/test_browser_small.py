"""Small things that a visitor meets: the next picture within reach, links that are shared, times, the favicon."""

import gzip
import io
import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from django.contrib.staticfiles import finders
from django.test import override_settings
from PIL import Image
from playwright.sync_api import expect

from classifier.models import Classification, Upload
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase
from classifier.tests.web.test_browser_uploads import COFFEE
from classifier.tests.web.test_views import PageTestCase, make_run


class PhoneTests(BrowserTestCase):
    def test_the_next_picture_is_in_reach_on_a_result_and_everywhere(self):
        page = self.visitor(viewport=PHONE)
        self.own(page.context)
        upload = make_run()
        for address, name in ((upload.get_absolute_url(), "Next picture"), (upload.get_absolute_url(), "New picture")):
            page.goto(address)
            link = page.get_by_role("link", name=name)
            if name == "Next picture":
                self.assertLess(link.bounding_box()["y"], 2 * PHONE["height"])
            else:
                self.assertLess(link.bounding_box()["y"], 200)
            with page.expect_file_chooser() as chooser:
                link.click()
            chooser.value.set_files(COFFEE)
            page.wait_for_url(lambda url, address=address: "/uploads/" in url and address not in url)
            expect(page.locator("h1")).to_have_text("espresso")
        page.goto("/history/")
        page.get_by_role("link", name="New picture").click()
        expect(page.locator("#upload-form")).to_be_visible()

    def test_without_a_script_the_links_lead_to_the_form(self):
        page = self.visitor(viewport=PHONE, java_script_enabled=False)
        page.goto(make_run().get_absolute_url())
        page.get_by_role("link", name="Next picture").click()
        expect(page.get_by_role("button", name="Classify", exact=True)).to_be_in_viewport()


class TimeTests(BrowserTestCase):
    def test_times_are_the_readers_with_a_script_and_name_their_zone_without(self):
        upload = make_run(created="2026-03-04T23:30:12.123456Z")
        page = self.visitor(timezone_id="Asia/Tokyo", locale="en-GB")
        page.goto(upload.get_absolute_url())
        expect(page.locator(".facts-list time")).to_have_text("5 Mar 2026, 08:30")
        plain = self.visitor(java_script_enabled=False)
        plain.goto(upload.get_absolute_url())
        expect(plain.locator(".facts-list time")).to_have_text("4 Mar 2026, 23:30 UTC")
        # HTML allows three digits of a second's fraction at most.
        expect(plain.locator(".facts-list time")).to_have_attribute("datetime", "2026-03-04T23:30:12Z")


class ExamplesTests(LabelsBrowserTestCase):
    def test_an_example_shows_what_labels_of_ones_own_do(self):
        for page in (self.page, self.visitor(java_script_enabled=False)):
            page.goto("/")
            card = page.get_by_role("button", name="Happy or sad?")
            expect(card.locator(".words span")).to_have_text(["happy", "sad"])
            card.click()
            page.wait_for_url("**/uploads/**")
            expect(page.locator(".predictions li")).to_have_count(2)
            self.assertEqual(set(page.locator(".predictions .label").all_text_contents()), {"happy", "sad"})
            expect(page.locator(".facts-list")).to_contain_text("a photo of a {} person.")
            self.assertEqual(page.locator("#choose-labels").input_value(), "happy, sad")  # for a photo of one's own
        page.goto("/")
        page.get_by_role("button", name="Which of 1000 things?").click()
        expect(page.locator(".predictions li")).to_have_count(5)
        self.assertEqual(Classification.objects.order_by("-id").first().label_set, "imagenet")

    def test_axe_finds_nothing_on_home_and_nothing_is_wider_than_the_screen(self):
        for scheme, viewport in (("light", DESKTOP), ("dark", {**PHONE, "width": 320})):
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            page.goto("/")
            found = Axe().run(page)
            self.assertEqual(found.violations_count, 0, found.generate_report())
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), viewport["width"])


class SharedLinkTests(PageTestCase):
    def tags(self, address: str) -> dict[str, str]:
        html = self.client.get(address).content.decode()
        return dict(re.findall(r'<meta property="og:(\w+)" content="([^"]*)">', html))

    def test_a_result_shows_its_picture_and_labels(self):
        upload = make_run()
        tags = self.tags(upload.get_absolute_url())
        self.assertEqual(tags["title"], "espresso")
        self.assertEqual(tags["description"], "espresso 90 %, tea cup 5 %, consomme 3 %")
        self.assertEqual(tags["image"], f"http://testserver/uploads/{upload.id}/image")
        self.assertEqual(tags["url"], f"http://testserver{upload.get_absolute_url()}")

    def test_home_shows_the_sites_own_card(self):
        self.assertEqual(self.tags("/")["image"], "http://testserver/static/classifier/card.png")
        self.assertEqual(Image.open(finders.find("classifier/card.png")).size, (1200, 630))

    def test_the_favicon_is_where_browsers_look(self):
        response = self.client.get("/favicon.ico")
        self.assertEqual(response.status_code, 301)
        icon = Image.open(finders.find(response.url.removeprefix("/static/")))
        self.assertEqual(icon.info["sizes"], {(16, 16), (32, 32), (48, 48)})


class WeightTests(PageTestCase):
    def get(self, address: str, client=None):
        return (client or self.client).get(address, headers={"Accept-Encoding": "gzip"})

    def test_pages_without_a_secret_are_compressed(self):
        for address in ("/", "/about/", "/api/v1/docs"):
            with self.subTest(address):
                response = self.get(address, self.stranger())
                self.assertEqual(response.headers.get("Content-Encoding"), "gzip")
                self.assertIn(b"</html>", gzip.GzipFile(fileobj=io.BytesIO(response.content)).read())

    def test_home_with_ones_pictures_is_not(self):
        make_run()  # whoever knows its address sees it
        self.assertNotIn("Content-Encoding", self.get("/").headers)

    def test_the_first_page_with_all_it_loads_is_under_60_kilobytes(self):
        response = self.get("/", self.stranger())
        html = gzip.GzipFile(fileobj=io.BytesIO(response.content)).read().decode()
        files = {Path(finders.find(name)) for name in re.findall(r'(?:src|href)="/static/([^"]+)"', html)}
        self.assertGreaterEqual(len(files), 12)
        self.assertLess(len(response.content) + sum(len(gzip.compress(file.read_bytes())) for file in files), 60_000)


@override_settings(CLIP_MODEL="standin")
class StandInTests(PageTestCase):
    def test_it_is_not_called_clip(self):
        page = self.client.get("/").content.decode()
        self.assertIn("this network makes mistakes", page)
        self.assertNotIn("CLIP makes mistakes", page)
        self.assertNotIn("OpenAI", page)
        self.assertEqual(page.lower().count("stand-in"), 1)

    def test_a_list_does_not_repeat_it_with_each_picture(self):
        make_run(model="stand-in: EfficientNet-Lite0, not CLIP")
        self.assertNotContains(self.client.get("/history/"), "by the stand-in")
        with override_settings(CLIP_MODEL="ViT-B/32"):
            self.assertContains(self.client.get("/history/"), "by the stand-in")


class ResultTests(PageTestCase):
    def test_no_time_is_told_for_what_was_not_read(self):
        upload = make_run()
        self.assertContains(self.client.get(upload.get_absolute_url()), "<dt>Reading</dt>")
        Classification.objects.filter(upload=upload).update(seconds_decode=0)  # ranked from the stored embedding
        self.assertNotContains(self.client.get(upload.get_absolute_url()), "<dt>Reading</dt>")
        self.assertTrue(Upload.objects.exists())

    def test_wordnets_numbers_are_there_on_demand(self):
        html = self.client.get(make_run().get_absolute_url()).content.decode()
        labels = re.search(r'<ol class="predictions".*?</ol>', html, re.S)[0]
        self.assertNotIn("WordNet", labels)
        self.assertRegex(html, r"<details><summary>WordNet's numbers</summary>")
