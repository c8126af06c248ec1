"""What staff see and do in the admin."""

import csv
import io
import time
from datetime import UTC, datetime, timedelta
from unittest import mock

from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from classifier import admin_actions, admin_bounds, admin_summary, services
from classifier.errors import ModelUnavailable
from classifier.images import picture_to_jpeg
from classifier.models import Classification, Prediction, Upload

from .synthetic import fill, upload_done
from .test_services import serve

LIST = reverse("admin:classifier_upload_changelist")


class AdminTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.staff = User.objects.create_superuser("staff")

    def setUp(self):
        self.client.force_login(self.staff)

    def queries(self, address):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            self.assertEqual(self.client.get(address).status_code, 200)
        return [query["sql"] for query in queries]

    def act(self, action, *uploads, **data):
        chosen = {"action": action, "_selected_action": [upload.pk for upload in uploads], **data}
        return self.client.post(LIST, chosen, follow=True)

    def limited(self, *permissions):
        """Log in somebody who may do no more than this."""
        user = User.objects.create_user("limited", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.client.force_login(user)


class ListTests(AdminTests):
    def test_it_shows_picture_label_score_model_and_date(self):
        upload = upload_done("espresso", 0.873, name="IMG_1.jpg", created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
        page = self.client.get(LIST)
        address = f"/uploads/{upload.pk}/"
        self.assertContains(page, f'<a href="{address}"><img class="thumbnail" src="{address}image"')
        for text in ["espresso", "87.3 %", "ViT-B/32", "IMG_1.jpg", "2026-03-04 05:06", 'loading="lazy"']:
            self.assertContains(page, text)

    def test_it_says_what_has_no_label(self):
        upload_done("", None, status="failed")
        self.assertContains(self.client.get(LIST), ">failed</a>")

    def test_a_page_takes_as_many_queries_with_thirty_uploads_as_with_one(self):
        fill(1)
        one = self.queries(LIST)
        fill(29)
        thirty = self.queries(LIST)
        self.assertEqual(len(one), len(thirty))
        self.assertLessEqual(len(thirty), 9)

    def test_picture_bytes_are_never_loaded(self):
        fill(3)
        upload = Upload.objects.first()
        for address in [LIST, f"{LIST}?q=img", reverse("admin:classifier_upload_change", args=[upload.pk])]:
            for sql in self.queries(address):
                self.assertNotIn('"image"', sql)

    def test_search_finds_label_and_file_name(self):
        upload_done("Egyptian cat", name="IMG_7.jpg")
        upload_done("espresso", name="holiday.png")
        for text, found in [
            ("egypt", "IMG_7.jpg"),
            ("holi", "holiday.png"),
            ("img7", "IMG_7.jpg"),
            ("png espr", "holiday.png"),
        ]:
            with self.subTest(text):
                result = self.client.get(LIST, {"q": text}).context["cl"].result_list
                self.assertEqual([upload.name for upload in result], [found])
        self.assertEqual(len(self.client.get(LIST, {"q": "%"}).context["cl"].result_list), 0)

    def test_filters_offer_what_is_there_and_filter(self):
        upload_done("espresso", model="RN50")
        upload_done("espresso", model="ViT-B/32", label_set="my set")
        upload_done("", None, status="failed", model="ViT-B/32")
        page = self.client.get(LIST)
        for text in ["?model=RN50", "?model=ViT-B%2F32", "?label_set=my+set", "?status__exact=failed"]:
            self.assertContains(page, text)
        for query, number in [({"model": "RN50"}, 1), ({"status__exact": "failed"}, 1), ({"label_set": "my set"}, 1)]:
            with self.subTest(query):
                self.assertEqual(len(self.client.get(LIST, query).context["cl"].result_list), number)

    def test_what_visitors_said_is_shown_and_found(self):
        upload, _other = upload_done("cup", name="a.jpg"), upload_done("cup", name="b.jpg")
        services.feedback_create(upload=upload, label="espresso")
        self.assertContains(self.client.get(LIST), "espresso")
        self.assertEqual(list(self.client.get(LIST, {"feedback": "1"}).context["cl"].result_list), [upload])
        page = self.client.get(reverse("admin:classifier_upload_change", args=[upload.pk]))
        self.assertContains(page, "espresso")

    def test_the_calendar_leads_from_years_to_days(self):
        for created in [
            datetime(2025, 11, 30, tzinfo=UTC),
            datetime(2026, 2, 1, tzinfo=UTC),
            datetime(2026, 2, 3, tzinfo=UTC),
        ]:
            upload_done("espresso", created=created)

        def titles(**period):
            page = self.client.get(LIST, {f"created__{part}": number for part, number in period.items()})
            shown = page.context["cl"]
            return [choice["title"] for choice in shown.calendar["choices"]], len(shown.result_list)

        self.assertEqual(titles(), (["2025", "2026"], 3))
        self.assertEqual(titles(year=2025), (["November 2025", "December 2025"], 1))
        self.assertEqual(titles(year=2026), (["January 2026", "February 2026"], 2))
        self.assertEqual(titles(year=2026, month=2), (["February 1", "February 2", "February 3"], 2))
        self.assertEqual(titles(year=2026, month=2, day=3), (["February 3"], 1))
        self.assertEqual(self.client.get(LIST, {"created__year": "then"}).status_code, 302)

    def test_many_are_counted_to_a_limit(self):
        fill(5)
        with mock.patch.object(admin_bounds, "COUNT_LIMIT", 3):
            page = self.client.get(LIST)
            self.assertContains(page, "3+ uploads")
            self.assertEqual(page.context["cl"].paginator.num_pages, 1)

    def test_it_is_for_staff_who_may_see_uploads(self):
        self.limited()
        self.assertEqual(self.client.get(LIST).status_code, 403)
        self.assertEqual(self.client.get(reverse("admin:classifier_upload_summary")).status_code, 403)


class ManyUploadsTests(AdminTests):
    """No query of a page looks at more rows than a few times what it shows or counts to.

    The limits are lowered in proportion: these uploads stand for a hundred thousand and more.
    """

    UPLOADS, LIMIT = 5000, 500

    @classmethod
    def setUpTestData(cls):
        super().setUpTestData()
        fill(cls.UPLOADS, days=400)

    def pages(self):
        month = timezone.now() - timedelta(days=60)
        period = f"created__year={month.year}&created__month={month.month}"
        return [
            LIST,
            f"{LIST}?p=10",
            f"{LIST}?o=7",
            f"{LIST}?{period}",
            f"{LIST}?{period}&created__day=1",
            f"{LIST}?model=RN50",
            f"{LIST}?label_set=imagenet",
            f"{LIST}?status__exact=failed",
            f"{LIST}?status__exact=running",
            f"{LIST}?status__exact=failed&model=RN50",
            f"{LIST}?top_label__exact=red+cat",
            f"{LIST}?feedback=1",
            f"{LIST}?q=zebra",
            f"{LIST}?q=1500",
            reverse("admin:classifier_upload_change", args=[Upload.objects.first().pk]),
            reverse("admin:classifier_upload_summary"),
        ]

    def test_no_query_looks_at_the_whole_table(self):
        few = mock.patch.object(admin_bounds, "COUNT_LIMIT", self.LIMIT)
        with few, mock.patch.object(admin_summary, "ROWS", self.LIMIT):
            for address in self.pages():
                for sql in self.queries(address):
                    if '"classifier_' in sql:
                        with self.subTest(address, sql=sql):
                            self.check(sql)

    def check(self, sql):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql.replace("%", "%%"), [])
                plan = cursor.fetchone()[0][0]["Plan"]
            self.assertLess(rows_read(plan), 3 * self.LIMIT)
        else:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN QUERY PLAN " + sql)
                steps = [step for *_, step in cursor.fetchall()]
            self.assertFalse([step for step in steps if step.startswith("SCAN classifier") and "USING" not in step])


def rows_read(plan):
    """How many rows the scans of a PostgreSQL plan looked at, those included that a filter threw away."""
    below = sum(rows_read(part) for part in plan.get("Plans", []))
    if "Scan" not in plan["Node Type"] or "Relation Name" not in plan:
        return below
    seen = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return below + seen * plan["Actual Loops"]


class UploadPageTests(AdminTests):
    def test_it_shows_every_run_with_its_predictions(self):
        upload = upload_done("espresso", 0.873)
        failed = Classification.objects.create(upload=upload, status="failed", reason="Out of luck", model="RN50")
        page = self.client.get(reverse("admin:classifier_upload_change", args=[upload.pk]))
        for text in ["1. <strong>espresso</strong> 87.3 %, cosine 0.300", "Out of luck", failed.model]:
            self.assertContains(page, text)
        self.assertNotContains(page, 'name="_save"')
        self.assertNotContains(page, "<select")

    def test_it_takes_as_many_queries_with_ten_runs_as_with_one(self):
        upload = upload_done("espresso")
        address = reverse("admin:classifier_upload_change", args=[upload.pk])
        one = self.queries(address)
        for _ in range(9):
            run = Classification.objects.create(upload=upload, status="done")
            Prediction.objects.create(classification=run, rank=1, label="cup", score=0.5)
        self.assertEqual(len(self.queries(address)), len(one))

    def test_it_classifies_again(self):
        upload = upload_done("cup", image=picture_to_jpeg(Image.new("RGB", (8, 6))))
        with serve("espresso"):
            page = self.client.post(reverse("admin:classifier_upload_classify", args=[upload.pk]), follow=True)
        self.assertContains(page, "Classified again: 1.")
        self.assertEqual(Upload.objects.get().top_label, "espresso")

    def test_only_who_may_change_uploads_classifies(self):
        upload = upload_done("cup")
        address = reverse("admin:classifier_upload_classify", args=[upload.pk])
        self.assertEqual(self.client.get(address).status_code, 405)
        self.limited("view_upload")
        self.assertEqual(self.client.post(address).status_code, 403)
        self.assertNotContains(self.client.get(LIST), "classify_again")


class ActionTests(AdminTests):
    def make(self, *labels):
        jpeg = picture_to_jpeg(Image.new("RGB", (8, 6)))
        return [upload_done(label, image=jpeg) for label in labels]

    def test_classify_again_says_what_came_of_it(self):
        uploads = self.make("cup", "cup", "cup")
        fate = mock.Mock(side_effect=[None, RuntimeError("out of luck"), None])
        with serve("espresso", before=fate), self.assertLogs("classifier", "ERROR"):
            page = self.act("classify_again", *uploads)
        self.assertContains(page, "Classified again: 2.")
        self.assertContains(page, "Failed: 1. RuntimeError: out of luck")
        self.assertEqual(sorted(upload.top_label for upload in Upload.objects.all()), ["", "espresso", "espresso"])

    def test_classify_again_stops_without_a_model(self):
        uploads = self.make("cup", "cup")
        with mock.patch("classifier.services.engine_get", side_effect=ModelUnavailable("Run prepare_model.")):
            page = self.act("classify_again", *uploads)
        self.assertContains(page, "Not classified again: 2, because Run prepare_model.")

    def test_classify_again_stops_in_time(self):
        uploads = self.make("cup", "cup", "cup")
        slow = serve("espresso", before=lambda: time.sleep(0.06))
        with slow, mock.patch.object(admin_actions, "CLASSIFY_SECONDS", 0.05):
            page = self.act("classify_again", *uploads)
        self.assertContains(page, "Classified again: 1.")
        self.assertContains(page, "Not classified again: 2, because the 0.05 seconds of one go are over")

    def test_classify_again_takes_so_many_in_one_go(self):
        uploads = self.make("cup", "cup", "cup")
        with serve("espresso"), mock.patch.object(admin_actions, "CLASSIFY_LIMIT", 2):
            page = self.act("classify_again", *uploads)
        self.assertContains(page, "Classified again: 2.")
        self.assertContains(page, "Not classified again: 1, because no more than 2 are in one go.")

    def export(self, *uploads):
        response = self.act("export_csv", *uploads)
        self.assertTrue(response.streaming)
        self.assertIn('attachment; filename="uploads-', response["Content-Disposition"])
        return list(csv.DictReader(io.StringIO(response.getvalue().decode())))

    def test_the_selection_is_exported_with_its_predictions_and_feedback(self):
        chosen, _other = upload_done("cup", 0.5, name="Tasse ä.jpg"), upload_done("moped")
        services.feedback_create(upload=chosen, label="espresso")
        [row] = self.export(chosen)
        self.assertEqual((row["id"], row["file"], row["model"]), (str(chosen.pk), "Tasse ä.jpg", "ViT-B/32"))
        self.assertEqual((row["label_1"], row["score_1"], row["score_2"]), ("cup", "0.5", "0.25"))
        self.assertEqual(row["right_label"], "espresso")

    def test_no_cell_is_a_formula(self):
        names = ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", " =1", "＝1+1"]
        uploads = [upload_done('=HYPERLINK("x")', name=name) for name in names] + [
            upload_done("", None, status="failed")
        ]
        rows = self.export(*uploads)
        self.assertEqual({row["file"] for row in rows}, {f"'{name}" for name in names} | {"a.jpg"})
        self.assertEqual({row["label_1"] for row in rows}, {'\'=HYPERLINK("x")', ""})

    def test_an_export_reads_no_picture_and_asks_no_more_for_more(self):
        def queries(*uploads):
            with CaptureQueriesContext(connection) as queries:
                self.export(*uploads)
            return [query["sql"] for query in queries]

        fill(30)
        one, thirty = queries(Upload.objects.first()), queries(*Upload.objects.all())
        self.assertEqual(len(one), len(thirty))
        self.assertFalse([sql for sql in thirty if '"image"' in sql])

    def test_delete_asks_first_and_goes_through_the_service(self):
        uploads = self.make("cup", "espresso")
        page = self.act("delete_selected", uploads[0])
        self.assertContains(page, "Are you sure")
        self.assertEqual(Upload.objects.count(), 2)
        some = mock.patch("classifier.services.uploads_delete", wraps=services.uploads_delete)
        one = mock.patch("classifier.services.upload_delete", wraps=services.upload_delete)
        with some as deleted_some, one as deleted_one:
            self.act("delete_selected", uploads[0], post="yes")
            self.client.post(reverse("admin:classifier_upload_delete", args=[uploads[1].pk]), {"post": "yes"})
        deleted_some.assert_called_once()
        deleted_one.assert_called_once()
        self.assertFalse(Upload.objects.exists() or Classification.objects.exists() or Prediction.objects.exists())

    def test_too_many_are_not_deleted(self):
        uploads = self.make("cup", "cup")
        with mock.patch.object(admin_actions, "DELETE_LIMIT", 1):
            self.assertContains(self.act("delete_selected", *uploads, post="yes"), "Nothing was deleted")
        self.assertEqual(Upload.objects.count(), 2)


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
                self.assertAlmostEqual(admin_summary.percentile(values, share), cursor.fetchone()[0])

    def test_it_reads_a_bounded_number_of_rows(self):
        fill(8, days=2)
        with mock.patch.object(admin_summary, "ROWS", 3):
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
