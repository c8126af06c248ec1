"""Small copies of the stored pictures, for lists: made when first asked for, and kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from classifier.capacity.room import ROOM
from classifier.errors import BrokenImage
from classifier.logs import line
from classifier.models import Upload

logger = logging.getLogger(__name__)

MEMORY = 4 * 512 * 512  # bytes that making one takes: the stored picture, four bytes a pixel


@dataclass
class Made:
    """What a backfill did."""

    made: int = 0
    broken: int = 0


def thumbnail_obtain(*, upload_id: UUID) -> bytes:
    """An upload's thumbnail, WebP; made and stored where there is none.

    Raises `Upload.DoesNotExist`, `BrokenImage` for a stored picture that cannot be read, and `Busy` where large
    pictures have taken all the memory that there is for pictures.
    """
    rows = Upload.objects.filter(pk=upload_id)
    kept = rows.values_list("image_small", flat=True).get()
    if kept is not None:
        return bytes(kept)
    thumbnail = _make(bytes(rows.values_list("image", flat=True).get()))
    rows.update(image_small=thumbnail)
    return thumbnail


def thumbnails_make(*, batch: int, progress: Callable[[int, int], None]) -> Made:
    """Make those that are missing, a batch of rows at a time; what is done stays done."""
    missing = Upload.objects.filter(image_small=None).order_by("pk")
    total, result, last = missing.count(), Made(), None
    progress(0, total)
    while rows := list((missing.filter(pk__gt=last) if last else missing).values_list("pk", "image")[:batch]):
        last = rows[-1][0]
        for key, image in rows:
            try:
                Upload.objects.filter(pk=key).update(image_small=_make(bytes(image)))
                result.made += 1
            except BrokenImage as error:
                result.broken += 1
                logger.warning("%s", line(event="thumbnail_failed", upload=key, reason=error.__cause__))
        progress(result.made + result.broken, total)
    return result


def _make(image: bytes) -> bytes:
    from classifier.pictures import reading

    with ROOM.take(MEMORY):
        try:
            return reading.thumbnail_from_jpeg(image)
        except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for a damaged JPEG
            raise BrokenImage("The stored picture cannot be read any more.") from error
