"""What a server does beside answering: load the model at the start, and look after the records while it lives."""

import logging
import threading
import time
from importlib import import_module

from django.conf import settings
from django.db import DatabaseError, connection

from classifier.capacity.resident import trim
from classifier.errors import ClassifierError, ModelUnavailable
from classifier.logs import line
from classifier.services import batch_work, batches, engines, examples, label_sets, memory, runs, uploads

logger = logging.getLogger(__name__)

TICK_SECONDS = 60
SWEEP_SECONDS = 3600

_swept = float("-inf")


def start() -> None:
    """Load the model, so that /readyz turns 200 by itself. One that cannot be loaded is tried again by requests."""
    started = time.perf_counter()
    try:
        loaded = engines.engine_get()
        memory.memory_share(loaded)
    except ClassifierError as error:
        logger.error("%s", line(event="model_unavailable", reason=error))
        return
    except Exception:
        logger.exception("event=model_failed")
        return
    logger.info(
        "%s",
        line(
            event="model_loaded",
            model=loaded.info.model,
            precision=loaded.info.precision,
            ms=1000 * (time.perf_counter() - started),
        ),
    )


def tick() -> None:
    """What a server does every minute beside answering."""
    try:
        runs.runs_expire()
        sweep()
        label_sets.heads_resume()
        batch_work.batches_resume()
        examples.labels_learn()
        if engines.model_away():
            memory.memory_share(engines.engine_get())  # it may have been prepared meanwhile
    except DatabaseError as error:
        logger.warning("%s", line(event="database_unreachable", error=error))
    except ModelUnavailable:
        pass  # `start` has said so
    finally:
        connection.close()
    trim()


def sweep() -> None:
    """Once an hour: sessions past their end, and pictures past the days that pages promise they are kept."""
    global _swept
    if time.monotonic() - _swept < SWEEP_SECONDS:
        return
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    batch_work.tasks_prune()
    if settings.UPLOAD_RETENTION_DAYS:
        batches.batches_expired(days=settings.UPLOAD_RETENTION_DAYS).delete()
        expired = uploads.uploads_expired(days=settings.UPLOAD_RETENTION_DAYS)
        if count := uploads.uploads_delete(uploads=expired):
            logger.info("%s", line(event="uploads_purged", count=count, days=settings.UPLOAD_RETENTION_DAYS))
    _swept = time.monotonic()


def run() -> None:
    """Never returns; for a thread that dies with the process."""
    start()
    if settings.BATCHES_IN_WEB:
        threading.Thread(target=batch_work.run_between_uploads, name="batches", daemon=True).start()
    while True:
        tick()
        time.sleep(TICK_SECONDS)
