"""What an owner said of a picture, repeated on the upload, where lists show, filter and search it."""

from __future__ import annotations

from collections.abc import Sequence

from classifier.models import Classification, Feedback, Upload, Verdict
from classifier.services.labels import CUSTOM
from classifier.words import words_of


def verdict_on(*, upload: Upload, run: Classification, labels: Sequence[str], heard: bool) -> dict[str, str]:
    """The fields that repeat it, for a run that found `labels`, the likeliest first; `heard` if anything can be said.

    What was said over one set of labels says nothing of a run over another.
    """
    said = Feedback.objects.filter(upload=upload, label_set=run.label_set).first() if labels and heard else None
    return _fields(said, upload.name, labels)


def feedback_repeat(feedback: Feedback, upload: Upload) -> None:
    """Right after it was said, of the run that the upload repeats."""
    Upload.objects.filter(pk=upload.pk).update(**_fields(feedback, upload.name, [upload.top_label]))


def _fields(said: Feedback | None, name: str, labels: Sequence[str]) -> dict[str, str]:
    top, verdict, right = labels[0] if labels else "", "", ""
    if said and (said.label_set != CUSTOM or said.predicted == top or said.label in labels):
        right = said.label
        if said.label:
            verdict = Verdict.RIGHT if said.label == top else Verdict.WRONG
        elif said.predicted == top:  # another one is not known to be wrong
            verdict = Verdict.WRONG
    return {"verdict": verdict, "right_label": right, "words": words_of(name, *dict.fromkeys([top, right]))}
