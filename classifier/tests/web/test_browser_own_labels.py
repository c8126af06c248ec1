"""Labels of one's own stay for the next picture, are shown, and can be passed on in the address."""

from playwright.sync_api import expect

from classifier.models import Classification, Upload
from classifier.services.label_sets import label_set_create
from classifier.tests.web.test_any_labels import CAPTIONS
from classifier.tests.web.test_browser_labels import LABELS, LabelsBrowserTestCase


class OwnLabelsStayTests(LabelsBrowserTestCase):
    def choose(self, page, labels=LABELS, template="a photo of {}."):
        page.goto("/")
        page.get_by_text("Choose the labels").click()
        page.get_by_label("labels of your own").first.fill(labels)
        page.get_by_label("Sentence around each of them").first.fill(template)

    def field(self, page, prefix: str, name: str) -> str:
        return page.locator(f"#{prefix}-{name}").input_value()

    def test_they_stay_below_the_result_on_home_and_after_ranking_others(self):
        page = self.page
        self.choose(page)
        page.set_input_files("#image", self.file())
        page.wait_for_url("**/uploads/**")
        for prefix in ("choose", "other"):
            self.assertEqual(self.field(page, prefix, "labels"), LABELS)
            self.assertEqual(self.field(page, prefix, "template"), "a photo of {}.")
        expect(page.locator(".facts-list")).to_contain_text("a photo of {}.")
        expect(page.locator(".chosen")).to_contain_text(CAPTIONS[0])
        page.goto("/")
        self.assertEqual(self.field(page, "choose", "labels"), LABELS)
        page.set_input_files("#image", self.file("blue", "square"))
        page.wait_for_url("**/uploads/**")
        expect(page.get_by_role("heading", level=1)).to_have_text("a blue square")

        section = page.get_by_role("region", name="Try other labels")
        section.get_by_label("Labels of your own").fill("something red, something blue")
        section.get_by_label("Sentence around each of them").fill("")
        section.get_by_role("button", name="Rank these").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("something blue")
        self.assertEqual(self.field(page, "other", "labels"), "something red, something blue")
        self.assertEqual(self.field(page, "choose", "labels"), "something red, something blue")
        expect(page.locator(".facts-list")).to_contain_text("This is a photo of {}.")
        page.get_by_role("button", name="Back to ImageNet's 1000").click()
        self.assertEqual(self.field(page, "other", "labels"), "")
        page.goto("/")
        self.assertEqual(self.field(page, "choose", "labels"), "")

    def test_one_is_led_back_to_the_1000(self):
        for page in (self.page, self.visitor(java_script_enabled=False)):
            page.goto("/")
            expect(page.locator(".chosen-note")).to_be_hidden()
            page.get_by_role("button", name="Day or night?").click()
            page.wait_for_url("**/uploads/**")
            page.goto("/")
            expect(page.locator(".chosen-note")).to_be_visible()
            page.get_by_role("link", name="Back to ImageNet's 1000").click()
            for _ in range(2):
                expect(page.locator(".chosen-note")).to_be_hidden()
                self.assertEqual(self.field(page, "choose", "labels"), "")
                page.goto("/")

    def test_an_address_brings_them_to_somebody_else(self):
        self.choose(self.page, "something red, something blue", "a {}")
        expect(self.page).to_have_url(
            f"{self.live_server_url}/?labels=something+red%2C+something+blue&template=a+%7B%7D"
        )
        self.page.set_input_files("#image", self.file("red", "circle"))
        self.page.wait_for_url("**/uploads/**")
        address = self.page.get_by_role("link", name="These labels for another picture").get_attribute("href")
        friend = self.visitor(java_script_enabled=False)
        friend.goto(address)
        expect(friend.get_by_label("Labels of your own")).to_be_visible()
        self.assertEqual(self.field(friend, "choose", "labels"), "something red, something blue")
        friend.set_input_files("#image", self.file("blue", "circle"))
        friend.get_by_role("button", name="Classify").click()
        expect(friend.get_by_role("heading", level=1)).to_have_text("something blue")
        self.assertEqual({run.templates for run in Classification.objects.all()}, {"a {}"})

    def test_a_set_stays_and_puts_typed_labels_out_of_use_before_anything_is_sent(self):
        label_set_create(name="Shapes", labels=CAPTIONS, templates=("a photo of {}.", "a {}"))
        page = self.page
        self.choose(page, "cat, dog")
        page.get_by_label("Label set").select_option("Shapes")
        expect(page.locator("#choose-labels")).to_be_hidden()
        expect(page).to_have_url(f"{self.live_server_url}/?label_set=Shapes")
        page.set_input_files("#image", self.file("yellow", "star"))
        page.wait_for_url("**/uploads/**")
        expect(page.get_by_role("heading", level=1)).to_have_text("a yellow star")
        expect(page.locator(".facts-list")).to_contain_text("a photo of {}. and 1 more")
        for prefix in ("choose", "other"):
            self.assertEqual(self.field(page, prefix, "set"), "Shapes")

    def test_wrong_labels_are_refused_before_the_picture_is_sent(self):
        sent = []
        self.choose(self.page, "cat, cat")
        self.page.on("request", lambda request: sent.append(request) if "multipart" in str(request.headers) else None)
        self.page.set_input_files("#image", self.file())
        expect(self.page.locator("#queue tr.failed")).to_contain_text("Label 2 (“cat”) repeats label 1.")
        self.assertEqual(sent, [])
        self.assertFalse(Upload.objects.exists())
