"""What is in a history at a glance: how many pictures, of which labels, from which months."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Count
from django.db.models.functions import TruncMonth

from classifier.models import UploadQuerySet


@dataclass(frozen=True)
class Month:
    """A month, UTC, and how many pictures are from it."""

    first: datetime
    count: int

    @property
    def end(self) -> datetime:
        """When the next month begins."""
        year, month = divmod(12 * self.first.year + self.first.month, 12)
        return datetime(year, month + 1, 1, tzinfo=UTC)


def labels_by_count(uploads: UploadQuerySet) -> list[tuple[str, int]]:
    """Top labels and how many pictures have each, the most first."""
    named = uploads.exclude(top_label="").order_by()
    rows = named.values_list("top_label").annotate(count=Count("pk")).order_by("-count", "top_label")
    return [(label, count) for label, count in rows]


def months(uploads: UploadQuerySet) -> list[Month]:
    """The months that have pictures, the newest first."""
    rows = uploads.order_by().annotate(month=TruncMonth("created", tzinfo=UTC)).values_list("month")
    return [Month(first, count) for first, count in rows.annotate(count=Count("pk")).order_by("-month")]
