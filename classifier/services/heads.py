"""Which labels a picture is ranked against, and the zero-shot head that does it.

The head of labels given once is computed on the spot; a saved set's is computed once per model and kept in the
database, where a row says who computes it and how far that has come. Whoever computes holds a claim and is heard of
every second; a claim not heard of for `STALE_SECONDS` may be taken over, so that a restart loses a minute and no set.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from classifier.capacity import admission
from classifier.errors import ClassifierError, LabelError, LabelSetNotReady
from classifier.logs import line
from classifier.models import LabelHead, LabelSet
from classifier.services import adapters, texts
from classifier.services.labels import CUSTOM, IMAGENET

if TYPE_CHECKING:
    from classifier.engine import Engine, Head
    from classifier.engine.checkpoint import Progress
    from classifier.models import Classification

logger = logging.getLogger(__name__)

TOP = 5  # predictions kept of a head with many labels
STALE_SECONDS = 60
HEARTBEAT_SECONDS = 1
READ_AGAIN = 5  # times, while a set is edited between two statements
CACHED_HEADS = 4  # 5,000 labels of 512 numbers are 10 MB


@dataclass(frozen=True)
class Choice:
    """The labels to rank a picture against: ImageNet's, some given for this picture, or a saved set's."""

    name: str = IMAGENET
    labels: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    saved_set: LabelSet | None = None

    @property
    def top(self) -> int:
        """How many predictions to keep: of labels given for one picture, all."""
        return len(self.labels) if self.name == CUSTOM else TOP


IMAGENET_CHOICE = Choice()


def choice_of_labels(labels: tuple[str, ...], templates: tuple[str, ...]) -> Choice:
    """Labels and templates that were checked, for one picture."""
    return Choice(CUSTOM, labels, templates)


def choice_of_set(label_set: LabelSet) -> Choice:
    return Choice(label_set.name, templates=tuple(label_set.template_list), saved_set=label_set)


def choice_of_run(run: Classification | None) -> Choice:
    """What a run was ranked against, to do it again. ImageNet's where that is not known any more: the set was deleted,
    or the run failed and left no predictions to read its labels from."""
    if run is None or run.label_set == IMAGENET:
        return IMAGENET_CHOICE
    if run.saved_set is not None:
        return choice_of_set(run.saved_set)
    labels = tuple(prediction.label for prediction in run.predictions.all())
    known = run.label_set == CUSTOM and labels
    return choice_of_labels(labels, tuple(run.templates.splitlines())) if known else IMAGENET_CHOICE


def head_obtain(loaded: Engine, choice: Choice, compute: admission.Slot) -> tuple[Head | None, Choice]:
    """The head of a choice, and the choice as that head has it; no head for ImageNet's, which the engine has.

    A saved set may have been changed since the choice was made: head, labels, name and templates are those of one
    moment. Raises `TextUnsupported`, `LabelSetNotReady`, and `LabelError` for a label that is too long for CLIP or a
    set that was deleted.
    """
    if choice.name == IMAGENET:
        return None, choice
    if choice.saved_set is None:
        return texts.head_embed(loaded, choice.name, choice.labels, choice.templates, compute), choice
    return set_learned(loaded, choice.saved_set)


# --- Heads of saved sets -------------------------------------------------------------------------------------------

_cache: OrderedDict[tuple[int, str, str], Head] = OrderedDict()
_cache_lock = threading.Lock()


def set_learned(loaded: Engine, label_set: LabelSet) -> tuple[Head, Choice]:
    """As `set_load`, with what the set has learnt from its examples."""
    head, now = set_load(loaded, label_set)
    return adapters.adapter_apply(loaded=loaded, label_set=now.saved_set or label_set, head=head), now


def set_load(loaded: Engine, label_set: LabelSet) -> tuple[Head, Choice]:
    """A saved set's head, without what it has learnt, and the choice as that head has it. Raises as `head_obtain`.

    What one statement reads is of one moment: so labels and vectors come together, if both are still those.
    """
    texts.text_require(loaded)
    rows = LabelHead.objects.filter(label_set=label_set.pk, weights_sha256=loaded.info.weights_sha256)
    for _ in range(READ_AGAIN):
        row = rows.select_related("label_set").defer("vectors", "label_set__labels").first()
        now = row.label_set if row else LabelSet.objects.defer("labels").filter(pk=label_set.pk).first()
        if now is None:
            raise LabelError(f"There is no label set named “{label_set.name}” any more.")
        if row is None or row.state != LabelHead.State.READY or row.digest != now.digest:
            raise LabelSetNotReady(_not_ready(now, row))
        if head := _head_load(row):
            return head, choice_of_set(now)
    raise LabelSetNotReady(_not_ready(label_set, None))


def _head_load(row: LabelHead) -> Head | None:
    """From memory or the database; None where the set is not any more what `row` was computed from."""
    key = (row.label_set_id, row.digest, row.weights_sha256)
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    current = LabelHead.objects.filter(pk=row.pk, digest=row.digest, label_set__digest=row.digest)
    full = current.select_related("label_set").first()
    if full is None or full.vectors is None:
        return None
    head = _head_unpack(full.label_set, bytes(full.vectors))
    with _cache_lock:
        _cache[key] = head
        while len(_cache) > CACHED_HEADS:
            _cache.popitem(last=False)
    return head


def heads_forget() -> None:
    """Let the heads in memory go; they are read from the database again."""
    with _cache_lock:
        _cache.clear()


def _head_unpack(label_set: LabelSet, vectors: bytes) -> Head:
    import numpy as np

    from classifier.engine import Head
    from classifier.engine.norm import normalised

    labels = tuple(label_set.label_list)
    weights = np.frombuffer(vectors, "<f2").reshape(len(labels), -1).astype(np.float32)  # (K, D)
    return Head(label_set.name, labels, normalised(weights), (None,) * len(labels))


def _not_ready(label_set: LabelSet, row: LabelHead | None) -> str:
    if row is not None and row.state == LabelHead.State.FAILED:
        return f"The label set “{label_set.name}” cannot be used: {row.reason}"
    percent = f", {row.percent} % done" if row is not None and row.total else ""
    return f"The label set “{label_set.name}” is still being computed{percent}. Try again in a moment."


def head_claim(loaded: Engine, label_set: LabelSet) -> str | None:
    """Take on computing a set's head; None where it is there, has failed, or somebody else is at it.

    None as well where the set is not any more what `label_set` says: whoever changed it sees to its head.
    """
    key = {"label_set": label_set, "weights_sha256": loaded.info.weights_sha256}
    claim, sets = secrets.token_hex(16), LabelSet.objects.select_for_update(no_key=True)
    with transaction.atomic():
        if not list(sets.filter(pk=label_set.pk, digest=label_set.digest).values_list("pk")):
            return None
        LabelHead.objects.get_or_create(**key, defaults={"digest": ""})
        stale = Q(state=LabelHead.State.BUILDING, alive__lt=timezone.now() - timedelta(seconds=STALE_SECONDS))
        taken = LabelHead.objects.filter(~Q(digest=label_set.digest) | stale, **key).update(
            digest=label_set.digest,
            state=LabelHead.State.BUILDING,
            reason="",
            done=0,
            total=len(label_set.label_list) * len(label_set.template_list),
            claim=claim,
            alive=timezone.now(),
            vectors=None,
        )
    return claim if taken else None


class _Overtaken(Exception):
    """The claim is somebody else's now, or the set is gone."""


def head_compute(loaded: Engine, label_set: LabelSet, claim: str) -> None:
    """Compute and store the head that was claimed. What goes wrong is kept in its row."""
    mine = LabelHead.objects.filter(claim=claim)
    told = 0.0

    def progress(_what: str, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told < HEARTBEAT_SECONDS:
            return
        told = time.monotonic()
        if not mine.update(done=done, total=total, alive=timezone.now()):
            raise _Overtaken

    started = time.perf_counter()
    try:
        head = texts.head_build(loaded, label_set.name, label_set.label_list, label_set.template_list, progress)
        vectors = head.weights.astype("<f2").tobytes()
    except _Overtaken:
        return
    except Exception as error:  # whatever it was: the row must say so, or it would be tried again for ever
        logger.exception("%s", line(event="label_set_failed", label_set=label_set.name))
        reason = str(error) if isinstance(error, ClassifierError) else f"{type(error).__name__}: {error}"
        mine.update(state=LabelHead.State.FAILED, reason=reason, claim="")
        return
    with transaction.atomic():
        done = len(label_set.label_list) * len(label_set.template_list)
        mine.update(state=LabelHead.State.READY, vectors=vectors, done=done, total=done, claim="")
    seconds = time.perf_counter() - started
    logger.info("%s", line(event="label_set_ready", label_set=label_set.name, ms=1000 * seconds))


def head_at_once(loaded: Engine, choice: Choice, progress: Progress | None = None) -> Head | None:
    """As `head_obtain`, for commands, which wait for nobody: a saved set's head that is not there is computed now."""
    if choice.name == IMAGENET:
        return None
    texts.text_require(loaded)
    if choice.saved_set is None:
        return loaded.build_head(choice.name, choice.labels, choice.templates, progress)
    try:
        return set_learned(loaded, choice.saved_set)[0]
    except LabelSetNotReady:
        now = LabelSet.objects.get(pk=choice.saved_set.pk)  # in one statement, labels and templates alike
        return loaded.build_head(now.name, now.label_list, now.template_list, progress)
