"""A caller's own uploads, page by page."""

import base64

from django.test import Client
from django.utils import timezone

from classifier.models import Upload
from classifier.tests.api.calls import UPLOADS, ApiTestCase, bearer, issue


class PagingTests(ApiTestCase):
    def setUp(self):
        self.token = issue()[1]
        self.ids = [self.create(**bearer(self.token))["id"] for _ in range(5)][::-1]

    def get(self, address: str = UPLOADS, **query) -> dict:
        response = self.client.get(address, query, headers=bearer(self.token))
        self.assertEqual(response.status_code, 200, response.content)
        return response.json()

    def test_pages_follow_each_other_while_new_uploads_arrive(self):
        first = self.get(limit=2)
        self.create(**bearer(self.token))
        second = self.get(first["next"])
        third = self.get(second["next"])
        pages = [[each["id"] for each in page["items"]] for page in (first, second, third)]
        self.assertEqual(pages, [self.ids[:2], self.ids[2:4], self.ids[4:]])
        self.assertIsNone(third["next"])

    def test_uploads_of_the_same_moment_are_neither_lost_nor_repeated(self):
        Upload.objects.update(created=timezone.now())
        seen, page = [], self.get(limit=2)
        while True:
            seen += [each["id"] for each in page["items"]]
            if page["next"] is None:
                break
            page = self.get(page["next"])
        self.assertEqual(sorted(seen), sorted(self.ids))

    def test_a_page_that_is_exactly_full_is_the_last(self):
        self.assertIsNone(self.get(limit=5)["next"])

    def test_deleting_the_last_upload_of_a_page_does_not_break_the_next(self):
        first = self.get(limit=2)
        Upload.objects.get(pk=self.ids[1]).delete()
        self.assertEqual([each["id"] for each in self.get(first["next"])["items"]], self.ids[2:4])

    def test_the_number_of_queries_is_constant(self):
        for limit in (1, 5):  # the key (its use was noted before), the uploads with their runs, the predictions
            with self.assertNumQueries(3) as queries:
                self.get(limit=limit)
            self.assertFalse(any('"image"' in query["sql"] for query in queries))

    def test_cursors_and_limits_that_are_not_right(self):
        far = base64.urlsafe_b64encode(b"0001-01-01T00:00:00+23:59 " + b"0" * 32).decode()
        for query in (
            {"cursor": "x"}, {"cursor": "é"}, {"cursor": "\0"}, {"cursor": "MSAy"}, {"cursor": far},
            {"cursor": "a" * 201}, {"limit": 0}, {"limit": 101}, {"limit": "many"}, {"all": "perhaps"},
        ):  # fmt: skip
            with self.subTest(query):
                response = self.client.get(UPLOADS, query, headers=bearer(self.token))
                self.assertProblem(response, 422, "invalid", "" if "cursor" in query else next(iter(query)))

    def test_nobody_lists_without_saying_who(self):
        self.assertProblem(Client().get(UPLOADS), 401, "unauthorized", "API key")
