"""The admin in a real browser: works under the content security policy, readable in both schemes and on a phone."""

from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from classifier.models import Upload
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.synthetic import fill

LIST = "/admin/classifier/upload/"


class AdminBrowserTests(BrowserTestCase):
    """The base class fails a test on anything that the policy stops."""

    def setUp(self):
        super().setUp()
        User.objects.create_superuser("staff", password="correct horse")
        fill(60, days=20)

    def log_in(self, page):
        page.goto("/admin/")
        page.get_by_label("Username").fill("staff")
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/admin/")

    def test_pages_have_no_barriers_in_either_scheme_nor_on_a_phone(self):
        upload = Upload.objects.first()
        pages = [
            "/admin/",
            LIST,
            f"{LIST}?q=cat",
            reverse("admin:classifier_upload_change", args=[upload.pk]),
            reverse("admin:classifier_upload_summary"),
            reverse("admin:classifier_labelset_add"),
        ]
        for scheme, viewport in [("light", DESKTOP), ("dark", PHONE)]:
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            page.goto("/admin/login/")
            self.check(page)
            self.log_in(page)
            for address in pages:
                with self.subTest(address, scheme=scheme, width=viewport["width"]):
                    page.goto(address)
                    self.check(page)
                    width = page.evaluate("document.documentElement.scrollWidth")
                    self.assertLessEqual(width, viewport["width"])

    def check(self, page):
        self.assertEqual(self.complaints, [])
        found = Axe().run(page).response["violations"]
        self.complaints.clear()  # axe tries styles of its own, which the policy stops
        self.assertEqual([(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found], [])

    def test_a_thumbnail_opens_the_result(self):
        self.log_in(self.page)
        self.page.goto(LIST)
        upload = Upload.objects.first()
        self.page.locator(".thumbnail").first.click()
        self.page.wait_for_url(f"**/uploads/{upload.pk}/")

    def test_search_filter_export_and_delete(self):
        self.log_in(self.page)
        page = self.page
        page.goto(LIST)
        page.get_by_label("Search").fill("cat")
        page.get_by_role("button", name="Search").click()
        cats = Upload.objects.filter(top_label__endswith="cat").count()
        expect(page.locator("#result_list tbody tr")).to_have_count(cats)
        page.get_by_label("Select all objects on this page for an action").check()
        page.locator("[name=action]").select_option("export_csv")
        with page.expect_download() as download:
            page.get_by_role("button", name="Go").click()
        self.assertEqual(len(download.value.path().read_text().splitlines()), 1 + cats)
        page.locator("[name=action]").select_option("delete_selected")
        page.get_by_role("button", name="Go").click()
        page.get_by_role("button", name="Yes, I’m sure").click()
        page.wait_for_url(f"**{LIST}**")
        self.assertFalse(Upload.objects.filter(top_label__endswith="cat").exists())
