"""Requests that may be repeated safely: the second answer is the first one's, and the work is done once.

Follows the IETF's draft, https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from classifier.errors import Gone, IdempotencyKeyReused, RequestInProgress
from classifier.models import IdempotentRequest, Upload

KEPT = timedelta(hours=24)
GIVEN_UP = timedelta(minutes=2)  # a request that was started and is older has died with its process


Stored = Callable[[Upload], None] | None


def request_once(
    *,
    caller: str,
    key: str,
    fingerprint: str,
    make: Callable[[Stored], Upload],
    answer: Callable[[Upload], dict],
) -> tuple[dict, bool]:
    """The `answer` about the upload that `make` makes, and whether it is a repetition of an earlier one.

    `caller` keeps the keys of different callers apart; `fingerprint` is what was sent. `make` calls what it is given
    with the upload in the transaction that stores it. Where it raises before that, the same key may be tried again;
    what fails afterwards leaves an upload, and the key is answered with that from then on. Raises
    `IdempotencyKeyReused` and `RequestInProgress`.
    """
    row_key = hashlib.sha256(f"{caller} {key}".encode()).hexdigest()
    IdempotentRequest.objects.filter(created__lt=timezone.now() - KEPT).delete()
    row = _claim(row_key, fingerprint)
    if row.answer:
        return row.answer, True
    mine = IdempotentRequest.objects.filter(key=row_key, created=row.created)
    if row.upload_id is not None:
        mine.update(answer={})
        upload = Upload.objects.with_latest().filter(pk=row.upload_id).first()
        if upload is None:
            raise Gone("The upload that was made with this Idempotency-Key was deleted.")
        return answer(upload), True

    def stored(upload: Upload) -> None:
        if not mine.update(upload=upload):  # it took so long that somebody else has begun: theirs counts
            raise RequestInProgress("Another request with this Idempotency-Key is being answered. Try again.")

    try:
        upload = make(stored)
        made = answer(upload)
    except BaseException:
        with suppress(DatabaseError):  # where it is away the key is free, or answered, once the row is given up
            mine.filter(upload=None).delete()
            mine.update(answer={})
        raise
    mine.update(answer=made)
    return made, False


def _claim(row_key: str, fingerprint: str) -> IdempotentRequest:
    """A fresh row that is ours to answer, or one with an answer or at least an upload."""
    now = timezone.now()
    try:
        with transaction.atomic():
            return IdempotentRequest.objects.create(key=row_key, fingerprint=fingerprint, created=now)
    except IntegrityError:
        row = IdempotentRequest.objects.filter(key=row_key).first()
    if row is None:  # it failed, and was withdrawn, just now
        raise RequestInProgress("The first request with this Idempotency-Key has just failed. Try again.")
    if row.fingerprint != fingerprint:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used for another picture. Make a new key for each new request."
        )
    if row.answer is not None:
        return row
    abandoned = IdempotentRequest.objects.filter(key=row_key, answer__isnull=True, created__lt=now - GIVEN_UP)
    if not abandoned.update(created=now):
        raise RequestInProgress("The first request with this Idempotency-Key is still being answered. Try again.")
    row.created = now
    return row
