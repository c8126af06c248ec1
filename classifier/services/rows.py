"""Rows that somebody else may change or delete at the same moment.

Whoever writes to what hangs on an upload or a label set locks that row first, whoever deletes it as well: so a delete
waits for the end of a run's statements, a run finds its upload gone and ends, and neither fails at its commit. Locks
are taken in one order: uploads by their key, then label sets, then what hangs on them. SQLite has one writer at a time
and needs no locks.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import Model

from classifier.errors import Gone
from classifier.logs import line
from classifier.models import LabelSet, Upload, UploadQuerySet
from classifier.services.statements import row_lock

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)

TRIES = 5
DEADLOCKS = ("40P01", "40001")  # https://www.postgresql.org/docs/current/errcodes-appendix.html


def upload_lock(pk: UUID) -> None:
    """Lock an upload that is written to until the transaction ends. Raises `Gone`."""
    if not row_lock(Upload, pk, "FOR NO KEY UPDATE"):
        raise upload_gone()


def uploads_lock(uploads: UploadQuerySet, most: int) -> list[UUID]:
    """Lock some uploads that are to be deleted; those that are there."""
    return list(uploads.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True)[:most])


def upload_jpeg(pk: UUID) -> bytes:
    """The picture that was kept. Raises `Gone`."""
    image = Upload.objects.filter(pk=pk).values_list("image", flat=True).first()
    if image is None:
        raise upload_gone()
    return bytes(image)


def upload_gone() -> Gone:
    return Gone("This picture was deleted meanwhile.")


def label_set_lock(pk: int) -> LabelSet:
    """Lock a label set that is written to; as it is now, without its labels. Raises `Gone`."""
    found = LabelSet.objects.select_for_update().defer("labels").filter(pk=pk).first()
    if found is None:
        raise label_set_gone()
    return found


def label_set_gone() -> Gone:
    return Gone("This label set was deleted meanwhile.")


def row_hold(row: Model) -> bool:
    """Keep a row that is referred to from being deleted until the transaction ends; whether it is there.

    That is the lock of a foreign key's own check, which Django's comes too late for: at the commit. Others may hold
    and change the row meanwhile.
    """
    return row_lock(type(row), row.pk, "FOR KEY SHARE")


def deadlocks_retried(function: Callable[P, T]) -> Callable[P, T]:
    """In a transaction; whoever is sacrificed in a deadlock begins anew.

    For what locks many rows, which PostgreSQL does in an order of its own.
    """

    @wraps(function)
    def retried(*args: P.args, **kwargs: P.kwargs) -> T:
        for number in range(1, TRIES):
            try:
                with transaction.atomic():
                    return function(*args, **kwargs)
            except OperationalError as error:
                if connection.in_atomic_block or not _deadlocked(error):
                    raise
                logger.info("%s", line(event="deadlock", at=function.__name__, tries=number))
                time.sleep(0.05 * number)
        with transaction.atomic():
            return function(*args, **kwargs)

    return retried


def _deadlocked(error: BaseException) -> bool:
    return getattr(error.__cause__, "pgcode", None) in DEADLOCKS
