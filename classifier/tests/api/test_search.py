"""Search through the API, by words and by pictures."""

import uuid
from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext

from classifier.tests.api.calls import UPLOADS
from classifier.tests.api.test_labels import SEARCH, LabelsTestCase
from classifier.tests.people import staff
from classifier.tests.services.test_search import coloured


class SearchTests(LabelsTestCase):
    def setUp(self):
        super().setUp()
        self.red, self.crimson, self.blue = (self.upload(colour) for colour in ("red", "crimson", "blue"))
        self.theirs = coloured("red", owner="somebody")

    def items(self, path, status=200, headers=None, **query):
        answer = self.client.get(path, query, headers=self.headers if headers is None else headers)
        self.assertEqual(answer.status_code, status, answer.content)
        return answer.json().get("items")

    def test_similar_uploads_of_ones_own(self):
        path = f"{UPLOADS}/{self.red['id']}/similar"
        items = self.items(path)
        self.assertEqual([item["upload"]["id"] for item in items], [self.crimson["id"], self.blue["id"]])
        self.assertGreater(items[0]["similarity"], items[1]["similarity"])
        self.assertEqual(items[0]["upload"]["predictions"][0]["label"], "red thing")
        self.assertEqual(len(self.items(path, n=1)), 1)

    def test_the_same_file_is_marked(self):
        again = self.upload("red")
        first = self.items(f"{UPLOADS}/{self.red['id']}/similar")[0]
        self.assertEqual((first["upload"]["id"], first["duplicate"]), (again["id"], True))

    def test_by_words(self):
        items = self.items(SEARCH, q="something blue", n=2)
        self.assertEqual(items[0]["upload"]["id"], self.blue["id"])
        self.assertEqual(len(items), 2)

    def test_nobody_must_say_who_they_are(self):
        for path, words in ((SEARCH, {"q": "red"}), (f"{UPLOADS}/{self.red['id']}/similar", {})):
            self.items(path, 401, headers={}, **words)
            self.items(path, 403, all="true", **words)

    def test_staff_find_everybodys(self):
        self.client.force_login(staff("view_upload"))
        self.client.get("/")  # sets the CSRF cookie that a page of ours sends along
        headers = {"X-CSRFToken": self.client.cookies["csrftoken"].value}
        for path, words in ((SEARCH, {"q": "red"}), (f"{UPLOADS}/{self.red['id']}/similar", {})):
            found = {item["upload"]["id"] for item in self.items(path, headers=headers, all="true", **words)}
            self.assertIn(str(self.theirs.pk), found)
            self.assertEqual(self.items(path, headers=headers, **words), [], "of their own session")

    def test_what_cannot_be_asked(self):
        for query in ({}, {"q": ""}, {"q": "x" * 201}, {"q": "red", "n": 0}, {"q": "red", "n": 101}):
            self.items(SEARCH, 422, **query)
        self.items(f"{UPLOADS}/{uuid.uuid4()}/similar", 404)

    def test_more_hits_cost_no_more_queries(self):
        counts = []
        self.enterContext(
            mock.patch("classifier.http.ratelimits.random.random", return_value=1.0)
        )  # sweeps no old rows
        self.items(SEARCH, q="red")  # notes when the key was used, once a minute
        for n in (1, 3):
            with CaptureQueriesContext(connection) as queries:
                self.assertEqual(len(self.items(SEARCH, q="red", n=n)), n)
            counts.append(len(queries))
        self.assertEqual(counts[0], counts[1])
