"""Who made what: a random key in the visitor's session marks what is theirs."""

import secrets
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from classifier.models import Upload, UploadQuerySet

PROMISE = "newcomer"  # a signed cookie
PROMISE_SECONDS = 3600


def owner_key(request: HttpRequest) -> str:
    """The random key in the visitor's session that marks what is theirs; empty if they have none yet."""
    return request.session.get("owner", "")


def owner_new(request: HttpRequest) -> str:
    """The key for what somebody stores who has none: the one that was promised, or a fresh one.

    `owner_keep` puts it into the session once something is stored with it. Until then there is no session: anybody
    could fill the database with those.
    """
    return request.get_signed_cookie(PROMISE, default="", max_age=PROMISE_SECONDS) or secrets.token_urlsafe(24)


def owner_promise(request: HttpRequest, response: HttpResponse) -> None:
    """Give somebody without a session the key that marks what they send next, side by side, as theirs."""
    if not owner_key(request):
        response.set_signed_cookie(
            PROMISE,
            owner_new(request),
            max_age=PROMISE_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def owner_keep(request: HttpRequest, owner: str) -> None:
    if owner_key(request) != owner:
        request.session["owner"] = owner


def may_change(request: HttpRequest, upload: Upload, permission: str = "change") -> bool:
    """Whoever uploaded it, and whom a permission over uploads (change or delete) allows it."""
    owner = owner_key(request)
    mine = bool(owner) and secrets.compare_digest(owner, upload.owner)
    return mine or request.user.has_perm(f"classifier.{permission}_upload")


def upload_to_change(
    request: HttpRequest, upload_id: UUID, queryset: UploadQuerySet | None = None, permission: str = "change"
) -> Upload:
    """The upload, for whom `may_change` says yes; anybody else is refused."""
    upload = get_object_or_404(Upload.objects.all() if queryset is None else queryset, pk=upload_id)
    if not may_change(request, upload, permission):
        raise PermissionDenied("Only whoever uploaded this picture can do that.")
    return upload
