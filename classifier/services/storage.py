"""How much is stored, how much may be, and what a database that takes no more says."""

from __future__ import annotations

import threading
import time

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.db.models import Count, F, Model, QuerySet, Sum, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Length

from classifier.errors import ClassifierError, DatabaseReadOnly, StorageFull
from classifier.models import (
    Batch,
    BatchItem,
    Classification,
    IdempotentRequest,
    LabelHead,
    Occlusion,
    Prediction,
    RateLimit,
    Upload,
)

# What rows take in PostgreSQL with their indexes. An upload's: its own, a run's with five predictions, an embedding's.
ROW_BYTES = 6_000
RUN_BYTES, PREDICTION_BYTES = 600, 170  # of each further one: a picture may be ranked again and again
ITEM_BYTES = 600  # of a picture of a batch, also when nothing has become of it
OCCLUSION_BYTES = 200  # besides its numbers
REQUEST_BYTES = 3_000  # of one with an Idempotency-Key, kept for a day with its answer
SESSION_BYTES = 300  # besides what is in it: labels of one's own, for one
MEASURED_SECONDS, MEASURED_SECONDS_FULL = 60, 5  # after which it is measured again: for other servers and for deletes
PROBE = "readyz"  # the row that is written to see whether that is possible
PROBE_SECONDS = 5

DISK_FULL = ("53100",)  # https://www.postgresql.org/docs/current/errcodes-appendix.html
NO_CHANGES = ("25006", "42501")  # a read-only transaction; Heroku takes the right to insert away beyond a plan's limit


class Meter:
    """Bytes stored, measured now and then and added up in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held, self._measured = 0, float("-inf")

    def held(self, limit: int) -> int:
        with self._lock:
            fresh = MEASURED_SECONDS_FULL if self._held >= limit else MEASURED_SECONDS
            if time.monotonic() - self._measured > fresh:
                self._held, self._measured = stored_bytes(), time.monotonic()
            return self._held

    def add(self, size: int) -> None:
        with self._lock:
            self._held += size

    def forget(self) -> None:
        with self._lock:
            self._held, self._measured = 0, float("-inf")


meter = Meter()


def stored_bytes() -> int:
    """What all that visitors and programs left takes, about. A database's own size does not shrink with deletes."""
    found = Upload.objects.order_by().aggregate(
        pictures=Coalesce(Sum(Length("image")), 0), small=Coalesce(Sum(Length("image_small")), 0), rows=Count("pk")
    )
    uploads = found["pictures"] + found["small"] + ROW_BYTES * found["rows"]
    others = (
        _sum(BatchItem.objects.filter(status=BatchItem.Status.WAITING), F("size")),
        _sum(BatchItem.objects.all(), Value(ITEM_BYTES)),
        _sum(Batch.objects.all(), Length("labels")),
        _sum(Occlusion.objects.all(), Length("responses") + OCCLUSION_BYTES),
        _sum(LabelHead.objects.all(), Length("vectors")),
        _sum(IdempotentRequest.objects.all(), Value(REQUEST_BYTES)),
        _sum(Session.objects.all(), Length("session_data") + SESSION_BYTES),
    )
    return int(uploads + _runs_bytes(found["rows"]) + sum(others))


def _sum(rows: QuerySet[Model], size: Combinable) -> int:
    found: int = rows.order_by().aggregate(size=Coalesce(Sum(size), 0))["size"]
    return found


def _runs_bytes(uploads: int) -> int:
    """Of runs and predictions beyond each upload's first."""
    runs = max(0, Classification.objects.order_by().count() - uploads)
    predictions = max(0, Prediction.objects.order_by().count() - 5 * uploads)
    return RUN_BYTES * runs + PREDICTION_BYTES * predictions


def storage_check() -> None:
    """Raise `StorageFull` where MAX_STORED_MB is reached: what is kept stays, and nothing is put in its place."""
    limit = int(settings.MAX_STORED_MB * 1e6)
    if limit and meter.held(limit) >= limit:
        raise StorageFull(
            f"This server keeps {settings.MAX_STORED_MB:,.6g} MB of pictures, and they are full. Nothing was stored. "
            "There is room again once some are deleted."
        )


def storage_add(size: int) -> None:
    """Count a picture of so many bytes, which has just been stored."""
    meter.add(size + ROW_BYTES)


def storage_add_run(predictions: int) -> None:
    """Count a run that has just been stored over a picture that was there."""
    meter.add(RUN_BYTES + PREDICTION_BYTES * predictions)


def database_trouble(error: DatabaseError) -> ClassifierError | None:
    """What a database that answers, and takes no changes, is to be called; None for any other error."""
    state, text = getattr(error.__cause__, "pgcode", None), str(error)
    if state in DISK_FULL or "database or disk is full" in text:
        return StorageFull(
            "The database has no room left. Nothing was stored; whoever runs this server must make some."
        )
    if state in NO_CHANGES or "readonly database" in text:
        return DatabaseReadOnly("The database takes no changes just now. What is stored can be seen; try again later.")
    return None


_probed = float("-inf")


def database_probe() -> None:
    """Write, so that a database that only reads is noticed; every few seconds at most. Raises `DatabaseError`."""
    global _probed
    if time.monotonic() - _probed > PROBE_SECONDS:
        row = RateLimit(key=PROBE, used_until=0)
        RateLimit.objects.bulk_create([row], update_conflicts=True, unique_fields=["key"], update_fields=["used_until"])
        _probed = time.monotonic()
