"""One run of a model over an upload: begun, computed, and ended with its predictions. Services alone call this."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from classifier.errors import ClassifierError, Gone
from classifier.logs import note
from classifier.models import Classification, Prediction, Upload
from classifier.services.embeddings import embedding_save
from classifier.services.feedback import verdict_on
from classifier.services.fit import fits_well
from classifier.services.rows import row_hold, upload_lock
from classifier.services.statements import row_insert, row_update, rows_insert

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier import engine
    from classifier.pictures.crop import Crop
    from classifier.services.heads import Choice

logger = logging.getLogger(__name__)

RUN_SECONDS = 60  # after which a run that has not ended never will
IMAGENET_TEMPLATES = "OpenAI's 80 ImageNet templates"


def run_start(
    *, upload: Upload, loaded: engine.Engine, choice: Choice, seconds_decode: float, square: Crop | None = None
) -> Classification:
    """Store that a run has begun; the caller's transaction makes it one with its upload, which is locked or new.

    A new upload, by `upload_make`, is stored after its run, whose foreign key is checked at the commit: so it is
    written once and says at once what its run says. A set that was deleted meanwhile leaves its name and its templates.
    """
    saved_set = choice.saved_set if choice.saved_set and row_hold(choice.saved_set) else None
    run = Classification(
        upload=upload,
        model=loaded.info.model,
        precision=loaded.info.precision,
        weights_sha256=loaded.info.weights_sha256,
        label_set=choice.name,
        saved_set=saved_set,
        templates="" if loaded.info.standin else "\n".join(choice.templates) or IMAGENET_TEMPLATES,
        seconds_decode=seconds_decode,
        square=square and {"x": round(square.left), "y": round(square.top), "side": round(square.width)},
    )
    row_insert(run)
    if upload._state.adding:
        _say(upload, _found(run, heard=False) | {"latest": run})
        row_insert(upload)
    else:
        found = _found(run, heard=True) | {"latest": run}
        if row_update(upload, found):
            _say(upload, found)
    return run


def upload_repeat(run: Classification, *ranked: engine.Ranked, heard: bool = True) -> bool:
    """Repeat on the upload what its newest run says; whether it did: a run that another overtook changes nothing."""
    found = _found(run, *ranked, heard=heard)
    repeated = row_update(run.upload, found, latest=run)
    if repeated:
        _say(run.upload, found)
    return repeated


def _say(upload: Upload, found: Mapping[str, object]) -> None:
    for field, value in found.items():
        setattr(upload, field, value)


def _found(run: Classification, *ranked: engine.Ranked, heard: bool) -> dict[str, object]:
    """What an upload says of its newest run, by field."""
    upload, top = run.upload, ranked[0] if ranked else None
    return {
        "status": run.status,
        "model": run.model,
        "label_set": run.label_set,
        "top_label": top.label if top else "",
        "top_score": top.score if top else None,
        "fits": fits_well(model=run.model, score=top.score, similarity=top.similarity) if top else None,
        **verdict_on(upload=upload, run=run, labels=[each.label for each in ranked], heard=heard),
    }


@dataclass(frozen=True)
class Outcome:
    """How a prediction went."""

    answer: engine.Answer | None
    reason: str
    seconds: float


def predict(loaded: engine.Engine, picture: Image, head: engine.Head | None, top: int) -> Outcome:
    """Classify an upright RGB picture."""
    return attempt(lambda: loaded.classify(picture, head, top))


def attempt(answer: Callable[[], engine.Answer]) -> Outcome:
    """Whatever goes wrong inside becomes the outcome's reason."""
    started = time.perf_counter()
    try:
        found, reason = answer(), ""
    except Exception as error:  # whatever went wrong inside: the upload was accepted and must say so
        logger.exception("event=classify_failed")
        found, reason = None, str(error) if isinstance(error, ClassifierError) else f"{type(error).__name__}: {error}"
    return Outcome(found, reason, time.perf_counter() - started)


def run_finish(*, run: Classification, outcome: Outcome, first: bool = False) -> None:
    """Store how a run ended, its predictions and its embedding, in one transaction.

    Of an upload's `first` run nobody can have said anything, which saves asking.

    Raises `Gone` where the upload was deleted meanwhile.
    """
    note(
        upload=run.upload_id,
        model=run.model,
        precision=run.precision,
        decode_ms=1000 * (run.seconds_decode or 0),
        predict_ms=1000 * outcome.seconds,
    )
    answer = outcome.answer
    if answer is None:
        run.status = Classification.Status.FAILED
        run.reason = outcome.reason
        with transaction.atomic():
            upload_lock(run.upload_id)
            run.save(update_fields=["status", "reason"])
            upload_repeat(run)
        return
    run.seconds_predict = outcome.seconds
    run.status = Classification.Status.DONE
    with transaction.atomic():
        if not (first and upload_repeat(run, *answer.predictions, heard=False)):  # which locks the row as well
            upload_lock(run.upload_id)
            upload_repeat(run, *answer.predictions)
        row_update(run, {"status": run.status, "seconds_predict": run.seconds_predict})
        rows_insert([_prediction(run, ranked) for ranked in answer.predictions])
        if answer.embedding is not None:
            embedding_save(upload=run.upload, weights_sha256=run.weights_sha256, embedding=answer.embedding)


def _prediction(run: Classification, ranked: engine.Ranked) -> Prediction:
    return Prediction(
        classification=run,
        rank=ranked.rank,
        label=ranked.label,
        index=ranked.index,
        score=ranked.score,
        similarity=ranked.similarity,
    )


def runs_expire() -> int:
    """Mark runs as failed that a server began and never ended: it was killed. They can be run again. Returns how many.

    No run takes nearly as long as `RUN_SECONDS`; younger ones may be another server's.
    """
    left = timezone.now() - timedelta(seconds=RUN_SECONDS)
    runs = Classification.objects.filter(status=Classification.Status.RUNNING, created__lt=left)
    count = sum(_run_expire(run) for run in runs.select_related("upload")[:1000])
    if count:
        logger.warning("event=runs_expired count=%d", count)
    return count


def _run_expire(run: Classification) -> bool:
    """Whether it is given up: it may have ended, or its upload be gone, since it was found."""
    reason = "The server stopped while it looked at this picture."
    with suppress(Gone), transaction.atomic():
        upload_lock(run.upload_id)
        running = Classification.objects.filter(pk=run.pk, status=Classification.Status.RUNNING)
        if running.update(status=Classification.Status.FAILED, reason=reason):
            run.status = Classification.Status.FAILED
            upload_repeat(run)
            return True
    return False
