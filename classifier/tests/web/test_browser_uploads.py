"""Sending pictures, in a real browser: chosen, dropped, pasted, many at once, too large, while the server is busy."""

import base64
import hashlib
import io
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from classifier.errors import Busy
from classifier.models import Upload
from classifier.services import uploads
from classifier.tests.browser import PHONE, BrowserTestCase
from classifier.tests.photos import PHOTOS

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
        items = page.locator("#queue tr")
        expect(items).to_have_count(3)
        expect(items.nth(0)).to_contain_text("espresso95 %")
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
        expect(page.locator("#queue tr").nth(1)).to_contain_text("cat")
        expect(page.locator("#queue tr").nth(0)).to_contain_text("Uploading")
        held[0].continue_()
        expect(page.locator("#queue tr").nth(0)).to_contain_text("espresso")
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
        preview = page.locator("#queue tr").nth(0).locator("canvas")
        expect(preview).to_be_visible()
        shown = preview.evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data]"
        )
        with Image.open(COFFEE) as photo:
            middle = photo.convert("RGB").getpixel((photo.width // 2, photo.height // 2))
        self.assertLess(max(abs(a - b) for a, b in zip(shown, (*middle, 255), strict=True)), 12)
        expect(page.locator("#queue tr").nth(1).locator("canvas")).to_be_hidden()
        held[0].continue_()
        expect(page.locator("#queue tr").nth(0)).to_contain_text("espresso")

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

    def test_however_many_none_is_left_out(self):
        self.page.goto("/")
        self.page.set_input_files("#image", [BAD] * 14)
        expect(self.page.locator("#queue tr.failed")).to_have_count(14)

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
            expect(
                self.page.locator(".state", has_text="Too many pictures are waiting. Trying again in 1 s.")
            ).to_be_visible()
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
