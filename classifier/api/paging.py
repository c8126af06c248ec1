"""Pages that stay right while new uploads arrive: each begins after the last one seen, not at a number."""

from ..models import Upload, UploadQuerySet
from ..paging import cursor_of, cursor_read, older_than


class BadCursor(ValueError):
    """Not a cursor that `paging.cursor_of` made."""


def uploads_after(uploads: UploadQuerySet, cursor: str) -> UploadQuerySet:
    """Those older than the cursor's, newest first; all for an empty cursor. Raises `BadCursor`."""
    if not cursor:
        return uploads.order_by("-created", "-id")
    place = cursor_read(cursor)
    if place is None:
        raise BadCursor("This cursor is not one of ours. Take it from `next` of the page before.")
    return older_than(uploads, *place)


def page_of(uploads: UploadQuerySet, cursor: str, size: int) -> tuple[list[Upload], str]:
    """One page and the cursor of the next, empty on the last. Raises `BadCursor`."""
    found = list(uploads_after(uploads, cursor)[: size + 1])
    page = found[:size]
    return page, cursor_of(page[-1]) if len(found) > size else ""
