"""The API's documentation in a real browser."""

import itertools

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import ApiKey, LabelSet, Upload
from classifier.services.keys import api_key_issue
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.photos import PHOTOS

COFFEE = str(PHOTOS / "coffee.png")
DOCS = "/api/v1/docs"


class TryOut:
    def form(self, summary: str):
        return self.page.get_by_role("region", name=summary, exact=True).locator("form")

    def try_out(self, summary: str, status: str) -> str:
        form = self.form(summary)
        form.get_by_role("button", name="Try it").click()
        expect(form.locator(".answer")).to_contain_text(status)
        return form.locator(".answer").text_content()


class DocsTests(TryOut, BrowserTestCase):
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

    def test_labels_can_be_tried_out_in_every_field_that_takes_them(self):
        self.page.goto(DOCS)
        schema = self.client.get("/api/v1/openapi.json").json()
        fields = schema["paths"]["/api/v1/uploads"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        form = self.form("Classify and keep a picture")
        for name in fields["properties"]:
            expect(form.get_by_label(name, exact=True)).to_be_visible()
        form.get_by_label("image").set_input_files(COFFEE)
        form.get_by_label("label_set").fill("no such set")
        self.assertIn("no such set", self.try_out("Classify and keep a picture", "422"))
        form.get_by_label("label_set").fill("imagenet")
        self.assertIn("espresso", self.try_out("Classify and keep a picture", "201 Created"))
        form.get_by_label("hypothesis_template").fill("no place for a label")
        self.assertIn("prompt template", self.try_out("Classify and keep a picture", "422"))

    def test_json_is_written_from_the_fields(self):
        self.page.goto(DOCS)
        form = self.form("Classify a picture without keeping it")
        form.get_by_label("inputs").set_input_files(COFFEE)
        form.get_by_label("parameters.top_k").fill("3")
        self.assertEqual(self.try_out("Classify a picture without keeping it", "200 OK").count('"label"'), 3)
        form.get_by_label("parameters.function_to_apply").select_option("softmax")
        form.get_by_label("options").fill('{"wait_for_model": true}')
        self.try_out("Classify a picture without keeping it", "200 OK")
        form.get_by_label("parameters.candidate_labels").fill("only one")
        self.assertIn("2", self.try_out("Classify a picture without keeping it", "422"))

    def test_a_label_set_can_be_saved_with_a_key(self):
        self.page.goto(DOCS)
        self.page.get_by_label("Token for trying out").fill(api_key_issue(api_key=ApiKey(name="robot")))
        form = self.form("Save a label set")
        form.get_by_label("name").fill("Pets")
        form.get_by_label("labels").fill("cat\ndog")
        form.get_by_label("templates").fill("a photo of a {}.")
        self.try_out("Save a label set", "201 Created")
        self.assertEqual(LabelSet.objects.get().label_list, ["cat", "dog"])

    def test_the_contents_stay_beside_the_text_and_fold_on_a_phone(self):
        self.page.goto(DOCS)
        contents = self.page.get_by_role("navigation", name="Contents")
        contents.get_by_role("link", name="Find uploads by words").click()
        expect(self.page.get_by_role("heading", name="Find uploads by words")).to_be_in_viewport()
        expect(contents.get_by_role("link", name="Classify and keep a picture")).to_be_in_viewport()
        expect(contents.get_by_role("link")).to_have_count(self.page.locator(".operation").count() + 1)
        phone = self.visitor(viewport=PHONE)
        phone.goto(DOCS)
        expect(phone.get_by_role("link", name="Find uploads by words")).not_to_be_visible()
        phone.get_by_text("Contents", exact=True).click()
        phone.get_by_role("link", name="Find uploads by words").click()
        expect(phone.get_by_role("heading", name="Find uploads by words")).to_be_in_viewport()

    def test_code_can_be_copied(self):
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.goto(DOCS)
        section = self.page.get_by_role("region", name="Find uploads by words", exact=True)
        section.get_by_text("Python", exact=True).click()
        section.get_by_role("button", name="Copy Python").click()
        expect(section.get_by_text("Copied")).to_be_visible()
        copied = self.page.evaluate("navigator.clipboard.readText()")
        self.assertIn(f'requests.get(\n    "{self.live_server_url}/api/v1/search?q=beach",', copied)

    def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(self):
        for scheme, viewport in itertools.product(("light", "dark"), (DESKTOP, PHONE)):
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            page.goto(DOCS)
            page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
            result = Axe().run(page)
            self.assertEqual(result.violations_count, 0, result.generate_report())
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), viewport["width"])

    def test_without_scripts_it_reads_well_and_offers_nothing_that_does_not_work(self):
        page = self.visitor(java_script_enabled=False)
        page.goto(DOCS)
        expect(page.get_by_text("curl -F image=@photo.jpg")).to_be_visible()
        expect(page.get_by_role("button")).to_have_count(0)
        page.get_by_text("JavaScript", exact=True).first.click()
        expect(page.get_by_text("const answer = await fetch").first).to_be_visible()
        expect(page.get_by_label("Token for trying out")).not_to_be_visible()
