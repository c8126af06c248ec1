"""The list of own pictures: filtered, paged, deleted from, exported."""

import csv
import io
import json
from datetime import UTC, datetime

from django.test import TestCase

from classifier.models import Upload
from classifier.services import uploads
from classifier.tests import colour_engine
from classifier.tests.colour_engine import ColourEngine
from classifier.tests.services.test_uploads import png
from classifier.tests.web.test_views import LABELS, PageTestCase, make_run
from classifier.web.history import PAGE_SIZE
from classifier.words import words_of


class HistoryTests(PageTestCase):
    def labels(self, address: str) -> list[str]:
        return [upload.top_label for upload in self.client.get(address).context["page"].uploads]

    def make(self, count: int, **fields) -> None:
        for number in range(count):
            make_run(labels=(f"thing {number}", *LABELS[1:]), **fields)

    def test_it_costs_three_queries_however_many_there_are(self):
        for count in (0, 2, PAGE_SIZE):
            self.make(count)
            with self.assertNumQueries(5 if count else 3):  # session; page; labels to filter by; months; label sets
                self.client.get("/history/")

    def test_a_later_page_costs_one_more(self):
        self.make(PAGE_SIZE + 1)
        older = self.client.get("/history/").context["page"].older
        with self.assertNumQueries(6):  # whether there are newer ones
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

    def test_it_says_how_many_and_jumps_to_a_month(self):
        self.make(3)
        old = make_run(labels=("old thing", *LABELS[1:]))
        Upload.objects.filter(pk=old.pk).update(created=datetime(2025, 12, 31, 23, 59, tzinfo=UTC))
        page = self.client.get("/history/")
        self.assertContains(page, '<span class="count">4</span>')
        self.assertContains(page, ">December 2025</h2>")
        newest, december = page.context["months"]
        self.assertEqual((newest["month"].count, december["month"].count), (3, 1))
        self.assertEqual(self.labels(f"/history/?{december['query']}"), ["old thing"])
        self.assertEqual(len(self.labels(f"/history/?{newest['query']}")), 4)
        self.assertEqual(december["month"].end, datetime(2026, 1, 1, tzinfo=UTC))

    def test_labels_come_by_count_and_words_find_labels_and_files(self):
        self.make(1)
        for _ in range(2):
            make_run(labels=("tabby cat", *LABELS[1:]))
        Upload.objects.filter(top_label="tabby cat").update(words=words_of("", "tabby cat"))
        page = self.client.get("/history/")
        self.assertEqual(page.context["labels"][0], ("tabby cat", 2))
        self.assertEqual(self.labels("/history/?label=tab"), ["tabby cat", "tabby cat"])
        self.assertContains(self.client.get("/history/?label=tab"), "2 with “tab”")

    def test_the_export_follows_the_filter_and_what_is_ticked(self):
        self.make(3)
        one = json.loads(self.client.get("/history/export.json?label=thing+1").getvalue())
        self.assertEqual([record["predictions"][0]["label"] for record in one], ["thing 1"])
        page = self.client.get("/history/?label=thing+1")
        self.assertContains(page, 'href="/history/export.csv?label=thing+1"')
        ticked = [str(upload.pk) for upload in Upload.objects.filter(top_label__in=["thing 0", "thing 2"])]
        two = json.loads(self.client.post("/history/export.json", {"upload": ticked}).getvalue())
        self.assertEqual({record["id"] for record in two}, set(ticked))


class RelabelTickedTests(TestCase):
    def setUp(self):
        self.enterContext(colour_engine.serve(ColourEngine()))
        self.record = self.client.post("/", {"image": png()}, headers={"Accept": "application/json"}).json()

    def relabel(self, **fields):
        return self.client.post("/history/relabel", {"upload": self.record["id"], **fields}, follow=True)

    def test_ones_own_are_ranked_anew_without_sending_them_again(self):
        self.assertContains(self.relabel(labels="red, green"), "The picture is ranked anew.")
        self.assertIn(Upload.objects.get().top_label, ("red", "green"))

    def test_what_is_wrong_is_told_and_others_pictures_stay(self):
        self.assertContains(self.relabel(labels="red"), "Give 2 to 100 labels")
        self.assertContains(
            self.client.post("/history/relabel", {"labels": "red, green"}, follow=True), "Tick the pictures"
        )
        stranger = self.client_class()
        answer = stranger.post("/history/relabel", {"upload": self.record["id"], "labels": "red, green"}, follow=True)
        self.assertContains(answer, "Tick the pictures")
        self.assertEqual(Upload.objects.get().label_set, "imagenet")
