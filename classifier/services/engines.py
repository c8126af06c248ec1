"""The model of this process: which one, whether it is there, and whether this process can answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection

from classifier import engine
from classifier.errors import ClassifierError, ModelUnavailable, StorageFull
from classifier.logs import line
from classifier.services.storage import database_probe, database_trouble, storage_check

logger = logging.getLogger(__name__)


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
        activation=settings.CLIP_ACTIVATION,
    )


def engine_get() -> engine.Engine:
    """The engine of this process, loaded at the first call. Raises `ModelUnavailable`."""
    try:
        loaded = engine.get_engine(engine_config())
    except ModelUnavailable:
        _away.add(settings.CLIP_MODEL_DIR / settings.CLIP_MODEL)
        raise
    _away.discard(settings.CLIP_MODEL_DIR / settings.CLIP_MODEL)
    return loaded


_away: set[Path] = set()


def model_away() -> bool:
    """Whether the model could not be loaded when that was last tried. Takes no time; False before the first try."""
    return settings.CLIP_MODEL_DIR / settings.CLIP_MODEL in _away


def model_info() -> engine.ModelInfo | None:
    """What this process serves with; None while there is no model to load. Loads it where that has not happened."""
    try:
        return engine_get().info
    except ClassifierError:
        return None


@dataclass(frozen=True)
class Readiness:
    """Whether this process can answer, and why not."""

    model: str
    database: str
    storage: str = "ok"  # room for more pictures; without, what is there is served and classified without being kept
    precision: str = ""  # in which the model computes: "int8, 5 of 48 layers float16"

    @property
    def ok(self) -> bool:
        return self.model == self.database == "ok"


def readiness() -> Readiness:
    """Ask the model (loading it where that has not happened) and the database."""
    precision, database, storage = "", "ok", "ok"
    try:
        model, precision = "ok", engine_get().info.arithmetic
    except ClassifierError as error:
        model = str(error)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        database_probe()
        storage_check()
    except StorageFull as full:
        storage = str(full)
    except DatabaseError as error:
        trouble = database_trouble(error)
        logger.error("%s", line(event=trouble.code if trouble else "database_unreachable", error=error))
        database = str(trouble) if trouble else "The database does not answer."
    return Readiness(model=model, database=database, precision=precision, storage=storage)
