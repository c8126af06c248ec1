"""Pages that stay right while new uploads arrive: each begins after the last one seen, not at a number."""

import base64
import binascii
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from ..models import Upload, UploadQuerySet


class BadCursor(ValueError):
    """Not a cursor that `cursor_of` made."""


def cursor_of(upload: Upload) -> str:
    """Where the page that ends with this upload ends."""
    return base64.urlsafe_b64encode(f"{upload.created.isoformat()} {upload.id.hex}".encode()).decode().rstrip("=")


def uploads_after(uploads: UploadQuerySet, cursor: str) -> UploadQuerySet:
    """Those older than the cursor's, newest first; all for an empty cursor. Raises `BadCursor`."""
    uploads = uploads.order_by("-created", "-id")
    if not cursor:
        return uploads
    try:
        text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created_text, id_text = text.decode("ascii").split(" ")
        created, upload_id = datetime.fromisoformat(created_text), UUID(hex=id_text)
        if created.utcoffset() != timedelta(0):
            raise BadCursor
    except (ValueError, binascii.Error) as error:
        raise BadCursor("This cursor is not one of ours. Take it from `next` of the page before.") from error
    # The first condition is implied by the second; it is what lets the index begin at the right place.
    return uploads.filter(Q(created__lte=created) & (Q(created__lt=created) | Q(id__lt=upload_id)))


def page_of(uploads: UploadQuerySet, cursor: str, size: int) -> tuple[list[Upload], str]:
    """One page and the cursor of the next, empty on the last. Raises `BadCursor`."""
    found = list(uploads_after(uploads, cursor)[: size + 1])
    page = found[:size]
    return page, cursor_of(page[-1]) if len(found) > size else ""
