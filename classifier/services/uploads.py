"""What can be done with uploads, and the only place that writes them. Interfaces parse, call one and answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from classifier import engine
from classifier.capacity import admission
from classifier.errors import KeyWithdrawn
from classifier.logs import note
from classifier.models import ApiKey, Classification, Feedback, Upload, UploadQuerySet
from classifier.services import engines, examples
from classifier.services.embeddings import embedding_load
from classifier.services.feedback import feedback_repeat
from classifier.services.heads import IMAGENET_CHOICE, Choice, head_obtain
from classifier.services.keeping import Kept, picture_keep, upload_make
from classifier.services.rows import deadlocks_retried, row_hold, upload_jpeg, upload_lock, uploads_lock
from classifier.services.runs import attempt, predict, run_finish, run_start
from classifier.services.storage import storage_add, storage_add_run, storage_check

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.pictures.decoding import Picture

logger = logging.getLogger(__name__)

DELETE_AT_ONCE = 500  # uploads per statement, so that no transaction grows with the table


def upload_create(
    *,
    file: BinaryIO,
    name: str,
    owner: str,
    api_key: ApiKey | None = None,
    choice: Choice = IMAGENET_CHOICE,
    stored: Callable[[Upload], None] | None = None,
) -> Upload:
    """Check, store and classify a picture, against ImageNet's labels or others.

    `keys.upload_secret` of its id may delete it.

    The upload is stored before it is classified, so that a crash in between leaves a record that can be run again;
    the run's end and its five predictions are stored in one transaction. `stored` is called in the first's, with it.

    Raises `ImageError` for a file that cannot be used, `ModelUnavailable` where there is no model, and what
    `head_obtain` raises for labels that cannot be used; nothing is stored then, nor on `Busy`. A classification that
    fails after that leaves the upload as failed, with the reason. `StorageFull` where there is no
    room, `Gone` where it is deleted meanwhile.
    """

    loaded = engines.engine_get()
    storage_check()
    with admission.slot() as compute:
        head, choice = head_obtain(loaded, choice, compute)
        decoded = compute(_decode, loaded, file)
        with transaction.atomic():
            if api_key and not row_hold(api_key):
                raise KeyWithdrawn("This API key was withdrawn meanwhile.")
            upload = upload_make(kept=decoded.kept, name=name, owner=owner, api_key=api_key)
            run = run_start(upload=upload, loaded=loaded, choice=choice, seconds_decode=decoded.seconds)
            if stored:
                stored(upload)
        storage_add(len(decoded.kept.jpeg))
        outcome = compute(predict, loaded, decoded.seen, head, choice.top)
    run_finish(run=run, outcome=outcome, first=True)
    return upload


def upload_classify(*, upload: Upload, choice: Choice = IMAGENET_CHOICE) -> Classification:
    """Classify a stored upload again, from the picture that was kept.

    Raises `ModelUnavailable`, `Busy`, `StorageFull`, and `Gone` where it was deleted.
    """
    from classifier.pictures import reading

    loaded = engines.engine_get()
    storage_check()
    with admission.slot() as compute:
        head, choice = head_obtain(loaded, choice, compute)
        started = time.perf_counter()
        picture = compute(reading.picture_from_jpeg, upload_jpeg(upload.pk))
        with transaction.atomic():
            upload_lock(upload.pk)
            run = run_start(upload=upload, loaded=loaded, choice=choice, seconds_decode=time.perf_counter() - started)
        outcome = compute(predict, loaded, picture, head, choice.top)
    run_finish(run=run, outcome=outcome)
    storage_add_run(choice.top)
    return run


def upload_relabel(*, upload: Upload, choice: Choice) -> Classification:
    """Rank a stored upload against other labels: from its embedding where this model has seen it, which takes no time.

    Raises like `upload_classify`, and what `head_obtain` raises.
    """
    loaded = engines.engine_get()
    embedding = embedding_load(upload=upload, weights_sha256=loaded.info.weights_sha256)
    if embedding is None:
        return upload_classify(upload=upload, choice=choice)
    storage_check()
    with admission.slot() as compute:
        head, choice = head_obtain(loaded, choice, compute)
    with transaction.atomic():
        upload_lock(upload.pk)
        run = run_start(upload=upload, loaded=loaded, choice=choice, seconds_decode=0)
    answer = attempt(lambda: engine.Answer(loaded.rank_embedding(embedding, head, choice.top), None))
    run_finish(run=run, outcome=answer)
    storage_add_run(choice.top)
    return run


def picture_classify(*, file: BinaryIO, top: int = 5, choice: Choice = IMAGENET_CHOICE) -> engine.Answer:
    """Classify a picture and store nothing. Raises like `upload_create`."""
    loaded = engines.engine_get()
    with admission.slot() as compute:
        head, choice = head_obtain(loaded, choice, compute)
        started = time.perf_counter()
        seen = compute(_look, loaded, file)
        read = time.perf_counter()
        answer = compute(loaded.classify, seen, head, top)
    note(
        model=loaded.info.model,
        precision=loaded.info.precision,
        decode_ms=1000 * (read - started),
        predict_ms=1000 * (time.perf_counter() - read),
    )
    return answer


def upload_delete(*, upload: Upload) -> None:
    """Delete an upload with everything that was derived from it, whether it is there or not."""
    _some_delete(Upload.objects.filter(pk=upload.pk))


def uploads_delete(*, uploads: UploadQuerySet) -> int:
    """Delete uploads with everything that was derived from them, some at a time; returns how many there were."""
    deleted = 0
    while some := _some_delete(uploads):
        deleted += some
    return deleted


@deadlocks_retried
def _some_delete(uploads: UploadQuerySet) -> int:
    keys = uploads_lock(uploads, DELETE_AT_ONCE)
    return Upload.objects.filter(pk__in=keys).delete()[1].get("classifier.Upload", 0)


def uploads_expired(*, days: int) -> UploadQuerySet:
    """Uploads older than `days` days."""
    return Upload.objects.filter(created__lt=timezone.now() - timedelta(days=days))


def feedback_create(*, upload: Upload, label: str, index: int | None = None) -> Feedback:
    """Keep which label is right; an empty one says that the top one is not. What was said before is replaced.

    Raises `Gone`.
    """
    said = {"label": label, "index": index, "created": timezone.now()}
    with transaction.atomic():
        upload_lock(upload.pk)
        now = Upload.objects.get(pk=upload.pk)
        said |= {"predicted": now.top_label, "label_set": now.label_set, "model": now.model}
        feedback = Feedback.objects.update_or_create(upload=upload, defaults=said)[0]
        feedback_repeat(feedback, now)
        examples.correction_learn(upload=upload, label=label)
    return feedback


@dataclass(frozen=True)
class _Decoded:
    """What is kept of a file that was sent: of the picture, which may be large, no more than the model looks at."""

    seen: Image
    kept: Kept
    seconds: float


def _picture_open(file: BinaryIO) -> AbstractContextManager[Picture]:
    from classifier.pictures import reading

    limits = {"max_bytes": int(settings.MAX_UPLOAD_MB * 1e6), "max_pixels": int(settings.MAX_MEGAPIXELS * 1e6)}
    return reading.picture_open(file, **limits)


def _look(loaded: engine.Engine, file: BinaryIO) -> Image:
    """What the model sees of the picture in a file."""
    with _picture_open(file) as picture:
        return loaded.seen(picture.image)


def _decode(loaded: engine.Engine, file: BinaryIO) -> _Decoded:
    started = time.perf_counter()
    with _picture_open(file) as picture:
        seen, kept = loaded.seen(picture.image), picture_keep(picture, file)
    return _Decoded(seen, kept, time.perf_counter() - started)
