"""The page of a batch: how far it is, a table to sort, and the same as CSV."""

import csv
import io

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from classifier.models import Batch
from classifier.tests.colour_engine import ColourTestCase
from classifier.tests.photos import plain
from classifier.tests.services.test_batches import NAMES, work


class BatchPageTests(ColourTestCase):
    def send(self, *files, **fields):
        return self.client.post("/batches/", {"images": list(files), "labels": ", ".join(NAMES), **fields})

    def picture(self, colour, name=None):
        return SimpleUploadedFile(name or f"{colour}.png", plain("PNG", colour))

    def test_a_visitor_sends_pictures_and_finds_them_again(self):
        response = self.send(self.picture("red"), self.picture("blue"))
        batch = Batch.objects.get()
        self.assertRedirects(response, batch.get_absolute_url())
        work()
        self.assertContains(self.client.get("/batches/"), batch.get_absolute_url())
        self.assertContains(self.client.get("/history/"), "red")
        self.assertNotContains(Client().get("/batches/"), batch.get_absolute_url())

    def test_the_bar_tells_how_far_it_is_and_the_page_reloads_until_then(self):
        address = self.send(self.picture("red"), self.picture("blue"))["Location"]
        page = self.client.get(address)
        self.assertContains(page, "0 of 2 are done")
        self.assertContains(page, 'max="2" value="0"')
        self.assertIn("Refresh", page)
        work()
        page = self.client.get(address)
        self.assertContains(page, 'max="2" value="2"')
        self.assertNotIn("Refresh", page)

    def names(self, page):
        return [row["name"] for row in page.context["rows"]]

    def test_the_table_sorts_both_ways_and_the_csv_as_the_page(self):
        notes = SimpleUploadedFile("notes.txt", b"x")
        address = self.send(self.picture("red"), notes, self.picture("blue"), self.picture("green"))["Location"]
        work()
        page = self.client.get(address)
        self.assertEqual(self.names(page), ["red.png", "notes.txt", "blue.png", "green.png"])
        for sort, order in (("name", 1), ("-name", -1)):
            expected = ["blue.png", "green.png", "notes.txt", "red.png"][::order]
            page = self.client.get(address, {"sort": sort})
            self.assertEqual(self.names(page), expected)
            self.assertContains(page, "aria-sort")
            self.assertEqual([row["file"] for row in self.rows(f"{address}results.csv?sort={sort}")], expected)
        for sort in ("label", "-label", "score", "-score"):  # what has none comes last
            self.assertEqual(self.names(self.client.get(address, {"sort": sort}))[-1], "notes.txt")
        self.assertEqual(self.names(self.client.get(address, {"sort": "nonsense"}))[0], "red.png")

    def test_each_row_shows_its_picture_its_likeliest_labels_and_whether_they_fit(self):
        notes = SimpleUploadedFile("notes.txt", b"x")
        address = self.send(self.picture("red"), notes, self.picture("blue"), labels="red, blue, green")["Location"]
        work()
        with CaptureQueriesContext(connection) as queries:
            page = self.client.get(address)
        red, wrong, _blue = page.context["rows"]
        self.assertEqual([len(red["bars"]), wrong["bars"]], [3, []])
        self.assertEqual((red["bars"][0].label, red["fits"], wrong["fits"]), ("red", "fits", ""))
        self.assertContains(page, "/thumbnail", count=2)
        self.assertEqual(sum("classifier_prediction" in query["sql"] for query in queries), 1)
        self.assertEqual([row["fits"] for row in self.rows(f"{address}results.csv")], ["yes", "", "yes"])
        self.assertEqual(self.names(self.client.get(address, {"sort": "fits"}))[-1], "notes.txt")

    def rows(self, address):
        text = b"".join(self.client.get(address).streaming_content).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text)))

    def test_the_csv_runs_nothing_in_a_spreadsheet(self):
        address = self.send(self.picture("red", "=1+1.png"))["Location"]
        work()
        (row,) = self.rows(f"{address}results.csv")
        self.assertEqual((row["file"], row["label"], row["status"]), ("'=1+1.png", "red", "done"))

    def test_what_was_wrong_is_said_on_the_form(self):
        self.assertContains(self.client.post("/batches/", {}), "No picture was sent", status_code=422)
        self.assertContains(self.send(self.picture("red"), labels="one"), 'role="alert"', status_code=422)
        self.assertNotIn("sessionid", self.client.cookies)
