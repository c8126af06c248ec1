"""The API's documentation in a real browser, where labels are the point: with a real tiny CLIP."""

import re

from classifier.models import Upload
from classifier.tests.api.test_docs import DOCS, TryOut
from classifier.tests.web.test_browser_labels import LabelsBrowserTestCase


class LabelsTests(TryOut, LabelsBrowserTestCase):
    def test_labels_of_ones_own_are_ranked_through_the_form_and_through_json(self):
        self.page.goto(DOCS)
        form = self.form("Classify and keep a picture")
        form.get_by_label("image").set_input_files(self.file("red", "circle"))
        form.get_by_label("candidate_labels").fill("a blue square, a red circle")
        form.get_by_label("hypothesis_template").fill("a photo of {}.")
        self.first("Classify and keep a picture", "201 Created", "a red circle")
        summary = "Classify a picture without keeping it"
        form = self.form(summary)
        form.get_by_label("inputs").set_input_files(self.file("blue", "square"))
        form.get_by_label("parameters.candidate_labels").fill("a blue square\na red circle")
        self.first(summary, "200 OK", "a blue square")
        summary = "Try other labels on an upload"
        form = self.form(summary)
        form.get_by_label("upload_id").fill(str(Upload.objects.get().id))
        form.get_by_label("candidate_labels").fill("something blue, something red")
        for name, value in (("x", 0), ("y", 0), ("side", 5000)):
            form.get_by_label(f"square.{name}").fill(str(value))
        self.first(summary, "201 Created", "something red")
        upload = Upload.objects.get()
        self.assertEqual(upload.latest.square, {"x": 0, "y": 0, "side": min(upload.width, upload.height)})

    def first(self, summary: str, status: str, label: str) -> None:
        """The likeliest label in the answer."""
        found = re.search(r'"label": "([^"]+)"', self.try_out(summary, status))
        self.assertEqual(found[1], label)
