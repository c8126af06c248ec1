"""What `evaluate` says: lines for a terminal, rows for a spreadsheet, a page with the pictures that went wrong."""

from __future__ import annotations

import base64
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.template.loader import render_to_string

from classifier.engine import ModelInfo
from classifier.http.exports import cell_safe
from classifier.services.evaluation import TOP, Graded, Grades, agreement
from classifier.services.finding import name_escaped
from classifier.services.intervals import wilson

CONFUSIONS, WORST, WRONG = 30, 20, 60  # on the page
THUMBNAIL = 112  # pixels


@dataclass(frozen=True)
class Round:
    """One model over all pictures."""

    info: ModelInfo
    grades: Grades
    seconds: float
    status: int

    @property
    def name(self) -> str:
        return f"{self.info.model}, {self.info.precision}"

    @property
    def shares(self) -> list[tuple[str, str, str]]:
        """(what, share, its interval), as they are printed."""
        count, rows = self.grades.count, []
        for top in (1, TOP):
            right = self.grades.right(top)
            low, high = wilson(right, count)
            rows.append((f"top-{top}", f"{right / count:.2%}", f"{low:.2%} to {high:.2%}"))
        return [*rows, ("mean per class", f"{self.grades.mean_per_class():.2%}", "")]


def lines(found: Round, worst: int) -> Iterator[str]:
    grades, classes = found.grades, len(found.grades.classes())
    yield f"{found.name}: {grades.count:,} pictures of {classes:,} classes, {len(grades.head.labels):,} ranked"
    for what, share, interval in found.shares:
        yield f"{what:15}{share:>7}" + (f"  ({interval})" if interval else "")
    if grades.doubles_seen:
        top1, top5 = grades.right_apart()
        yield (
            "Classes whose names are one text to CLIP (missile, sunglasses) count as one; counted apart, as OpenAI's "
            f"notebook does: top-1 {top1 / grades.count:.2%}, top-5 {top5 / grades.count:.2%}"
        )
    for label, share, count, taken in grades.worst(worst):
        yield f"  {share:6.1%}  {label}, {count} (taken for: {', '.join(f'{name} {n}' for name, n in taken)})"


def agreements(rounds: Sequence[Round]) -> Iterator[str]:
    """How often each two models took a picture for the same."""
    for number, one in enumerate(rounds):
        for other in rounds[number + 1 :]:
            yield f"{one.name} and {other.name} agree on {agreement(one.grades, other.grades):.2%}"


def csv_write(path: Path, rounds: Sequence[Round]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        ranks = [f"taken_{rank}" for rank in range(1, TOP + 1)]
        writer.writerow(["path", "model", "precision", "label", "top_1", "top_5", "score", *ranks])
        for found in rounds:
            labels = found.grades.head.labels
            for each in found.grades.graded:
                facts = [name_escaped(each.name), found.info.model, found.info.precision, labels[each.truth]]
                right = [int(each.truth in each.taken[:top]) for top in (1, TOP)]
                writer.writerow(map(cell_safe, [*facts, *right, each.score, *(labels[k] for k in each.taken)]))


def report_write(path: Path, rounds: Sequence[Round], worst: int) -> None:
    """A page of its own: no script, no other file."""
    sections = [
        {
            "name": found.name,
            "worst": [
                (label, f"{share:.0%}", count, ", ".join(f"{name} {n}" for name, n in taken))
                for label, share, count, taken in found.grades.worst(max(worst, WORST))
            ],
            "confusions": found.grades.confusions(CONFUSIONS),
            "wrong": [_wrong(each, found.grades) for each in found.grades.wrong(WRONG)],
            "wrong_count": found.grades.count - found.grades.right(1),
        }
        for found in rounds
    ]
    facts = {
        "rounds": rounds,
        "doubles": any(found.grades.doubles_seen for found in rounds),
        "agreed": list(agreements(rounds)),
        "sections": sections,
    }
    page = render_to_string("evaluation.html", facts)
    path.write_text(page, encoding="utf-8")


def _wrong(each: Graded, grades: Grades) -> dict[str, object]:
    labels = grades.head.labels
    return {
        "name": name_escaped(each.name),
        "label": labels[each.truth],
        "taken": labels[each.taken[0]],
        "score": f"{each.score:.0%}",
        "thumbnail": _thumbnail(each.name),
    }


def _thumbnail(name: str) -> str:
    """A data address of the picture, small."""
    from classifier.pictures import reading

    with open(name, "rb") as file:
        limits = {"max_bytes": 1 << 40, "max_pixels": 10**9, "shorter": 2 * THUMBNAIL}
        with reading.picture_open(file, **limits) as picture:
            jpeg = reading.picture_to_jpeg(picture.image, THUMBNAIL)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
