"""Batches: taken in here, and looked at; `batch_work` classifies them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Max, QuerySet, Sum
from django.utils import timezone

from classifier.capacity import admission
from classifier.capacity.room import ROOM, Room
from classifier.errors import BatchTooLarge, Busy, KeyWithdrawn, MissingImage
from classifier.models import ApiKey, Batch, BatchItem
from classifier.services import batch_work, engines
from classifier.services.archives import Given
from classifier.services.heads import IMAGENET_CHOICE, Choice, head_obtain
from classifier.services.labels import IMAGENET
from classifier.services.rows import row_hold
from classifier.services.storage import ITEM_BYTES, meter, storage_check

MOST = 1_000  # pictures in a batch
WAITING_MOST = 10_000  # pictures of all batches that may wait
PIECE = 1_000_000  # bytes of pictures that are written in one statement, if it has more than one
COPIES = 5  # of a picture's bytes while psycopg2 writes it: quoted as hexadecimal digits, twice
RETRY_SECONDS = 60
TURN = Room(1, timeout=ROOM.timeout)  # one batch is taken in at a time: unpacking takes memory that ROOM does not see


def batch_create(
    *, pictures: Iterable[Given], owner: str, api_key: ApiKey | None = None, choice: Choice = IMAGENET_CHOICE
) -> Batch:
    """Keep pictures until it is their turn, all or none.

    Raises what `head_obtain` raises for labels that cannot be used, `MissingImage` where there is no picture,
    `BatchTooLarge`, `StorageFull`, and `Busy` where too many wait already, or others' batches are being taken in.
    """
    from classifier.pictures.reading import name_clean

    storage_check()
    if BatchItem.objects.filter(status=BatchItem.Status.WAITING).count() >= WAITING_MOST:
        raise Busy("Too many pictures are waiting already. Try again in a minute.", RETRY_SECONDS)
    choice = _choice_checked(choice)
    if not connection.in_atomic_block:
        connection.close()  # back to the pool, while others have their turn
    with TURN.take(1), transaction.atomic():
        if api_key and not row_hold(api_key):
            raise KeyWithdrawn("This API key was withdrawn meanwhile.")
        batch = _batch_of(choice, owner, api_key)
        for group in _pieces(pictures):
            items = [
                BatchItem(
                    batch=batch,
                    place=place,
                    name=name_clean(given.name),
                    status=BatchItem.Status.FAILED if given.error else BatchItem.Status.WAITING,
                    reason=given.error,
                    data=None if given.error else given.data,
                    size=len(given.data),
                    finished=timezone.now() if given.error else None,
                )
                for place, given in enumerate(group, start=batch.total + 1)
            ]
            with ROOM.take(COPIES * sum(item.size for item in items)):
                BatchItem.objects.bulk_create(items)
            batch.total += len(items)
        if not batch.total:
            raise MissingImage("No picture was sent.")
        batch.save(update_fields=["total"])
        batch_work.batch_enqueue(batch)
    meter.add((batch.items.aggregate(size=Sum("size"))["size"] or 0) + ITEM_BYTES * batch.total)
    return batch


def _choice_checked(choice: Choice) -> Choice:
    """What is wrong with the labels is said now, not a thousand times later."""
    if choice.name == IMAGENET:
        return choice
    loaded = engines.engine_get()
    with admission.slot() as compute:
        return head_obtain(loaded, choice, compute)[1]


def _batch_of(choice: Choice, owner: str, api_key: ApiKey | None) -> Batch:
    return Batch.objects.create(
        owner=owner,
        api_key=api_key,
        by_program=api_key is not None,
        total=0,
        label_set=choice.name,
        saved_set=choice.saved_set if choice.saved_set and row_hold(choice.saved_set) else None,
        labels="\n".join(choice.labels),
        templates="\n".join(choice.templates),
    )


def batch_size_check(size: int) -> None:
    """Raises `BatchTooLarge`."""
    if size > int(settings.MAX_BATCH_MB * 1e6):
        most = f"{settings.MAX_BATCH_MB:,.6g} MB"
        raise BatchTooLarge(f"The pictures of a batch have {most} at most, together and unpacked.")


def _pieces(pictures: Iterable[Given]) -> Iterator[list[Given]]:
    """Some at a time. Raises `BatchTooLarge`."""
    group: list[Given] = []
    size = total = count = 0
    for given in pictures:
        total, count = total + len(given.data), count + 1
        if count > MOST:
            raise BatchTooLarge(f"A batch has {MOST:,} pictures at most.")
        batch_size_check(total)
        if group and size + len(given.data) > PIECE:
            yield group
            group, size = [], 0
        group.append(given)
        size += len(given.data)
    if group:
        yield group


@dataclass(frozen=True)
class Progress:
    """How far a batch has come. Pictures that were deleted since count as neither."""

    total: int
    waiting: int
    done: int
    failed: int
    seconds_left: float | None  # None until that can be told

    @property
    def ended(self) -> int:
        return self.total - self.waiting

    @property
    def percent(self) -> int:
        return 100 * self.ended // self.total if self.total else 100

    @property
    def status(self) -> str:
        if self.waiting:
            return "running" if self.done + self.failed else "waiting"
        return "done"


def batch_progress(batch: Batch) -> Progress:
    """One query."""
    rows = batch.items.order_by().values("status").annotate(count=Count("pk"), last=Max("finished"))
    counts = {row["status"]: row["count"] for row in rows}
    last = max((row["last"] for row in rows if row["last"]), default=None)
    waiting, done, failed = (counts.get(status.value, 0) for status in BatchItem.Status)
    return Progress(batch.total, waiting, done, failed, _seconds_left(batch.created, last, waiting, done))


def _seconds_left(began: datetime, last: datetime | None, waiting: int, done: int) -> float | None:
    if not waiting:
        return 0.0
    if last is None or not done:
        return None
    return (last - began).total_seconds() / done * waiting


def batch_delete(*, batch: Batch) -> None:
    """Forget a batch: what waits is not classified any more; the uploads that it has become stay."""
    batch.delete()


def batches_expired(*, days: int) -> QuerySet[Batch]:
    """Older than `days` days."""
    return Batch.objects.filter(created__lt=timezone.now() - timedelta(days=days))
