"""How often visitors say that a label was right, and what is taken for what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from classifier.models import Feedback
from classifier.services.intervals import wilson

ROWS = 10_000  # newest answers that are looked at
TOP = 15  # labels, and pairs


@dataclass(frozen=True)
class Accuracy:
    """Right answers of all; in percent with the 95 % interval."""

    name: str
    count: int
    right: int

    @property
    def percent(self) -> float:
        return 100 * self.right / self.count if self.count else 0.0

    @property
    def low(self) -> float:
        return 100 * wilson(self.right, self.count)[0]

    @property
    def high(self) -> float:
        return 100 * wilson(self.right, self.count)[1]


@dataclass(frozen=True)
class Said(Accuracy):
    """Of all labels, by label with the most answers first, and the pairs (predicted, right) most often confused."""

    labels: list[Accuracy]
    pairs: list[tuple[tuple[str, str], int]]


def said_make() -> Said:
    """Over the newest answers, of whatever labels and models: one query along an index."""
    newest = Feedback.objects.exclude(predicted="").order_by("-created", "-id")[:ROWS]
    rows = list(newest.values_list("predicted", "label"))
    answers = Counter(predicted for predicted, _ in rows)
    right = Counter(predicted for predicted, label in rows if predicted == label)
    wrong = Counter((predicted, label) for predicted, label in rows if label and predicted != label)
    return Said(
        name="All labels",
        count=len(rows),
        right=right.total(),
        labels=[Accuracy(label, number, right[label]) for label, number in answers.most_common(TOP)],
        pairs=wrong.most_common(TOP),
    )
