"""Who made what: a random key in the visitor's session marks what is theirs."""

import secrets
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from classifier.models import Upload, UploadQuerySet


def owner_key(request: HttpRequest, *, create: bool = False) -> str:
    """The random key in the visitor's session that marks what is theirs; empty if they have none yet."""
    if create and "owner" not in request.session:
        request.session["owner"] = secrets.token_urlsafe(24)
    return request.session.get("owner", "")


def may_change(request: HttpRequest, upload: Upload) -> bool:
    owner = owner_key(request)
    return bool(owner and secrets.compare_digest(owner, upload.owner)) or request.user.is_staff


def upload_to_change(request: HttpRequest, upload_id: UUID, queryset: UploadQuerySet | None = None) -> Upload:
    """The upload, for its owner or staff; anybody else is refused."""
    upload = get_object_or_404(Upload.objects.all() if queryset is None else queryset, pk=upload_id)
    if not may_change(request, upload):
        raise PermissionDenied("Only whoever uploaded this picture can do that.")
    return upload
