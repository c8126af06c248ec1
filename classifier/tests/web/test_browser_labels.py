"""Labels of one's own, label sets and search, as somebody at a browser uses them, with a real tiny CLIP."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from classifier.models import Classification, LabelHead, Upload
from classifier.services.label_sets import label_set_create
from classifier.tests.browser import DESKTOP, PHONE, BrowserTestCase
from classifier.tests.tiny_server import tiny_server
from classifier.tests.web.test_any_labels import CAPTIONS, SHAPES, drawn

LABELS = ", ".join(CAPTIONS)


class LabelsBrowserTestCase(BrowserTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(tiny_server())

    def file(self, colour="red", shape="circle", **how):
        picture = drawn(colour, shape, **how)
        return {"name": picture.name, "mimeType": "image/png", "buffer": picture.read()}

    def upload(self, *pair, page=None, **how):
        """Sends a picture from the home page and waits for its result."""
        page = page or self.page
        page.goto("/")
        page.set_input_files("#image", self.file(*pair, **how))
        page.wait_for_url("**/uploads/**")


class OwnLabelsTests(LabelsBrowserTestCase):
    def test_labels_for_one_picture_and_then_others(self):
        self.page.goto("/")
        self.page.get_by_text("Choose the labels").click()
        self.page.get_by_label("Labels of your own").fill(LABELS)
        self.page.get_by_label("Sentence around each of them").fill("a photo of {}.")
        self.page.set_input_files("#image", self.file("red", "circle"))
        self.page.wait_for_url("**/uploads/**")
        expect(self.page.get_by_role("heading", level=1)).to_have_text("a red circle")
        expect(self.page.locator(".predictions li")).to_have_count(4)
        expect(self.page.locator(".predictions li").first).to_contain_text("cosine")
        section = self.page.get_by_role("region", name="Try other labels")
        section.get_by_label("Labels of your own").fill("something blue\nsomething red")
        section.get_by_role("button", name="Rank these").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("something red")
        self.page.get_by_role("button", name="Back to ImageNet's 1000").click()
        expect(self.page.locator(".predictions li")).to_have_count(5)
        self.assertEqual(Upload.objects.count(), 1)
        self.assertEqual(
            [run.label_set for run in Classification.objects.order_by("id")], ["custom", "custom", "imagenet"]
        )

    def test_a_mistake_is_told_where_it_was_made(self):
        self.page.goto("/")
        self.page.get_by_text("Choose the labels").click()
        self.page.get_by_label("Labels of your own").fill("cat, cat")
        self.page.set_input_files("#image", self.file())
        expect(self.page.locator("#queue tr.failed")).to_contain_text("Label 2 (“cat”) repeats label 1.")
        self.page.get_by_label("Labels of your own").fill(LABELS)
        self.page.get_by_role("button", name="Try again with").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("a red circle")

    def test_many_labels_are_folded(self):
        self.upload()
        section = self.page.get_by_role("region", name="Try other labels")
        section.get_by_label("Labels of your own").fill(
            ", ".join(f"{word} thing {n}" for n in range(4) for word in "abcd")
        )
        section.get_by_role("button", name="Rank these").click()
        expect(self.page.get_by_text("6 more labels")).to_be_visible()
        expect(self.page.locator(".predictions").nth(1)).not_to_be_visible()
        self.page.get_by_text("6 more labels").click()
        expect(self.page.locator(".predictions").nth(1).locator("li")).to_have_count(6)


class WithoutScriptTests(LabelsBrowserTestCase):
    def test_labels_sets_search_and_mistakes(self):
        label_set_create(name="Shapes", labels=CAPTIONS, templates=("a photo of {}.",))
        page = self.visitor(java_script_enabled=False)
        page.goto("/")
        page.get_by_text("Choose the labels").click()
        page.get_by_label("Or labels of your own").fill("cat")
        page.set_input_files("#image", self.file())
        page.get_by_role("button", name="Classify").click()
        expect(page.get_by_text("Give 2 to 100 labels; there are 1.")).to_be_visible()
        page.get_by_label("Or labels of your own").fill("")
        page.get_by_label("Label set").select_option("Shapes")
        page.set_input_files("#image", self.file("blue", "square"))
        page.get_by_role("button", name="Classify").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("a blue square")
        page.get_by_label("Label set").first.select_option("")
        page.get_by_role("button", name="Rank these").click()
        expect(page.get_by_text("Give labels of your own, or choose a label set.")).to_be_visible()
        page.goto("/history/")
        page.get_by_label("Search your pictures by what they show").fill("a blue square")
        page.get_by_role("button", name="Search").click()
        expect(page.locator(".grid .card")).to_have_count(1)


class LabelSetTests(LabelsBrowserTestCase):
    def test_a_set_that_is_not_ready_cannot_be_chosen_and_one_that_is_can(self):
        label_set_create(name="Shapes", labels=CAPTIONS, templates=("a photo of {}.",))
        label_set_create(name="Unready", labels=("cat", "dog"), templates=("{}",))
        LabelHead.objects.filter(label_set__name="Unready").update(state="building", done=1, total=2)
        self.page.goto("/")
        self.page.get_by_text("Choose the labels").click()
        expect(self.page.get_by_role("option", name="Unready (being computed, 50 %)")).to_be_disabled()
        self.page.get_by_label("Label set").select_option("Shapes")
        self.page.set_input_files("#image", self.file("yellow", "star"))
        self.page.wait_for_url("**/uploads/**")
        expect(self.page.get_by_role("heading", level=1)).to_have_text("a yellow star")


class SearchTests(LabelsBrowserTestCase):
    def test_words_find_ones_own_pictures_and_a_result_leads_to_similar_ones(self):
        for pair in SHAPES:
            self.upload(*pair)
        self.upload("red", "circle", place="on the left")
        self.upload("red", "circle", place="on the left")
        self.page.goto("/history/")
        self.page.get_by_label("Search your pictures by what they show").fill("a yellow star")
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Your pictures most like “a yellow star”")
        expect(self.page.locator(".grid .card .label").first).to_have_text("Very good match")
        self.page.locator(".grid .card a").first.click()
        self.assertEqual(Upload.objects.get(name="yellow-star.png").get_absolute_url(), self.path())

        self.page.goto(Upload.objects.filter(name="red-circle.png").first().get_absolute_url())
        strip = self.page.get_by_role("region", name="Your most similar pictures")
        expect(strip.locator(".card")).to_have_count(5)
        expect(strip.locator(".card").first).to_contain_text("the same file")
        strip.locator(".card a").nth(1).click()
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()
        self.assertIn(
            self.path(), [upload.get_absolute_url() for upload in Upload.objects.filter(name="red-circle.png")]
        )

    def path(self):
        return re.sub(r"^https?://[^/]+", "", self.page.url)

    def test_a_stranger_finds_nothing_of_others(self):
        self.upload("red", "circle")
        stranger = self.visitor()
        stranger.goto("/history/search?q=a+red+circle")
        expect(stranger.get_by_text("There is nothing to search among yet.")).to_be_visible()
        stranger.goto(Upload.objects.get().get_absolute_url())
        expect(stranger.get_by_role("region", name="Your most similar pictures")).to_have_count(0)
        expect(stranger.get_by_role("region", name="Try other labels")).to_have_count(0)

    def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(self):
        label_set_create(name="Shapes", labels=CAPTIONS, templates=("a photo of {}.",))
        self.upload("red", "circle")
        self.upload("blue", "square")
        owner = Upload.objects.first().owner
        for scheme, viewport in (("light", DESKTOP), ("dark", PHONE)):
            page = self.visitor(color_scheme=scheme, viewport=viewport)
            self.own(page.context, owner)
            addresses = ["/", Upload.objects.first().get_absolute_url(), "/history/", "/history/search?q=red"]
            for address in [*addresses, f"/history/search?q={'x' * 201}"]:
                with self.subTest(scheme=scheme, address=address):
                    page.goto(address)
                    for summary in page.locator("summary").all():
                        summary.click()
                    found = Axe().run(page)
                    self.assertEqual(found.violations_count, 0, found.generate_report())
                    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                    self.assertEqual(wide, 0)
                    self.shoot(page, scheme, address)

    def shoot(self, page, scheme, address):
        import os

        if directory := os.environ.get("SCREENSHOTS"):
            name = re.sub(r"\W+", "-", address)[:20]
            page.screenshot(path=f"{directory}/labels-{name}-{scheme}.png", full_page=True)
