"""The figures of the admin's summary page and the geometry of its charts.

Two queries, each over the newest rows only and along an index by date, so that the page costs the same with a hundred
thousand uploads as with ten thousand. What they return is counted here, the same on both databases.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from classifier.admin.said import Said, said_make
from classifier.models import Classification, Status, Upload

DAYS = 30  # today included
ROWS = 10_000  # newest uploads and newest runs that are looked at
TOP = 10  # labels
COLUMN = 20  # units of the day chart's viewBox from one day to the next


class Run(NamedTuple):
    """What is read of one classification."""

    created: datetime
    status: str
    model: str
    precision: str
    decode: float | None  # seconds
    predict: float | None  # seconds


@dataclass(frozen=True)
class Bar:
    """One bar of a chart."""

    name: str | date
    value: float
    length: float  # percent of the longest
    x: int = 0

    @property
    def y(self) -> float:
        """Where a column of this length begins, from the top."""
        return 100 - self.length


@dataclass(frozen=True)
class Figures:
    """What became of some runs and how long they took; percentiles in milliseconds, None where nothing was timed."""

    name: str
    runs: int
    failed: int
    decode_p50: float | None
    decode_p95: float | None
    predict_p50: float | None
    predict_p95: float | None

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.runs if self.runs else 0.0


@dataclass(frozen=True)
class Summary:
    """All that the page shows."""

    since: datetime  # the beginning of the period, or the oldest row that was looked at
    cut: bool  # the period has more rows than are looked at
    uploads: int
    total: Figures
    models: list[Figures]  # most runs first
    slowest: float  # the longest predict_p95, which the times of all models are drawn to
    days: list[Bar]
    labels: list[Bar]
    said: Said  # by visitors

    @property
    def busiest(self) -> float:
        return max(day.value for day in self.days)


def summary_make() -> Summary:
    """Figures of the last DAYS days, or of the newest ROWS rows where there are more."""
    today = timezone.localdate()
    begin = timezone.make_aware(datetime.combine(today - timedelta(days=DAYS - 1), time.min))
    uploads = list(_newest(Upload.objects.filter(created__gte=begin), "created", "top_label"))
    fields = ("created", "status", "model", "precision", "seconds_decode", "seconds_predict")
    runs = [Run(*row) for row in _newest(Classification.objects.filter(created__gte=begin), *fields)]
    ends = [found[-1][0] for found in (uploads, runs) if len(found) == ROWS]
    models = _figures_by_model(runs)
    return Summary(
        since=max([begin, *ends]),
        cut=bool(ends),
        uploads=len(uploads),
        total=figures("All models", runs),
        models=models,
        slowest=max((model.predict_p95 or 0 for model in models), default=0),
        days=_day_bars(Counter(created.astimezone(begin.tzinfo).date() for created, _ in uploads), today),
        labels=_bars(Counter(label for _, label in uploads if label).most_common(TOP)),
        said=said_make(),
    )


def figures(name: str, runs: Sequence[Run]) -> Figures:
    decode = sorted(1000 * run.decode for run in runs if run.decode is not None)
    predict = sorted(1000 * run.predict for run in runs if run.predict is not None)
    return Figures(
        name=name,
        runs=len(runs),
        failed=sum(run.status == Status.FAILED for run in runs),
        decode_p50=percentile(decode, 0.5),
        decode_p95=percentile(decode, 0.95),
        predict_p50=percentile(predict, 0.5),
        predict_p95=percentile(predict, 0.95),
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Of sorted values, between the two nearest where it falls between them, as PostgreSQL's percentile_cont has it."""
    if not values:
        return None
    below, beyond = divmod(share * (len(values) - 1), 1)
    low, high = values[int(below)], values[min(int(below) + 1, len(values) - 1)]
    return low + beyond * (high - low)


def _newest(rows: QuerySet, *fields: str) -> QuerySet:
    return rows.order_by("-created", "-id").values_list(*fields)[:ROWS]


def _figures_by_model(runs: Iterable[Run]) -> list[Figures]:
    by_model: dict[str, list[Run]] = {}
    for run in runs:
        by_model.setdefault(f"{run.model or 'no model'}, {run.precision}".rstrip(", "), []).append(run)
    return sorted((figures(name, some) for name, some in by_model.items()), key=lambda found: -found.runs)


def _day_bars(counts: Counter[date], today: date) -> list[Bar]:
    days = [today - timedelta(days=DAYS - 1 - number) for number in range(DAYS)]
    bars = _bars((day, counts[day]) for day in days)
    return [Bar(bar.name, bar.value, bar.length, x=COLUMN * number) for number, bar in enumerate(bars)]


def _bars(rows: Iterable[tuple[str | date, float]]) -> list[Bar]:
    rows = list(rows)
    longest = max((value for _, value in rows), default=0)
    return [Bar(name, value, 100 * value / longest if longest else 0) for name, value in rows]
