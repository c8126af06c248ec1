"""Tokens that programs present: API keys, made in the admin, and the secret that comes with each upload.

Both are long and random, so that a plain SHA-256 keeps them safe: there is nothing to guess from a dictionary.
"""

import hashlib
import secrets
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from classifier.models import ApiKey

# The beginnings tell people, and scanners for leaked secrets, what they are looking at.
KEY_PREFIX = "clip_key_"
SECRET_PREFIX = "clip_secret_"


def token_hash(token: str) -> str:
    """SHA-256 in hexadecimal, as tokens are stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def api_key_issue(*, api_key: ApiKey) -> str:
    """Give a key a new token, save it, and return the token, which cannot be had again."""
    token = KEY_PREFIX + secrets.token_urlsafe(32)
    api_key.prefix = token[: len(KEY_PREFIX) + 4]
    api_key.token_hash = token_hash(token)
    api_key.save()
    return token


def api_key_delete(*, api_key: ApiKey) -> None:
    """Delete a key; what its program made stays, without it."""
    with transaction.atomic():
        list(
            ApiKey.objects.select_for_update().filter(pk=api_key.pk)
        )  # after the uploads that are being stored with it
        api_key.delete()


def api_key_find(*, token: str) -> ApiKey | None:
    """The active key of this token. Notes the use, once a minute at most."""
    api_key = ApiKey.objects.filter(token_hash=token_hash(token), active=True).first()
    if api_key is not None:
        now = timezone.now()
        unused = Q(last_used=None) | Q(last_used__lt=now - timedelta(minutes=1))
        if api_key.last_used is None or now - api_key.last_used > timedelta(minutes=1):
            ApiKey.objects.filter(unused, pk=api_key.pk).update(last_used=now)
    return api_key


def upload_secret(upload_id: UUID) -> str:
    """The secret of an upload, made from its id and SECRET_KEY.

    Derived, so that a repeated request can be answered with the same secret although only its hash is stored, and
    checked against that hash, so that secrets survive a change of SECRET_KEY.
    """
    return SECRET_PREFIX + salted_hmac("classifier.keys.upload_secret", upload_id.hex, algorithm="sha256").hexdigest()
