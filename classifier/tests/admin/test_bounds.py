"""The admin's list stays quick however many uploads there are."""

from datetime import timedelta
from unittest import mock

from django.db import connection
from django.urls import reverse
from django.utils import timezone

from classifier.admin import bounds, summary
from classifier.models import ApiKey, Upload
from classifier.tests.admin.test_uploads import LIST, AdminTests
from classifier.tests.synthetic import BUSY_OWNER, fill


class ManyUploadsTests(AdminTests):
    """No query of a page looks at more rows than a few times what it shows or counts to.

    The limits are lowered in proportion: these uploads stand for a hundred thousand and more.
    """

    UPLOADS, LIMIT = 5000, 500

    @classmethod
    def setUpTestData(cls):
        super().setUpTestData()
        fill(cls.UPLOADS, days=400)
        cls.key = ApiKey.objects.create(name="robot", prefix="r", token_hash="h").pk
        some = Upload.objects.filter(owner=BUSY_OWNER).values("pk")[:60]
        Upload.objects.filter(pk__in=some).update(verdict="wrong", right_label="kite", fits=False, api_key=cls.key)
        Upload.objects.filter(fits=None, status="done").update(fits=True)

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
            f"{LIST}?feedback=wrong",
            f"{LIST}?feedback=none",
            f"{LIST}?score=90",
            f"{LIST}?score=0",
            f"{LIST}?score=50&o=7",
            f"{LIST}?score=90&feedback=wrong",
            f"{LIST}?fits=0",
            f"{LIST}?fits=1",
            f"{LIST}?owner__exact={BUSY_OWNER}",
            f"{LIST}?sheet=1",
            f"{LIST}?key={self.key}",
            f"{LIST}?q=zebra",
            f"{LIST}?q=1500",
            reverse("admin:classifier_upload_change", args=[Upload.objects.first().pk]),
            reverse("admin:classifier_upload_summary"),
        ]

    def test_many_are_counted_to_a_limit(self):
        with mock.patch.object(bounds, "COUNT_LIMIT", 30):
            page = self.client.get(LIST)
            self.assertContains(page, "30+ uploads")
            self.assertEqual(page.context["cl"].paginator.num_pages, 1)

    def test_no_query_looks_at_the_whole_table(self):
        few = mock.patch.object(bounds, "COUNT_LIMIT", self.LIMIT)
        with few, mock.patch.object(summary, "ROWS", self.LIMIT):
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
