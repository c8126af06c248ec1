"""Batches are classified here, by workers or by a web process that has nothing else to do.

A task of the queue says "go on with this batch": it takes some of the pictures that wait, classifies and stores them,
and asks for another such task where some are left. So batches take turns, and as many processes as there are tasks work
on one. The queue keeps a task of a process that was killed as running for ever; nothing depends on it: each picture is
claimed for `LEASE_SECONDS`, and stored in one transaction that sees whether it is still waiting. What a killed process
had claimed is taken up by whoever comes later, and `batches_resume` asks for a task where there is none any more.
"""

from __future__ import annotations

import io
import logging
import secrets
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone
from django_tasks import task
from django_tasks_db.models import DBTaskResult

from classifier.capacity.admission import Slot, admission
from classifier.errors import ClassifierError, LabelError, LabelSetNotReady
from classifier.models import Batch, BatchItem
from classifier.services import bulk, engines
from classifier.services.heads import IMAGENET_CHOICE, Choice, choice_of_labels, choice_of_set, head_obtain
from classifier.services.keeping import Kept, picture_keep, upload_make
from classifier.services.labels import IMAGENET
from classifier.services.rows import row_hold
from classifier.services.runs import Outcome, run_finish, run_start
from classifier.services.storage import storage_add

if TYPE_CHECKING:
    from classifier.engine import Answer, Engine, Head

logger = logging.getLogger(__name__)

QUEUE = "batches"
ITEMS_PER_TASK = 24  # pictures, after which it is another batch's turn
TASKS_AT_ONCE = 8  # of one batch: how many processes may work on it
LEASE_SECONDS = 30  # for which whoever claims a picture has it to themselves
TRIES = 3  # after which a picture is given up that took its process down each time
AT_ONCE, AT_ONCE_IN_WEB = 8, 1  # pictures; a web process lets whoever comes wait for one at most
BYTES_AT_ONCE = 8_000_000  # of files, where there is more than one
LABELS_SECONDS = 5  # to wait for a label set that is being computed
KEPT_DAYS = 1  # of tasks that have ended

_wake = threading.Event()
_at_once = AT_ONCE


@task(queue_name=QUEUE)
def batch_go_on(batch_id: str) -> int:
    """Classify some of a batch; returns how many."""
    batch = Batch.objects.select_related("saved_set", "api_key").filter(pk=batch_id).first()
    if batch is None:
        return 0  # deleted
    done = more = 0
    loaded = engines.engine_get()
    while done < ITEMS_PER_TASK and (more := _turn(batch, loaded)):
        done += more
    if more and _open(batch).exists():
        batch_go_on.enqueue(batch_id)
    return done


def batch_enqueue(batch: Batch) -> None:
    """Ask for as many processes as the batch has work for; with the caller's transaction."""
    waiting = _open(batch).count()
    for _ in range(min(TASKS_AT_ONCE, -(-waiting // ITEMS_PER_TASK))):
        batch_go_on.enqueue(str(batch.pk))
    transaction.on_commit(_wake.set)


def batches_resume() -> None:
    """See to it that every batch with pictures that nobody has is on the queue: a process may have died."""
    ready = DBTaskResult.objects.ready().filter(task_path=batch_go_on.module_path)
    queued = {row["args"][0] for row in ready.values_list("args_kwargs", flat=True)}
    for pk in BatchItem.objects.filter(_free()).order_by().values_list("batch", flat=True).distinct():
        if str(pk) not in queued:
            batch_go_on.enqueue(str(pk))
    if ready.exists():
        _wake.set()


def tasks_prune() -> None:
    """Drop what the queue keeps of tasks that have ended, or never will."""
    before = timezone.now() - timedelta(days=KEPT_DAYS)
    DBTaskResult.objects.filter(queue_name=QUEUE, enqueued_at__lt=before).exclude(status="READY").delete()


# --- Whose turn it is ------------------------------------------------------------------------------------------------


def run_between_uploads() -> None:
    """For a thread of a web process, which dies with it: work whenever there is a batch and nobody else to serve."""
    global _at_once
    _at_once = AT_ONCE_IN_WEB
    while True:
        _wake.wait()
        _wake.clear()
        try:
            queue_empty()
        except Exception:  # the database is away: `batches_resume` wakes us when it is back
            logger.exception("event=batches_stopped")
        finally:
            connection.close()


def queue_empty() -> None:
    """Do all that is on the queue, in this thread."""
    from django_tasks_db.management.commands.db_worker import Worker

    Worker(
        queue_names=[QUEUE],
        interval=0,
        batch=True,
        backend_name="default",
        startup_delay=False,
        max_tasks=None,
        worker_id=secrets.token_hex(16),
        excluded_queue_names=[],
    ).run()


def _turn(batch: Batch, loaded: Engine) -> int:
    """Classify the next few pictures, when nobody else computes here; returns how many there were."""
    if not connection.in_atomic_block:
        connection.close()  # back to the pool, for however long others are served
    with admission().spare() as compute:
        try:
            head, choice = head_obtain(loaded, batch_choice(batch), compute)
        except LabelSetNotReady:
            later = timezone.now() + timedelta(seconds=LABELS_SECONDS)
            batch_go_on.using(run_after=later).enqueue(str(batch.pk))
            return 0
        except ClassifierError as error:
            return _give_up(batch, str(error))
        claim = secrets.token_hex(16)
        items = _claim(batch, claim)
        if items and items[0].tries >= TRIES:  # claimed alone
            return _give_up(batch, f"The server stopped {TRIES} times while it looked at this picture.", items[0])
        found = _computed(compute, loaded, head, choice.top, items)
    for item, result in zip(items, found, strict=True):
        _store(batch, item, claim, loaded, choice, result)
    return len(items)


def batch_choice(batch: Batch) -> Choice:
    """What it is to be ranked against. Raises `LabelError` for a set that was deleted."""
    if batch.label_set == IMAGENET:
        return IMAGENET_CHOICE
    if batch.saved_set is not None:
        return choice_of_set(batch.saved_set)
    if batch.labels:
        return choice_of_labels(tuple(batch.labels.split("\n")), tuple(batch.templates.split("\n")))
    raise LabelError(f"There is no label set named “{batch.label_set}” any more.")


# --- Claims ----------------------------------------------------------------------------------------------------------


def _free() -> Q:
    """Pictures that wait, and nobody has."""
    stale = timezone.now() - timedelta(seconds=LEASE_SECONDS)
    return Q(status=BatchItem.Status.WAITING) & (Q(claimed=None) | Q(claimed__lt=stale))


def _open(batch: Batch) -> QuerySet[BatchItem]:
    return batch.items.filter(_free())


@transaction.atomic
def _claim(batch: Batch, claim: str) -> list[BatchItem]:
    """Take the next pictures; those that others are just taking are passed over."""
    rows = _open(batch).order_by("place").defer("data").select_for_update(skip_locked=True)
    found, size = list[BatchItem](), 0
    for item in rows[:_at_once]:
        size += item.size
        # What has taken a process down before is looked at alone, so that it takes no other with it.
        if found and (size > BYTES_AT_ONCE or item.tries or found[0].tries):
            break
        found.append(item)
    taken = BatchItem.objects.filter(pk__in=[item.pk for item in found])
    taken.update(claim=claim, claimed=timezone.now(), tries=F("tries") + 1)
    return found


def _give_up(batch: Batch, reason: str, item: BatchItem | None = None) -> int:
    """A picture fails for this reason, or every one that waits."""
    rows = _open(batch) if item is None else batch.items.filter(pk=item.pk)
    return rows.update(status=BatchItem.Status.FAILED, reason=reason, data=None, finished=timezone.now())


# --- The work --------------------------------------------------------------------------------------------------------


def _computed(
    compute: Slot, loaded: Engine, head: Head | None, top: int, items: list[BatchItem]
) -> list[bulk.Result[Answer]]:
    """Together, or each alone where that fails: so one picture's trouble is not the others'."""
    datas = dict(BatchItem.objects.filter(pk__in=[item.pk for item in items]).values_list("pk", "data"))
    sources = [bulk.Source(item.name, partial(io.BytesIO, bytes(datas.get(item.pk) or b""))) for item in items]
    limits = bulk.Limits(int(settings.MAX_UPLOAD_MB * 1e6), int(settings.MAX_MEGAPIXELS * 1e6))
    answers = partial(bulk.answers, loaded, head, top)
    work = partial(bulk.group_run, loaded=loaded, compute=answers, limits=limits, keep=picture_keep)
    try:
        return compute(work, sources)
    except Exception as error:  # whatever went wrong inside
        if len(sources) == 1:
            logger.exception("event=classify_failed")
            reason = str(error) if isinstance(error, ClassifierError) else f"{type(error).__name__}: {error}"
            return [bulk.Result(sources[0], error=reason)]
    return [_computed(compute, loaded, head, top, [item])[0] for item in items]


def _store(
    batch: Batch, item: BatchItem, claim: str, loaded: Engine, choice: Choice, result: bulk.Result[Answer]
) -> None:
    """One picture's end, all of it or nothing; nothing where somebody else has taken it up meanwhile."""
    with transaction.atomic():
        mine = BatchItem.objects.select_for_update().filter(pk=item.pk, claim=claim, status=BatchItem.Status.WAITING)
        if not list(mine.values_list("pk")):
            return
        upload, reason = None, result.error
        if result.value is not None and batch.by_program and not (batch.api_key and row_hold(batch.api_key)):
            reason = "The API key that sent this picture was withdrawn."
        elif result.value is not None:
            assert isinstance(result.kept, Kept)
            upload = upload_make(kept=result.kept, name=item.name, owner=batch.owner, api_key=batch.api_key)
            run = run_start(upload=upload, loaded=loaded, choice=choice, seconds_decode=result.read)
            run_finish(run=run, outcome=Outcome(result.value, "", result.compute))
        BatchItem.objects.filter(pk=item.pk).update(
            status=BatchItem.Status.DONE if upload else BatchItem.Status.FAILED,
            reason=reason,
            upload=upload,
            data=None,
            finished=timezone.now(),
        )
    storage_add((len(result.kept.jpeg) if isinstance(result.kept, Kept) else 0) - item.size)
