"""Every page in a real browser: results, history, without a script, on a phone, in the dark."""

from unittest import mock

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Feedback
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.web.test_browser_uploads import BAD, COFFEE
from classifier.tests.web.test_views import LABELS, end_run, make_run
from classifier.web.history import PAGE_SIZE


class WithoutScriptTests(BrowserTestCase):
    def setUp(self):
        super().setUp()
        self.page = self.visitor(java_script_enabled=False)

    def test_classify_correct_share_and_delete(self):
        page = self.page
        page.goto("/")
        page.locator("#image").set_input_files(COFFEE)
        page.get_by_role("button", name="Classify").click()
        expect(page.locator("h1")).to_have_text("espresso")
        expect(page.get_by_label("Link to share")).to_have_value(page.url)
        page.get_by_role("button", name="No", exact=True).click()
        expect(page.get_by_text("Noted: this is not espresso.")).to_be_visible()
        page.get_by_role("button", name="coffee mug").click()
        expect(page.get_by_text("Noted: this is coffee mug.")).to_be_visible()
        page.goto("/history/")
        page.get_by_label("Select coffee mug").check()
        page.get_by_role("button", name="Delete selected").click()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("The picture is deleted.")).to_be_visible()

    def test_an_error_stands_at_the_field(self):
        self.page.goto("/")
        self.page.locator("#image").set_input_files(BAD)
        self.page.get_by_role("button", name="Classify").click()
        expect(self.page.get_by_role("alert")).to_contain_text("not a picture we can read")
        expect(self.page.locator("#image")).to_have_attribute("aria-invalid", "true")


class ResultTests(BrowserTestCase):
    def setUp(self):
        super().setUp()
        self.own(self.page.context)
        self.upload = make_run()
        self.page.goto(self.upload.get_absolute_url())

    def test_the_right_label_can_be_told(self):
        self.page.get_by_role("button", name="No", exact=True).click()
        self.page.get_by_label("Which of the 1000 labels is it?").fill("teapot")
        self.page.get_by_role("button", name="Save").click()
        expect(self.page.get_by_text("Noted: this is teapot.")).to_be_visible()
        self.assertEqual(Feedback.objects.get().label, "teapot")

    def test_the_answer_can_be_copied(self):
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.get_by_role("button", name="Copy as JSON").click()
        expect(self.page.get_by_text("JSON copied.")).to_be_visible()
        record = self.page.evaluate("navigator.clipboard.readText().then(JSON.parse)")
        self.assertEqual(record["predictions"][0]["label"], "espresso")

    def test_the_answer_can_be_downloaded(self):
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name="Download JSON").click()
        self.assertEqual(download.value.suggested_filename, f"{self.upload.id}.json")

    def test_the_crop_lies_over_the_picture(self):
        """Of a picture 600 wide and 400 high CLIP reads the middle 400."""
        picture = self.page.locator(".frame img").bounding_box()
        box = self.page.locator(".frame .mark").bounding_box()
        self.assertAlmostEqual(box["x"] - picture["x"], picture["width"] / 6, delta=12)
        self.assertAlmostEqual(box["width"], picture["width"] * 2 / 3, delta=24)


class HistoryTests(BrowserTestCase):
    def setUp(self):
        super().setUp()
        self.own(self.page.context)

    def expect_labels(self, *labels: str) -> None:
        expect(self.page.locator(".card .label")).to_have_text(labels)

    def test_paging_stays_right_while_pictures_arrive(self):
        for number in range(PAGE_SIZE + 2):
            make_run(labels=(f"thing {number}", *LABELS[1:]))
        first = [f"thing {number}" for number in range(PAGE_SIZE + 1, 1, -1)]
        self.page.goto("/history/")
        self.expect_labels(*first)
        make_run(labels=("newcomer", *LABELS[1:]))
        self.page.get_by_role("link", name="Older").click()
        self.expect_labels("thing 1", "thing 0")
        self.page.get_by_role("link", name="Newer").click()
        self.expect_labels(*first)
        self.page.get_by_role("link", name="Newer").click()
        self.expect_labels("newcomer", *first[:-1])
        expect(self.page.get_by_role("link", name="Newer")).to_have_count(0)

    def test_filtering_selecting_and_deleting(self):
        for label in ("espresso", "teapot", "teapot"):
            make_run(labels=(label, *LABELS[1:]))
        self.page.goto("/history/")
        expect(self.page.get_by_role("button", name="Delete selected")).to_be_disabled()
        self.page.get_by_label("Label or file name").fill("teapot")
        self.page.get_by_role("button", name="Filter").click()
        self.expect_labels("teapot", "teapot")
        self.page.get_by_role("button", name="Select all on this page").click()
        expect(self.page.get_by_text("2 selected")).to_be_visible()
        self.page.get_by_role("button", name="Delete selected").click()
        self.page.get_by_role("button", name="Delete").click()
        expect(self.page.get_by_text("2 pictures are deleted.")).to_be_visible()
        self.expect_labels("espresso")


class AppearanceTests(BrowserTestCase):
    """Every page in both colour schemes: axe-core finds nothing, and nothing is wider than the screen."""

    def addresses(self) -> list[str]:
        done, doubtful, failed, running = (
            make_run(name="a very long name of a picture that never ends.jpg").get_absolute_url(),
            make_run(scores=(0.1, 0.05, 0.03, 0.01, 0.01), cosine=0.19).get_absolute_url(),
            make_run(),
            make_run(width=300, height=3000),
        )
        end_run(failed, status="failed", reason="RuntimeError: " + "x" * 200)
        end_run(running, status="running")
        states = [failed.get_absolute_url(), running.get_absolute_url()]
        others = [f"{done}delete", "/history/", "/about/", "/no-such-page"]
        return ["/", done, doubtful, *states, *others]

    def visit(self, **options):
        """Every page, as an owner of pictures and, for the result, as anybody."""
        patch = mock.patch(
            "classifier.web.views.RELOAD_SECONDS", 600
        )  # or the page that waits is gone while it is read
        patch.start()
        self.addCleanup(patch.stop)
        page = self.visitor(**options)
        self.own(page.context)
        for address in self.addresses():
            page.goto(address)
            yield address, page
        page.goto("/")
        page.set_input_files("#image", [BAD, BAD])
        expect(page.locator("#queue tr.failed")).to_have_count(2)
        yield "queue", page
        page.context.clear_cookies()
        page.goto("/history/")
        yield "empty history", page

    def assert_no_violations(self, **options):
        for address, page in self.visit(**options):
            with self.subTest(address, **options):
                result = Axe().run(page)
                self.assertEqual(result.violations_count, 0, result.generate_report())
                width = options["viewport"]["width"]
                self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)

    def test_a_light_desktop(self):
        self.assert_no_violations(color_scheme="light", viewport=DESKTOP)

    def test_a_dark_phone(self):
        self.assert_no_violations(color_scheme="dark", viewport={**PHONE, "width": 320}, is_mobile=True, has_touch=True)

    def test_dark_is_dark(self):
        for scheme, dark in (("light", False), ("dark", True)):
            page = self.visitor(color_scheme=scheme)
            page.goto("/")
            colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            self.assertEqual(sum(map(int, colour[4:-1].split(","))) < 200, dark)

    def test_nothing_moves_for_whoever_asks(self):
        page = self.visitor(reduced_motion="reduce")
        page.goto("/")
        page.evaluate("document.body.append(document.createElement('progress'))")
        self.assertEqual(page.locator("body > progress").evaluate("e => getComputedStyle(e).animationName"), "none")


class PhoneTests(BrowserTestCase):
    # What chromium takes a phone's screen for: a coarse pointer that cannot hover.
    arguments = (
        "--blink-settings=primaryPointerType=2,availablePointerTypes=2,primaryHoverType=1,availableHoverTypes=1",
    )

    def test_a_phone_offers_its_camera(self):
        page = self.visitor(viewport=PHONE)
        page.goto("/")
        expect(page.get_by_text("Take a photo")).to_be_visible()
        camera = page.locator("#camera")
        expect(camera).to_have_attribute("capture", "environment")
        camera.set_input_files(COFFEE)
        page.wait_for_url("**/uploads/*/")
        expect(page.locator("h1")).to_have_text("espresso")
