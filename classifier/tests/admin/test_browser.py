"""The admin in a real browser: works under the content security policy, readable in both schemes and on a phone."""

from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from classifier.models import Upload
from classifier.services import uploads
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.synthetic import fill, upload_done
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase

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
            f"{LIST}?sheet=1&owner__exact={upload.owner}",
            reverse("admin:classifier_upload_words"),
            reverse("admin:classifier_upload_visitor", args=[upload.pk]),
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

    def test_a_label_of_the_summary_filters_in_sight_and_failed_leads_on(self):
        self.log_in(self.page)
        page = self.page
        upload = Upload.objects.exclude(top_label="").first()
        uploads.feedback_create(upload=upload, label="kite flyer")
        page.goto("/admin/classifier/upload/summary/")
        said = page.get_by_role("region", name="Most confused")
        expect(said).to_contain_text(upload.top_label)
        said.get_by_role("link", name="kite flyer").click()
        expect(page.locator(".only")).to_contain_text(f"Only label {upload.top_label}")
        expect(page.locator("#result_list tbody tr")).to_have_count(1)
        page.get_by_role("link", name="show all whatever their right label").click()
        page.get_by_role("link", name="show all whatever their label").click()
        expect(page.locator(".only")).to_have_count(0)
        page.goto("/admin/classifier/upload/summary/")
        page.locator(".tiles").get_by_role("link").click()
        page.wait_for_url("**status__exact=failed")

    def test_all_of_one_visitor_are_seen_as_a_sheet_and_deleted(self):
        self.log_in(self.page)
        page = self.page
        for number in range(3):
            upload_done("teapot", 0.95, owner="one-visitor", name=f"{number}.jpg")
        page.goto(LIST)
        page.locator(".field-visitor a").first.click()
        page.get_by_role("link", name="Contact sheet").click()
        expect(page.locator(".sheet li")).to_have_count(3)
        page.get_by_role("link", name="Delete all of this visitor").click()
        expect(page.locator(".sheet img")).to_have_count(3)
        page.get_by_role("button", name="Yes, I’m sure").click()
        expect(page.get_by_text("Deleted: 3, all of one visitor.")).to_be_visible()
        self.assertFalse(Upload.objects.filter(owner="one-visitor").exists())
        self.assertEqual(Upload.objects.count(), 60)

    def test_a_confirmation_shows_the_pictures_and_the_sheet_can_be_ticked(self):
        self.log_in(self.page)
        page = self.page
        page.goto(f"{LIST}?sheet=1")
        for box in page.locator(".sheet input").all()[:2]:
            box.check()
        page.locator("[name=action]").select_option("delete_selected")
        page.get_by_role("button", name="Go").click()
        expect(page.locator("img.thumbnail")).to_have_count(2)
        page.get_by_role("button", name="Yes, I’m sure").click()
        page.wait_for_url(f"**{LIST}**")
        self.assertEqual(Upload.objects.count(), 58)

    def test_the_site_shows_staff_and_nobody_else_the_way_in(self):
        self.page.goto("/history/")
        expect(self.page.get_by_role("link", name="Admin")).to_have_count(0)
        self.log_in(self.page)
        self.page.goto(Upload.objects.first().get_absolute_url())
        self.page.get_by_role("link", name="In the admin").click()
        self.page.wait_for_url("**/admin/classifier/upload/**")
        self.page.goto("/history/")
        self.page.get_by_role("link", name="Admin", exact=True).click()
        self.page.wait_for_url("**/admin/")


class WordsTests(LabelsBrowserTestCase):
    def test_words_find_everybodys_pictures(self):
        self.upload("red", "circle")
        self.upload("blue", "square")
        User.objects.create_superuser("staff", password="correct horse")
        AdminBrowserTests.log_in(self, self.page)
        self.page.goto(LIST)
        self.page.get_by_role("link", name="Search pictures by words").click()
        self.page.get_by_label("What the pictures show").fill("a blue square")
        self.page.get_by_role("button", name="Search").click()
        expect(self.page.locator(".sheet li")).to_have_count(2)
        expect(self.page.locator(".sheet li").first).to_contain_text("cosine")
        self.page.locator(".sheet input").first.check()
        self.page.get_by_label("Action").select_option("delete_selected")
        self.page.get_by_role("button", name="Go").click()
        expect(self.page.locator("img.thumbnail")).to_have_count(1)
