"""What is in a history at a glance: how many pictures, of which labels, from which months."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Count, F, Value
from django.db.models.functions import Coalesce, NullIf, TruncMonth

from classifier.models import UploadQuerySet

LABEL_SHOWN = Coalesce(NullIf(F("right_label"), Value("")), F("top_label"))


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
    """Labels, the right one where its owner said so, and how many pictures have each, the most first."""
    named = uploads.exclude(top_label="").order_by().annotate(shown=LABEL_SHOWN)
    rows = named.values_list("shown").annotate(count=Count("pk")).order_by("-count", "shown")
    return [(label, count) for label, count in rows]


def months(uploads: UploadQuerySet) -> list[Month]:
    """The months that have pictures, the newest first."""
    rows = uploads.order_by().annotate(month=TruncMonth("created", tzinfo=UTC)).values_list("month")
    return [Month(first, count) for first, count in rows.annotate(count=Count("pk")).order_by("-month")]
