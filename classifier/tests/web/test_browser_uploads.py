"""What visitors do, in a real browser, with real photos and the stand-in."""

import base64
import hashlib
import io
from pathlib import Path
from unittest import mock

import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from classifier.errors import Busy
from classifier.models import Feedback, Upload
from classifier.services import uploads
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.web.test_views import LABELS, PHOTOS, end_run, make_run
from classifier.web.history import PAGE_SIZE

COFFEE, CAT = str(PHOTOS / "coffee.png"), str(PHOTOS / "chelsea.png")
BAD = {"name": "bad.jpg", "mimeType": "image/jpeg", "buffer": b"this is not a picture"}


def transfer(page: Page, *paths: str):
    """A DataTransfer in the page that holds files, as a drop or a paste brings them."""
    files = [[Path(path).name, base64.b64encode(Path(path).read_bytes()).decode()] for path in paths]
    script = """files => {
        const transfer = new DataTransfer();
        for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: "image/png" }));
        }
        return transfer;
    }"""
    return page.evaluate_handle(script, files)


def large_photo() -> bytes:
    """A noisy JPEG as a phone held upright writes it: lying, 3000 x 2000, to be turned right."""
    pixels = np.random.default_rng(0).integers(0, 90, (2000, 3000, 3), np.uint8)
    pixels[:, :1500, 0] += 160  # red on the left half, which the quarter turn brings to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90, exif=exif)
    return stream.getvalue()


class UploadTests(BrowserTestCase):
    """Ways in."""

    def expect_result(self, page: Page, label: str = "espresso") -> None:
        page.wait_for_url("**/uploads/*/")
        expect(page.locator("h1")).to_have_text(label)
        expect(page.locator(".predictions li")).to_have_count(5)

    def test_a_photo_from_choosing_to_deleting(self):
        page = self.page
        page.goto("/")
        page.set_input_files("#image", COFFEE)
        self.expect_result(page)
        page.get_by_role("link", name="History").click()
        page.get_by_role("link", name="espresso").click()
        page.get_by_role("link", name="Delete").click()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("The picture is deleted.")).to_be_visible()
        self.assertFalse(Upload.objects.exists())

    def test_dropping_anywhere(self):
        self.page.goto("/")
        files = transfer(self.page, COFFEE)
        self.page.dispatch_event("footer", "dragover", {"dataTransfer": files})
        expect(self.page.locator("html.dragging")).to_have_count(1)
        self.page.dispatch_event("footer", "drop", {"dataTransfer": files})
        self.expect_result(self.page)

    def test_pasting(self):
        self.page.goto("/")
        self.page.evaluate(
            "files => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: files, bubbles: true}))",
            transfer(self.page, COFFEE),
        )
        self.expect_result(self.page)

    def test_dropping_the_next_picture_on_a_result(self):
        self.page.goto("/")
        self.page.set_input_files("#image", COFFEE)
        self.expect_result(self.page)
        self.page.dispatch_event("h1", "drop", {"dataTransfer": transfer(self.page, str(PHOTOS / "camera.png"))})
        expect(self.page.locator("h1")).to_have_text("tripod")

    def test_several_at_once_of_which_one_is_bad(self):
        page = self.page
        page.goto("/")
        files = [
            {"name": Path(path).name, "mimeType": "image/png", "buffer": Path(path).read_bytes()}
            for path in (COFFEE, CAT)
        ]
        page.set_input_files("#image", [files[0], BAD, files[1]])
        items = page.locator("#queue li")
        expect(items).to_have_count(3)
        expect(items.nth(0)).to_contain_text("espresso, 95 %")
        expect(items.nth(1)).to_contain_text("not a picture we can read")
        expect(items.nth(2)).to_contain_text("cat")
        expect(items.nth(1).get_by_role("button")).to_be_hidden()  # it would fail again
        page.goto("/history/")
        expect(page.locator(".card")).to_have_count(2)  # one visitor sent both, although no cookie was there at first

    def test_one_that_is_stuck_holds_up_no_other(self):
        """By a newcomer: what was sent side by side is found again in one history."""
        page, held = self.page, []
        page.goto("/")
        page.route("**/", lambda route: held.append(route) if self.first_picture(route, held) else route.continue_())
        page.set_input_files("#image", [COFFEE, CAT])
        expect(page.locator("#queue li").nth(1)).to_contain_text("cat")
        expect(page.locator("#queue li").nth(0)).to_contain_text("Uploading")
        held[0].continue_()
        expect(page.locator("#queue li").nth(0)).to_contain_text("espresso")
        page.goto("/history/")
        expect(page.locator(".card")).to_have_count(2)

    def first_picture(self, route, held: list) -> bool:
        return not held and "multipart" in route.request.headers.get("content-type", "")

    def test_what_is_on_its_way_is_shown(self):
        page, held = self.page, []
        page.goto("/")
        page.route("**/", lambda route: held.append(route) if self.first_picture(route, held) else route.continue_())
        coffee = {"name": "coffee.png", "mimeType": "image/png", "buffer": Path(COFFEE).read_bytes()}
        page.set_input_files("#image", [coffee, BAD])
        preview = page.locator("#queue li").nth(0).locator("canvas")
        expect(preview).to_be_visible()
        shown = preview.evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data]"
        )
        with Image.open(COFFEE) as photo:
            middle = photo.convert("RGB").getpixel((photo.width // 2, photo.height // 2))
        self.assertLess(max(abs(a - b) for a, b in zip(shown, (*middle, 255), strict=True)), 12)
        expect(page.locator("#queue li").nth(1).locator("canvas")).to_be_hidden()
        held[0].continue_()
        expect(page.locator("#queue li").nth(0)).to_contain_text("espresso")

    def test_a_preview_fits_a_phone(self):
        page, held = self.visitor(viewport=PHONE), []
        page.goto("/")
        page.route("**/", lambda route: held.append(route) if self.first_picture(route, held) else route.continue_())
        page.set_input_files("#image", COFFEE)
        preview = page.locator("#queue canvas")
        expect(preview).to_be_visible()
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 390)
        shown = preview.bounding_box()
        self.assertLess(shown["width"], 390)
        self.assertAlmostEqual(shown["width"] / shown["height"], 600 / 400, delta=0.02)
        while not held:  # on a busy machine the preview is there before the picture leaves
            page.wait_for_timeout(20)
        held[0].continue_()
        page.wait_for_url("**/uploads/*/")

    def test_more_than_twelve(self):
        self.page.goto("/")
        self.page.set_input_files("#image", [BAD] * 14)
        expect(self.page.get_by_text("Only 12 pictures go at a time; 2 were left out.")).to_be_visible()
        expect(self.page.locator("#queue li.failed")).to_have_count(12)

    def test_a_file_over_the_limit_is_not_sent(self):
        with self.settings(MAX_UPLOAD_MB=0.001):
            self.page.goto("/")
        self.page.set_input_files("#image", {**BAD, "buffer": bytes(2_000)})
        expect(self.page.locator(".state")).to_contain_text("the limit is 0.001 MB.")

    def test_a_large_photo_is_scaled_and_stays_upright(self):
        photo = large_photo()
        self.page.goto("/")
        with self.page.expect_request(lambda request: "multipart" in request.headers.get("content-type", "")) as sent:
            self.page.set_input_files("#image", {"name": "p.jpg", "mimeType": "image/jpeg", "buffer": photo})
        self.page.wait_for_url("**/uploads/*/")
        upload = Upload.objects.get()
        self.assertEqual((upload.width, upload.height), (896, 1344))
        self.assertLess(int(sent.value.all_headers()["content-length"]), len(photo) / 2)
        kept = np.asarray(Image.open(io.BytesIO(bytes(upload.image)))).astype(float)
        top, bottom = kept[: len(kept) // 3].mean((0, 1)), kept[-len(kept) // 3 :].mean((0, 1))
        self.assertGreater(top[0], bottom[0] + 120)
        self.assertAlmostEqual(top[2], bottom[2], delta=5)

    def test_a_small_picture_is_sent_as_it_is(self):
        self.page.goto("/")
        self.page.set_input_files("#image", COFFEE)
        self.expect_result(self.page)
        self.assertEqual(Upload.objects.get().sha256, hashlib.sha256(Path(COFFEE).read_bytes()).hexdigest())

    def test_a_busy_server_is_asked_again(self):
        create, calls = uploads.upload_create, []

        def busy_once(**options):
            calls.append(options)
            if len(calls) == 1:
                raise Busy("Too many pictures are waiting.", 1)
            return create(**options)

        self.page.goto("/")
        with mock.patch.object(uploads, "upload_create", busy_once):
            self.page.set_input_files("#image", COFFEE)
            expect(self.page.locator(".state", has_text="The server is busy; waiting for a free place")).to_be_visible()
            self.expect_result(self.page)

    def test_a_lost_connection_can_be_tried_again(self):
        self.page.goto("/")
        self.page.route("**/*", lambda route: route.abort())
        self.page.set_input_files("#image", COFFEE)
        expect(self.page.locator(".state")).to_contain_text("The server could not be reached.")
        self.page.unroute("**/*")
        self.page.get_by_role("button", name="Try again with coffee.png").click()
        self.expect_result(self.page)

    def test_the_keyboard_is_enough(self):
        page = self.page
        page.on("filechooser", lambda chooser: chooser.set_files(COFFEE))
        page.goto("/")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.locator("#image")).to_be_focused()
        self.assertNotEqual(page.locator("label[for=image]").evaluate("e => getComputedStyle(e).outlineStyle"), "none")
        page.keyboard.press("Enter")
        self.expect_result(page)
        self.tab_to(page, "Delete")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Delete this picture?")
        self.tab_to(page, "Delete")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The picture is deleted.")).to_be_visible()
        self.assertFalse(Upload.objects.exists())

    def tab_to(self, page: Page, name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent.trim()") == name:
                return
        self.fail(f"Tab does not reach {name}")


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
        page.get_by_role("button", name="coffee mug").click()
        expect(page.get_by_text("Noted: this is coffee mug.")).to_be_visible()
        page.goto("/history/")
        page.get_by_label("Select espresso").check()
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
        self.page.get_by_label("Another of the 1000 labels").fill("teapot")
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
        self.page.get_by_label("Top label").select_option("teapot")
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
        expect(page.locator("#queue li.failed")).to_have_count(2)
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
