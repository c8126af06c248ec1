"""The first page while a picture is on its way: what becomes of it is in sight, and said in the server's own words."""

from pathlib import Path
from unittest import mock

from django.test import override_settings
from playwright.sync_api import expect

from classifier.errors import RateLimited
from classifier.models import Upload
from classifier.services import engines, uploads
from classifier.tests.browser import PHONE, BrowserTestCase
from classifier.tests.web.test_browser_uploads import BAD, COFFEE

LAPTOP = {"width": 1280, "height": 768}


class InSightTests(BrowserTestCase):
    def keep_in(self, held: list):
        return lambda route: held.append(route)

    def assert_in_sight(self, page) -> None:
        box, height = page.locator("#queue .state").bounding_box(), page.viewport_size["height"]
        self.assertGreaterEqual(box["y"], 0)
        self.assertLessEqual(box["y"] + box["height"], height)

    def test_progress_and_error_of_one_picture_are_in_sight(self):
        for viewport in (LAPTOP, PHONE):
            for scrolled in (0, 400):
                with self.subTest(viewport=viewport, scrolled=scrolled):
                    page, held = self.visitor(viewport=viewport), []
                    page.goto("/")
                    page.evaluate("y => scrollTo(0, y)", scrolled)
                    page.route("**/", self.keep_in(held))
                    page.set_input_files("#image", COFFEE)
                    expect(page.locator("#queue canvas")).to_be_visible()  # the preview has come
                    expect(page.locator("#queue .state")).to_contain_text("Uploading")
                    self.assert_in_sight(page)
                    held[0].fulfill(status=415, content_type="application/json", body='{"detail": "Not a picture."}')
                    expect(page.locator("#queue .state")).to_have_text("Not a picture.")
                    self.assert_in_sight(page)

    def test_below_a_result_too(self):
        page = self.visitor(viewport=PHONE)
        page.goto("/")
        page.set_input_files("#image", COFFEE)
        page.wait_for_url("**/uploads/*/")
        page.set_input_files("#image", BAD)
        expect(page.locator("#queue tr.failed")).to_have_count(1)
        self.assert_in_sight(page)


class ConsoleTests(BrowserTestCase):
    def test_a_newcomers_first_picture_leaves_no_error_in_the_console(self):
        errors = []
        self.page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        self.page.on("response", lambda answer: errors.append(answer.url) if answer.status >= 400 else None)
        self.page.goto("/")
        self.page.set_input_files("#image", COFFEE)
        self.page.wait_for_url("**/uploads/*/")
        expect(self.page.locator("h1")).to_have_text("espresso")
        self.assertEqual(errors, [])


class NoModelTests(BrowserTestCase):
    SENTENCE = "Pictures cannot be classified just now: this server's model is not ready. Please come back later."

    def setUp(self):
        super().setUp()
        nowhere = Path("/nonexistent") / self.id()  # of its own: whether one was looked for is remembered
        self.enterContext(override_settings(CLIP_MODEL="ViT-B/32", CLIP_MODEL_DIR=nowhere))

    def test_it_is_said_from_the_start_and_at_once_when_a_picture_is_sent(self):
        self.page.goto("/")
        expect(self.page.locator(".away")).to_have_text(self.SENTENCE)
        self.page.set_input_files("#image", COFFEE)
        expect(self.page.locator("#queue tr.failed .state")).to_have_text(self.SENTENCE)
        expect(self.page.get_by_role("button", name="Try again with coffee.png")).to_be_visible()
        self.assertNotIn("prepare_model", self.page.content())
        self.assertFalse(Upload.objects.exists())

    def test_it_goes_again_once_there_is_one(self):
        self.page.goto("/")
        self.page.set_input_files("#image", COFFEE)
        expect(self.page.locator("#queue tr.failed")).to_have_count(1)
        with override_settings(CLIP_MODEL="standin", CLIP_THREADS=1):
            self.page.get_by_role("button", name="Try again with coffee.png").click()
            self.page.wait_for_url("**/uploads/*/")
            self.page.goto("/")
            expect(self.page.locator(".away")).to_have_count(0)
        self.assertTrue(engines.model_away())

    def test_without_a_script_the_server_says_the_same(self):
        page = self.visitor(java_script_enabled=False)
        page.goto("/")
        page.set_input_files("#image", COFFEE)
        page.get_by_role("button", name="Classify").click()
        expect(page.get_by_role("alert")).to_have_text(self.SENTENCE)


class RateLimitTests(BrowserTestCase):
    def test_the_limit_counts_down_and_goes_on(self):
        create, calls = uploads.upload_create, []

        def limited_once(**options):
            calls.append(options)
            if len(calls) == 1:
                raise RateLimited("That was a lot of pictures: the limit is 120 per minute. Try again in 3 seconds.", 3)
            return create(**options)

        self.page.goto("/")
        with mock.patch.object(uploads, "upload_create", limited_once):
            self.page.set_input_files("#image", COFFEE)
            state = self.page.locator("#queue .state")
            expect(state).to_have_text("That was a lot of pictures: the limit is 120 per minute. Trying again in 3 s.")
            expect(state).to_have_text("That was a lot of pictures: the limit is 120 per minute. Trying again in 1 s.")
            self.page.wait_for_url("**/uploads/*/")
        self.assertEqual(len(calls), 2)
