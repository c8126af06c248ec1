"""What can be done with uploads, and the only place that writes them. Interfaces parse, call one and answer."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass
from typing import BinaryIO

from django.conf import settings
from django.db import transaction

from . import engine
from .errors import ClassifierError, ModelUnavailable
from .models import Classification, Prediction, Upload
from .words import words_of

logger = logging.getLogger(__name__)

IMAGENET_TEMPLATES = "OpenAI's 80 ImageNet templates"


def engine_config() -> engine.Config:
    """The engine's configuration from Django's settings. The stand-in is refused in production."""
    if settings.CLIP_MODEL == "standin" and settings.ON_HEROKU and not settings.DEBUG:
        raise ModelUnavailable(
            "CLIP_MODEL is standin, which is not CLIP and not served in production. "
            "Run heroku config:unset CLIP_MODEL and push again."
        )
    return engine.Config(
        model=settings.CLIP_MODEL,
        model_dir=settings.CLIP_MODEL_DIR,
        precision=settings.CLIP_PRECISION,
        threads=settings.CLIP_THREADS,
        device=settings.CLIP_DEVICE,
        weights_url=settings.CLIP_WEIGHTS_URL,
    )


def engine_get() -> engine.Engine:
    """The engine of this process, loaded at the first call. Raises `ModelUnavailable`."""
    return engine.get_engine(engine_config())


def upload_create(*, file: BinaryIO, name: str, owner: str) -> Upload:
    """Check, store and classify a picture.

    The upload is stored before it is classified, so that a crash in between leaves a record that can be run again;
    the run's end and its five predictions are stored in one transaction.

    Raises `ImageError` for a file that cannot be used and `ModelUnavailable` where there is no model; nothing is
    stored then. A classification that fails after that leaves the upload with status failed and the reason.
    """
    from . import images

    loaded = engine_get()
    started = time.perf_counter()
    picture = images.picture_read(
        file, max_bytes=int(settings.MAX_UPLOAD_MB * 1e6), max_pixels=int(settings.MAX_MEGAPIXELS * 1e6)
    )
    jpeg = images.picture_to_jpeg(picture.image)
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    seconds_decode = time.perf_counter() - started
    with transaction.atomic():
        upload = Upload.objects.create(
            owner=owner,
            name=images.name_clean(name),
            format=picture.format,
            width=picture.width,
            height=picture.height,
            sha256=digest,
            image=jpeg,
        )
        run = _run_start(upload, loaded, seconds_decode)
    _run_finish(run, loaded, picture.image)
    return upload


def upload_classify(*, upload: Upload) -> Classification:
    """Classify a stored upload again, from the picture that was kept. Raises `ModelUnavailable`."""
    from . import images

    loaded = engine_get()
    started = time.perf_counter()
    picture = images.picture_from_jpeg(bytes(upload.image))
    with transaction.atomic():
        run = _run_start(upload, loaded, time.perf_counter() - started)
    _run_finish(run, loaded, picture)
    return run


def upload_delete(*, upload: Upload) -> None:
    """Delete an upload with everything that was derived from it."""
    upload.delete()


def _run_start(upload: Upload, loaded: engine.Engine, seconds_decode: float) -> Classification:
    run = Classification.objects.create(
        upload=upload,
        model=loaded.info.model,
        precision=loaded.info.precision,
        weights_sha256=loaded.info.weights_sha256,
        label_set="imagenet",
        templates="" if loaded.info.standin else IMAGENET_TEMPLATES,
        seconds_decode=seconds_decode,
    )
    upload.latest = run
    upload.save(update_fields=["latest"])
    _upload_repeat(run)
    return run


def _upload_repeat(run: Classification, top: engine.Ranked | None = None) -> None:
    """Repeat on the upload what its newest run says; a run that was overtaken by another changes nothing."""
    upload = run.upload
    found = {
        "status": run.status,
        "model": run.model,
        "label_set": run.label_set,
        "top_label": top.label if top else "",
        "top_score": top.score if top else None,
        "words": words_of(upload.name, top.label if top else ""),
    }
    if Upload.objects.filter(pk=upload.pk, latest=run).update(**found):
        for field, value in found.items():
            setattr(upload, field, value)


def _run_finish(run: Classification, loaded: engine.Engine, picture: object) -> None:
    started = time.perf_counter()
    try:
        answer = loaded.classify(picture)
    except Exception as error:  # whatever went wrong inside: the upload was accepted and must say so
        logger.exception("event=classify_failed upload=%s", run.upload_id)
        run.status = Classification.Status.FAILED
        run.reason = str(error) if isinstance(error, ClassifierError) else f"{type(error).__name__}: {error}"
        with transaction.atomic():
            run.save(update_fields=["status", "reason"])
            _upload_repeat(run)
        return
    run.seconds_predict = time.perf_counter() - started
    run.status = Classification.Status.DONE
    with transaction.atomic():
        run.save(update_fields=["status", "seconds_predict"])
        Prediction.objects.bulk_create(
            Prediction(
                classification=run,
                rank=ranked.rank,
                label=ranked.label,
                index=ranked.index,
                score=ranked.score,
                similarity=ranked.similarity,
            )
            for ranked in answer.predictions
        )
        _upload_repeat(run, answer.predictions[0])
    logger.info(
        "event=classified upload=%s model=%r precision=%s decode_ms=%.0f predict_ms=%.0f",
        run.upload_id, run.model, run.precision, 1000 * run.seconds_decode, 1000 * run.seconds_predict,
    )  # fmt: skip


@dataclass(frozen=True)
class Readiness:
    """Whether this process can answer, and why not."""

    model: str
    database: str

    @property
    def ok(self) -> bool:
        return self.model == self.database == "ok"


def readiness() -> Readiness:
    """Ask the model (loading it where that has not happened) and the database."""
    from django.db import DatabaseError, connection

    try:
        engine_get()
        model = "ok"
    except ClassifierError as error:
        model = str(error)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        database = "ok"
    except DatabaseError:
        logger.exception("event=database_unreachable")
        database = "The database does not answer."
    return Readiness(model=model, database=database)
