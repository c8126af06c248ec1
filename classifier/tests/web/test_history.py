"""The list of own pictures: filtered, paged, deleted from, exported."""

import csv
import io
import json

from classifier.models import Upload
from classifier.services import uploads
from classifier.tests.web.test_views import LABELS, PageTestCase, make_run
from classifier.web.history import PAGE_SIZE


class HistoryTests(PageTestCase):
    def labels(self, address: str) -> list[str]:
        return [upload.top_label for upload in self.client.get(address).context["page"].uploads]

    def make(self, count: int, **fields) -> None:
        for number in range(count):
            make_run(labels=(f"thing {number}", *LABELS[1:]), **fields)

    def test_it_costs_three_queries_however_many_there_are(self):
        for count in (0, 2, PAGE_SIZE):
            self.make(count)
            with self.assertNumQueries(3):  # session; page; labels to filter by
                self.client.get("/history/")

    def test_a_later_page_costs_one_more(self):
        self.make(PAGE_SIZE + 1)
        older = self.client.get("/history/").context["page"].older
        with self.assertNumQueries(4):  # whether there are newer ones
            self.client.get(f"/history/?{older}")

    def test_it_filters_by_label(self):
        self.make(3)
        self.assertEqual(self.labels("/history/?label=thing+1"), ["thing 1"])
        self.assertContains(self.client.get("/history/?label=nothing"), "None of your pictures has the top label")
        self.assertContains(self.client.get("/history/"), '<option value="thing 2">thing 2 (1)</option>')

    def test_pages_stay_right_while_new_pictures_arrive(self):
        self.make(PAGE_SIZE + 2)
        page = self.client.get("/history/").context["page"]
        make_run(labels=("newcomer", *LABELS[1:]))
        self.assertEqual(self.labels(f"/history/?{page.older}"), ["thing 1", "thing 0"])

    def test_only_ticked_pictures_of_ones_own_are_deleted_once_confirmed(self):
        self.make(2)
        other = make_run("you")
        ticked = [Upload.objects.get(top_label="thing 1").pk, other.pk, "nonsense"]
        page = self.client.post("/history/delete", {"upload": ticked})
        self.assertContains(page, "Delete this picture?")
        self.assertEqual(Upload.objects.count(), 3)
        response = self.client.post("/history/delete", {"upload": ticked, "confirmed": "1"}, follow=True)
        self.assertContains(response, "The picture is deleted.")
        self.assertEqual(set(Upload.objects.values_list("top_label", flat=True)), {"thing 0", other.top_label})

    def test_deleting_nothing_says_what_to_do(self):
        self.assertContains(self.client.post("/history/delete", follow=True), "Tick the pictures to delete first.")

    def test_the_export_has_ones_own_pictures_as_json(self):
        self.make(2)
        make_run("you")
        response = self.client.get("/history/export.json")
        self.assertTrue(response.streaming)
        records = json.loads(response.getvalue())
        self.assertEqual([record["predictions"][0]["label"] for record in records], ["thing 1", "thing 0"])

    def test_the_export_has_ones_own_pictures_as_csv(self):
        upload = make_run(name="=cmd()")
        uploads.feedback_create(upload=upload, label="tench", index=0)
        make_run("you")
        rows = list(csv.DictReader(io.StringIO(self.client.get("/history/export.csv").getvalue().decode("utf-8-sig"))))
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["label_1"], "espresso")
        self.assertEqual(float(rows[0]["score_1"]), 0.9)
        self.assertEqual(rows[0]["right_label"], "tench")
        self.assertEqual(rows[0]["file"], "'=cmd()")  # no formula for a spreadsheet

    def test_a_visitor_without_pictures_exports_an_empty_list(self):
        self.assertEqual(json.loads(self.stranger().get("/history/export.json").getvalue()), [])
