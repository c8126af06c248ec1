"""The figures and charts of the admin's summary page."""

from datetime import timedelta
from unittest import mock

from django.db import connection
from django.urls import reverse
from django.utils import timezone

from classifier.admin import summary
from classifier.tests.admin.test_uploads import LIST, AdminTests
from classifier.tests.synthetic import fill, upload_done


class SummaryTests(AdminTests):
    def get(self):
        return self.client.get(reverse("admin:classifier_upload_summary"))

    def test_it_is_linked_from_the_index(self):
        self.assertContains(self.client.get(reverse("admin:index")), reverse("admin:classifier_upload_summary"))

    def test_an_empty_database_has_a_summary(self):
        self.assertContains(self.get(), "Nothing yet.")

    def test_it_counts_days_labels_failures_and_times(self):
        now = timezone.now()
        for number, label in enumerate(["espresso", "cup", "espresso", "espresso"]):
            upload = upload_done(label, created=now - timedelta(days=number % 2))
            upload.classifications.update(seconds_decode=0.01, seconds_predict=0.1 * (number + 1))
        upload_done("", None, status="failed", model="RN50", created=now)
        upload_done("moped", created=now - timedelta(days=30))
        summary = self.get().context["summary"]
        self.assertEqual((summary.uploads, summary.total.runs, summary.total.failed, summary.cut), (5, 5, 1, False))
        self.assertEqual([(bar.name, bar.value, bar.length) for bar in summary.labels[:1]], [("espresso", 3, 100)])
        self.assertEqual([bar.value for bar in summary.days], [0] * 28 + [2, 3])
        clip, resnet = summary.models
        self.assertEqual(
            (clip.name, clip.failed, resnet.name, resnet.failed_percent), ("ViT-B/32, int8", 0, "RN50, int8", 100)
        )
        self.assertAlmostEqual(clip.predict_p50, 250)
        self.assertAlmostEqual(clip.predict_p95, 385)
        self.assertIsNone(resnet.predict_p50)

    def test_percentiles_are_postgresqls(self):
        if connection.vendor != "postgresql":
            self.skipTest("SQLite has no percentiles to compare with")
        values = sorted([3.0, 1.5, 9.25, 7.0, 2.0, 2.0, 40.0])
        for share in (0, 0.05, 0.5, 0.95, 1):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY v) FROM unnest(%s) v", [share, values]
                )
                self.assertAlmostEqual(summary.percentile(values, share), cursor.fetchone()[0])

    def test_it_reads_a_bounded_number_of_rows(self):
        fill(8, days=2)
        with mock.patch.object(summary, "ROWS", 3):
            page = self.get()
        self.assertEqual((page.context["summary"].uploads, page.context["summary"].total.runs), (3, 3))
        self.assertContains(page, "there are more in the last 30 days than this page looks at")

    def test_it_takes_as_many_queries_with_many_as_with_none(self):
        address = reverse("admin:classifier_upload_summary")
        none = self.queries(address)
        fill(30, days=20)
        self.assertEqual(len(self.queries(address)), len(none))

    def test_charts_say_in_words_what_they_draw(self):
        upload_done("<b>espresso</b>")
        page = self.get()
        self.assertContains(page, 'role="img" aria-labelledby="days days-text"')
        self.assertContains(page, "1 uploads in 30 days")
        self.assertContains(page, "top_label__exact=%3Cb%3Eespresso%3C/b%3E")
        self.assertNotContains(page, "<b>espresso")
        linked = self.client.get(LIST, {"top_label__exact": "<b>espresso</b>"})
        self.assertEqual(len(linked.context["cl"].result_list), 1)
