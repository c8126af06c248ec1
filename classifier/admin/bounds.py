"""What keeps the admin's list of uploads quick however many there are.

Django's own list counts every row, offers every distinct value of a filter and every month that has a row, and each of
those reads the whole table. These read the ends of an index, or a bounded part of one.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property

from django.contrib.admin import AllValuesFieldListFilter
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db import connection, models
from django.utils import timezone
from django.utils.formats import date_format

from classifier.models import Upload

COUNT_LIMIT = 10_000  # rows; older ones are reached by date, filter or search
VALUES_LIMIT = 50  # choices of one filter
PERIODS = ("year", "month", "day")
SHEET = "sheet"  # the parameter that draws pictures instead of rows


class AtLeast(int):
    """A number that was not counted to its end."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(Paginator):
    """Counts to COUNT_LIMIT and no further, and has no pages beyond."""

    @cached_property
    def count(self) -> int:
        counted = count_bounded(self.object_list, COUNT_LIMIT)
        return AtLeast(COUNT_LIMIT) if counted > COUNT_LIMIT else counted


def count_bounded(queryset: models.QuerySet, limit: int) -> int:
    """How many rows there are, or limit + 1 where there are more than `limit`.

    In the list's order, so that PostgreSQL walks the index that the list does, which has no rows but those.
    """
    return queryset[: limit + 1].count()


class IndexedValuesFilter(AllValuesFieldListFilter):
    """Offers the values of an indexed column of uploads."""

    def __init__(self, field: models.Field, *arguments: object, **options: object) -> None:
        super().__init__(field, *arguments, **options)
        self.lookup_choices = [value for value in distinct_values(field) if value]


def distinct_values(field: models.Field, limit: int = VALUES_LIMIT) -> list[str]:
    """The first distinct values of a column, hopping from one to the next along its index.

    Neither database does that for SELECT DISTINCT. https://wiki.postgresql.org/wiki/Loose_indexscan
    """
    quote = connection.ops.quote_name
    table, column = quote(field.model._meta.db_table), quote(field.column)
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE hop(value) AS (SELECT MIN({column}) FROM {table} UNION ALL"
            f" SELECT (SELECT MIN({column}) FROM {table} WHERE {column} > hop.value) FROM hop"
            f" WHERE hop.value IS NOT NULL) SELECT value FROM hop WHERE value IS NOT NULL LIMIT %s",
            [limit],
        )
        return [value for (value,) in cursor.fetchall()]


class UploadChangeList(ChangeList):
    """Adds what templates/admin/classifier/upload/change_list.html draws: calendar, contact sheet, what is filtered."""

    def get_filters_params(self, params: dict | None = None) -> dict:
        """Without the one that only says how the rows are drawn."""
        return {name: value for name, value in super().get_filters_params(params).items() if name != SHEET}

    @property
    def sheet(self) -> bool:
        return SHEET in self.params

    @property
    def ways(self) -> list[tuple[str, str, bool]]:
        """To draw it: (name, address, whether it is this one)."""
        table, sheet = self.get_query_string(remove=[SHEET]), self.get_query_string({SHEET: "1"})
        return [("List", table, not self.sheet), ("Contact sheet", sheet, self.sheet)]

    @property
    def only(self) -> list[tuple[str, str, str]]:
        """What the list is narrowed to where no filter at its side says so: (field, value, address without it)."""
        return [
            (title, value, self.get_query_string(remove=[name]))
            for name, title in (
                ("top_label__exact", "label"),
                ("right_label__exact", "right label"),
                ("owner__exact", "visitor"),
            )
            if (value := self.params.get(name))
        ]

    @cached_property
    def one_of_visitor(self) -> Upload | None:
        """An upload of the visitor whose uploads are listed."""
        return next(iter(self.result_list), None) if "owner__exact" in self.params else None

    @cached_property
    def calendar(self) -> dict | None:
        """What admin/date_hierarchy.html shows: the periods between the first and the last upload, level by level.

        Django's own tag asks for the distinct months of all rows; this lists empty ones, too, and asks for two rows.
        """
        created = Upload.objects.values_list("created", flat=True)
        first, last = created.order_by("created", "id").first(), created.order_by("-created", "-id").first()
        if first is None:
            return None
        first, last = timezone.localdate(first), timezone.localdate(last)
        chosen = [int(self.params[f"created__{part}"]) for part in PERIODS if f"created__{part}" in self.params]
        shown = chosen or ([first.year] if first.year == last.year else [])
        choices = [
            {"title": _period_title(period), "link": self._period_link(period) if len(chosen) < 3 else None}
            for period in _periods_within(shown, first, last)
        ]
        up = {"title": _period_title(chosen[:-1]), "link": self._period_link(chosen[:-1])} if chosen else None
        return {"show": True, "back": up, "choices": choices}

    def _period_link(self, period: Sequence[int]) -> str:
        wanted = {f"created__{part}": number for part, number in zip(PERIODS, period, strict=False)}
        return self.get_query_string(wanted, remove=["created__"])


def _periods_within(period: Sequence[int], first: date, last: date) -> list[tuple[int, ...]]:
    """The years of all time, the months of a year, the days of a month, or the day itself."""
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    wanted = [(day.year, day.month, day.day) for day in days]
    depth = len(period)
    inside = {day[: depth + 1] for day in wanted if day[:depth] == tuple(period)}
    return sorted(inside) or [tuple(period)]


def _period_title(period: Sequence[int]) -> str:
    if not period:
        return "All dates"
    formats = ["Y", "F Y", "F j"]
    return date_format(date(*period, *[1] * (3 - len(period))), formats[len(period) - 1])
