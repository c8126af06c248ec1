"""What a saved set has learnt, in figures: how often it was right without and with its examples."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F

from classifier.errors import ModelUnavailable
from classifier.models import LabelAdapter, LabelExample, LabelSet
from classifier.services import engines
from classifier.services.intervals import wilson


@dataclass(frozen=True)
class Learned:
    """Right answers among `examples` by leave-one-out, each with its 95 % interval, as shares from 0 to 1."""

    examples: int
    before: float
    after: float
    before_interval: tuple[float, float]
    after_interval: tuple[float, float]
    used: bool

    @property
    def summary(self) -> str:
        """One sentence for staff and visitors."""
        figures = f"{_percent(self.before, self.before_interval)} right by the words alone"
        if self.used:
            return (
                f"{figures}, {_percent(self.after, self.after_interval)} with {self.examples} examples: they are used."
            )
        return f"{figures}, and {self.examples} examples would not make it better: they are not used."


def learned_of(*, label_set: LabelSet) -> Learned | None:
    """With the model that runs here; None where there are too few examples, or none was looked at yet."""
    return learned_by_set().get(label_set.pk)


def learned_by_set() -> dict[int, Learned]:
    """By set, of those that have learnt with the labels that they have now; one query for all."""
    try:
        sha256 = engines.engine_get().info.weights_sha256
    except ModelUnavailable:
        return {}
    rows = LabelAdapter.objects.filter(weights_sha256=sha256, digest=F("label_set__digest")).defer("keys", "places")
    return {row.label_set_id: _learned(row) for row in rows}


def _learned(row: LabelAdapter) -> Learned:
    return Learned(
        examples=row.examples,
        before=row.before / row.examples,
        after=row.after / row.examples,
        before_interval=wilson(row.before, row.examples),
        after_interval=wilson(row.after, row.examples),
        used=row.helps,
    )


def examples_by_label(*, label_set: LabelSet) -> dict[str, int]:
    """How many examples each label has, the most first; labels without any do not appear."""
    rows = LabelExample.objects.filter(label_set=label_set).values("label").annotate(count=Count("pk"))
    return {row["label"]: row["count"] for row in rows.order_by("-count", "label")}


def _percent(share: float, bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
