"""Pages by cursor."""

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.http import QueryDict
from django.test import TestCase, TransactionTestCase, skipUnlessDBFeature

from classifier.http.paging import Page, in_batches, page_of
from classifier.models import Upload
from classifier.tests.test_models import make_upload

START = datetime(2026, 1, 1, tzinfo=UTC)


class PagingTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        # Pairs at the same moment: then the id decides.
        for number in range(9):
            make_upload(name=f"{number}", created=START + timedelta(minutes=number // 2))

    def page(self, query: str = "", size: int = 4) -> Page:
        return page_of(Upload.objects.all(), size=size, **QueryDict(query).dict())

    def walk(self, direction: str, page: Page) -> list[Upload]:
        found = list(page.uploads)
        while query := getattr(page, direction):
            page = self.page(query)
            found += page.uploads if direction == "older" else []
            self.assertLess(len(found), 50)
        return found if direction == "older" else page.uploads

    def test_every_upload_is_on_one_page(self):
        self.assertEqual(self.walk("older", self.page()), list(Upload.objects.all()))

    def test_newer_leads_back_to_the_first_page(self):
        last = self.page(self.page(self.page().older).older)
        self.assertEqual(last.older, "")
        self.assertEqual(self.walk("newer", last), self.page().uploads)
        self.assertEqual(self.page().newer, "")

    def test_a_deleted_upload_leaves_its_cursor_valid(self):
        first = self.page()
        expected = self.page(first.older).uploads
        first.uploads[-1].delete()
        self.assertEqual(self.page(first.older).uploads, expected)

    def test_new_uploads_neither_repeat_nor_hide_one(self):
        first = self.page()
        expected = self.page(first.older).uploads
        make_upload(created=START + timedelta(days=1))
        self.assertEqual(self.page(first.older).uploads, expected)

    def test_other_parameters_are_kept(self):
        page = page_of(Upload.objects.all(), size=4, label="tea cup")
        self.assertEqual(QueryDict(page.older)["label"], "tea cup")

    def test_nonsense_is_the_first_page(self):
        for query in ("before=nonsense", "before=%00", "after=bm9uc2Vuc2Ug", "before=é"):
            self.assertEqual(self.page(query), self.page())


class BatchTests(TestCase):
    def test_every_upload_comes_once_whatever_the_size_of_a_batch(self):
        for number in range(9):
            make_upload(name=f"{number}", created=START + timedelta(minutes=number // 2))
        for size in (1, 2, 3, 9, 10):
            self.assertEqual(list(in_batches(Upload.objects.all(), size)), list(Upload.objects.all()))
        self.assertEqual(list(in_batches(Upload.objects.none(), 3)), [])


@skipUnlessDBFeature("test_db_allows_multiple_connections")
class ConnectionTests(TransactionTestCase):
    def test_no_connection_is_held_while_a_client_reads(self):
        for number in range(5):
            make_upload(name=f"{number}")
        reading = in_batches(Upload.objects.all(), 2)
        for _ in range(5):
            next(reading)
            self.assertIsNone(connection.connection)
