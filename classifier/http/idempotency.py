"""Requests that may be repeated safely: the second answer is the first one's, and the work is done once.

Follows the IETF's draft, https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
"""

import hashlib
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from classifier.errors import IdempotencyKeyReused, RequestInProgress
from classifier.models import IdempotentRequest, Upload

KEPT = timedelta(hours=24)
GIVEN_UP = timedelta(minutes=2)  # a request that was started and is older has died with its process


def request_once(
    *, caller: str, key: str, fingerprint: str, make: Callable[[], tuple[Upload, dict]]
) -> tuple[dict, bool]:
    """The answer of `make`, and whether it is a repetition of an earlier one.

    `caller` keeps the keys of different callers apart; `fingerprint` is what was sent. Only answers are kept: where
    `make` raises, the same key may be tried again. Raises `IdempotencyKeyReused` and `RequestInProgress`.
    """
    row_key = hashlib.sha256(f"{caller} {key}".encode()).hexdigest()
    IdempotentRequest.objects.filter(created__lt=timezone.now() - KEPT).delete()
    row = _claim(row_key, fingerprint)
    if row.answer is not None:
        return row.answer, True
    try:
        upload, answer = make()
    except BaseException:
        row.delete()
        raise
    IdempotentRequest.objects.filter(key=row_key).update(upload=upload, answer=answer)
    return answer, False


def _claim(row_key: str, fingerprint: str) -> IdempotentRequest:
    """A fresh row that is ours to answer, or one with an answer."""
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
    abandoned = IdempotentRequest.objects.filter(key=row_key, answer__isnull=True, created__lt=now - GIVEN_UP)
    if row.answer is None and not abandoned.update(created=now):
        raise RequestInProgress("The first request with this Idempotency-Key is still being answered. Try again.")
    return row
