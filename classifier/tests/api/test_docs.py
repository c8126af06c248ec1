"""The API's documentation in a real browser."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import ApiKey, Upload
from classifier.services.keys import api_key_issue
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.photos import PHOTOS

COFFEE = str(PHOTOS / "coffee.png")
DOCS = "/api/v1/docs"


class DocsTests(BrowserTestCase):
    def form(self, summary: str):
        return self.page.get_by_role("region", name=summary, exact=True).locator("form")

    def try_out(self, summary: str, status: str) -> str:
        form = self.form(summary)
        form.get_by_role("button", name="Try it").click()
        expect(form.locator(".answer")).to_contain_text(status)
        return form.locator(".answer").text_content()

    def test_everything_can_be_tried_out_in_the_visitors_own_session(self):
        self.page.goto(DOCS)
        self.form("Classify and keep a picture").locator("input[type=file]").set_input_files(COFFEE)
        self.assertIn("espresso", self.try_out("Classify and keep a picture", "201 Created"))
        upload = Upload.objects.get()
        self.assertTrue(upload.owner)
        self.assertIn(str(upload.id), self.try_out("List your uploads", "200 OK"))
        for summary in ("Read one upload", "Delete one upload"):
            self.form(summary).get_by_label("upload_id").fill(str(upload.id))
        self.assertIn("espresso", self.try_out("Read one upload", "200 OK"))
        self.try_out("Delete one upload", "204 No Content")
        self.assertFalse(Upload.objects.exists())
        self.form("Classify a picture without keeping it").locator("input[type=file]").set_input_files(COFFEE)
        self.assertIn("espresso", self.try_out("Classify a picture without keeping it", "200 OK"))
        self.assertFalse(Upload.objects.exists())

    def test_a_key_is_sent_where_one_is_given(self):
        api_key = ApiKey(name="robot")
        token = api_key_issue(api_key=api_key)
        mine = Upload.objects.create(api_key=api_key, format="JPEG", width=1, height=1, image=b"")
        self.page.goto(DOCS)
        self.try_out("List your uploads", "401 Unauthorized")
        self.page.get_by_label("Token for trying out").fill(token)
        self.assertIn(str(mine.id), self.try_out("List your uploads", "200 OK"))

    def test_an_error_leads_to_its_row(self):
        self.page.goto(f"{DOCS}#too-large")
        expect(self.page.locator("#too-large")).to_contain_text("The file is too large")

    def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(self):
        for scheme, viewport in (("light", DESKTOP), ("dark", PHONE)):
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            page.goto(DOCS)
            for summary in page.locator("details summary").all():
                summary.click()
            result = Axe().run(page)
            self.assertEqual(result.violations_count, 0, result.generate_report())
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), viewport["width"])

    def test_without_scripts_it_reads_well_and_offers_nothing_that_does_not_work(self):
        page = self.visitor(java_script_enabled=False)
        page.goto(DOCS)
        expect(page.get_by_text("curl -F image=@photo.jpg")).to_be_visible()
        expect(page.get_by_role("button", name="Try it")).to_have_count(0)
        expect(page.get_by_label("Token for trying out")).not_to_be_visible()
