"""Heat maps in the API."""

from uuid import uuid4

from django.test import override_settings

from classifier.tests import colour_engine
from classifier.tests.api.calls import UPLOADS, ApiTestCase
from classifier.tests.colour_engine import ColourEngine
from classifier.tests.services.test_explain import red_on_blue
from classifier.tests.services.test_uploads import png_of


class ExplanationTests(ApiTestCase):
    def setUp(self):
        self.enterContext(colour_engine.serve(ColourEngine()))
        fields = {"image": png_of(red_on_blue()), "candidate_labels": "red, blue"}
        self.record = self.client.post(UPLOADS, fields).json()
        self.address = f"{UPLOADS}/{self.record['id']}/explanation"

    def test_a_map_of_the_label_that_is_asked_for(self):
        rank = next(each["rank"] for each in self.record["predictions"] if each["label"] == "red")
        answer = self.client.get(self.address, {"rank": rank}).json()
        self.assertEqual((answer["rank"], answer["label"], answer["grid"]), (rank, "red", 7))
        self.assertEqual([len(row) for row in answer["heat"]], [7] * 7)
        self.assertEqual(max(map(max, answer["heat"])), answer["heat"][0][0])

    def test_the_likeliest_where_none_is_named(self):
        self.assertEqual(self.client.get(self.address).json()["label"], self.record["predictions"][0]["label"])

    def test_what_is_wrong_is_told(self):
        self.assertProblem(self.client.get(self.address, {"rank": 9}), 409, "nothing-to-explain", "no place 9")
        self.assertProblem(self.client.get(self.address, {"rank": 0}), 422, "invalid")
        self.assertProblem(self.client.get(f"{UPLOADS}/{uuid4()}/explanation"), 404, "not-found")

    @override_settings(RATE_LIMIT_PER_MINUTE=1)
    def test_it_counts_as_a_picture(self):
        self.client.get(self.address)
        self.assertProblem(self.client.get(self.address), 429, "rate-limited")
