"""Pages of uploads by cursor: what arrives or is deleted meanwhile neither repeats nor hides one.

A cursor names the upload a page ends at (its time and id) and not a number of rows to skip, so that every page costs
the same however far down it is.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.utils.http import urlencode

from classifier.models import Upload, UploadQuerySet


@dataclass(frozen=True)
class Page:
    """Uploads, newest first, and the query strings of the pages beside this one; empty where there is none."""

    uploads: list[Upload]
    newer: str = ""
    older: str = ""


def cursor_of(upload: Upload) -> str:
    return base64.urlsafe_b64encode(f"{upload.created.isoformat()} {upload.id.hex}".encode()).decode().rstrip("=")


def cursor_before(moment: datetime) -> str:
    """Of the page that begins with the newest upload before a moment."""
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {UUID(int=0).hex}".encode()).decode().rstrip("=")


def cursor_read(cursor: str) -> tuple[datetime, UUID] | None:
    """What `cursor_of` wrote; None for anything else."""
    try:
        text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created_text, key_text = text.decode("ascii").split(" ")
        created, key = datetime.fromisoformat(created_text), UUID(hex=key_text)
    except (ValueError, binascii.Error):
        return None
    return (created, key) if created.utcoffset() == timedelta(0) else None


def older_than(uploads: UploadQuerySet, created: datetime, key: UUID) -> UploadQuerySet:
    """Newest first."""
    # The first condition follows from the second; alone it is a range that the index on created can seek to.
    return uploads.filter(Q(created__lte=created), Q(created__lt=created) | Q(id__lt=key)).order_by("-created", "-id")


def newer_than(uploads: UploadQuerySet, created: datetime, key: UUID) -> UploadQuerySet:
    return uploads.filter(Q(created__gte=created), Q(created__gt=created) | Q(id__gt=key)).order_by("created", "id")


def neighbours(uploads: UploadQuerySet, upload: Upload) -> tuple[Upload | None, Upload | None]:
    """The next newer and the next older one."""
    place = (upload.created, upload.id)
    return newer_than(uploads, *place).first(), older_than(uploads, *place).first()


def page_of(uploads: UploadQuerySet, *, before: str = "", after: str = "", size: int, **query: str) -> Page:
    """The page older than `before` or newer than `after`, else the newest; a cursor that is not one is ignored.

    `query` is kept in the addresses of the pages beside it. Two database queries at most.
    """
    if after and (place := cursor_read(after)):
        rows = list(newer_than(uploads, *place)[: size + 1])
        if len(rows) >= size:  # else the newest page, which is then full as well
            return _page(rows[:size][::-1], newer=len(rows) > size, older=True, query=query)
    place = cursor_read(before) if before else None
    rows = list((older_than(uploads, *place) if place else uploads.order_by("-created", "-id"))[: size + 1])
    newer = bool(place and rows) and newer_than(uploads, rows[0].created, rows[0].id).exists()
    return _page(rows[:size], newer=newer, older=len(rows) > size, query=query)


def in_batches(uploads: UploadQuerySet, size: int) -> Iterator[Upload]:
    """All of them, newest first, read so many at a time; in between no database connection is held."""
    rows = list(uploads.order_by("-created", "-id")[:size])
    while rows:
        if not connection.in_atomic_block:  # nobody's transaction hangs on it
            connection.close()
        yield from rows
        rows = list(older_than(uploads, rows[-1].created, rows[-1].id)[:size]) if len(rows) == size else []


def _page(uploads: list[Upload], *, newer: bool, older: bool, query: dict[str, str]) -> Page:
    kept = {name: value for name, value in query.items() if value}
    return Page(
        uploads,
        newer=urlencode({**kept, "after": cursor_of(uploads[0])}) if newer else "",
        older=urlencode({**kept, "before": cursor_of(uploads[-1])}) if older else "",
    )
