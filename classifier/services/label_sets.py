"""Saved label sets: made, changed and deleted here, and their heads computed in the background."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from classifier.errors import KeyWithdrawn, LabelError, ModelUnavailable
from classifier.logs import line
from classifier.models import ApiKey, LabelHead, LabelSet
from classifier.services import engines, heads
from classifier.services.labels import (
    CONTROL,
    DEFAULT_TEMPLATE,
    IMAGENET,
    MAX_LABELS_SET,
    MAX_NAME,
    labels_check,
    labels_from_list,
    labels_from_text,
    name_check,
    templates_check,
)
from classifier.services.rows import deadlocks_retried, label_set_gone, label_set_lock, row_hold

if TYPE_CHECKING:
    from classifier.engine import Engine

logger = logging.getLogger(__name__)

PROMPTS_AT_ONCE = 200  # computed before the answer goes out; more of them in the background


def choice_make(
    *, labels: Sequence[str] | str | None = None, template: str | None = None, label_set: str | None = None
) -> heads.Choice:
    """The labels somebody asks for: their own, a saved set's by its name, or ImageNet's where they name none.

    `labels` as one text are separated by commas or line breaks. Raises `LabelError`.
    """
    if label_set and labels:
        raise LabelError("Give labels of your own or the name of a label set, not both.")
    if labels:
        checked = labels_from_text(labels) if isinstance(labels, str) else labels_from_list(labels)
        return heads.choice_of_labels(checked, templates_check([(template or "").strip() or DEFAULT_TEMPLATE]))
    if template:
        raise LabelError("A prompt template needs labels of your own to be filled with.")
    if not label_set or label_set.casefold() == IMAGENET:
        return heads.IMAGENET_CHOICE
    if CONTROL.search(label_set):
        raise LabelError("The name of the label set has a control character.")
    found = LabelSet.objects.defer("labels").filter(name__iexact=label_set).first()
    if found is None:
        raise LabelError(f"There is no label set named “{label_set[:MAX_NAME]}”.")
    return heads.choice_of_set(found)


def label_set_create(
    *, name: str, labels: Sequence[str], templates: Sequence[str], api_key: ApiKey | None = None
) -> LabelSet:
    """Save a new set and see to its head. `api_key`: of the program that makes it. Raises `LabelError`."""
    return label_set_update(label_set=LabelSet(api_key=api_key), name=name, labels=labels, templates=templates)


def label_set_update(*, label_set: LabelSet, name: str, labels: Sequence[str], templates: Sequence[str]) -> LabelSet:
    """Save a set; its head is computed anew where labels or templates have changed.

    Raises `LabelError`, and `Gone` for one that was deleted meanwhile.
    """
    label_set.name = name_check(name)
    label_set.labels = "\n".join(labels_check(labels, most=MAX_LABELS_SET))
    label_set.templates = "\n".join(templates_check(templates))
    label_set.digest = hashlib.sha256(f"{label_set.labels}\0{label_set.templates}".encode()).hexdigest()
    try:
        with transaction.atomic():
            if label_set.pk is not None:
                label_set_lock(label_set.pk)
                label_set.save(update_fields=["name", "labels", "templates", "digest", "learns"])
            elif label_set.api_key is not None and not row_hold(label_set.api_key):
                raise KeyWithdrawn("This API key was withdrawn meanwhile.")
            else:
                label_set.save()
    except IntegrityError as error:
        raise LabelError(f"There is a label set named “{label_set.name}” already.") from error
    transaction.on_commit(lambda: head_see_to(label_set=label_set))
    return label_set


@deadlocks_retried
def label_set_delete(*, label_set: LabelSet) -> None:
    """Delete a set. What was classified with it keeps its name, templates and predictions. Raises `Gone`."""
    label_set_lock(label_set.pk)
    label_set.delete()


def head_retry(*, label_set: LabelSet) -> None:
    """Compute a head again that has failed."""
    LabelHead.objects.filter(label_set=label_set, state=LabelHead.State.FAILED).delete()
    head_see_to(label_set=label_set)


def head_see_to(*, label_set: LabelSet) -> None:
    """Compute a set's head for this server's model: a small one now, a large one in the background."""
    try:
        loaded = engines.engine_get()
    except ModelUnavailable as error:  # the set is saved; `heads_resume` will find it
        logger.warning("%s", line(event="label_set_waits", label_set=label_set.name, reason=error))
        return
    if loaded.info.standin:
        return
    if len(label_set.label_list) * len(label_set.template_list) > PROMPTS_AT_ONCE:
        _work_in_background(loaded)
    elif claim := heads.head_claim(loaded, label_set):
        heads.head_compute(loaded, label_set, claim)


def heads_resume() -> None:
    """Begin in the background with every head that is missing or was left unfinished. Cheap where there is none."""
    if _working.locked() or not LabelSet.objects.exists():
        return
    loaded = engines.engine_get()
    if not loaded.info.standin and _unfinished(loaded).exists():
        _work_in_background(loaded)


def heads_compute(loaded: Engine) -> None:
    """Compute every head that is missing or was left unfinished, unless another server is at it."""
    for pk in list(_unfinished(loaded).values_list("pk", flat=True)):
        label_set = LabelSet.objects.filter(pk=pk).first()
        if label_set is not None and (claim := heads.head_claim(loaded, label_set)):
            heads.head_compute(loaded, label_set, claim)


@dataclass(frozen=True)
class Entry:
    """A saved set as menus and the API show it."""

    label_set: LabelSet
    state: str  # ready, building, waiting, failed or unsupported
    done: int = 0
    total: int = 0
    reason: str = ""

    @property
    def ready(self) -> bool:
        return self.state == LabelHead.State.READY

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0

    @property
    def note(self) -> str:
        """What to say beside the name of a set that is not ready; empty for one that is."""
        words = {
            "building": f"being computed, {self.percent} %",
            "waiting": "waits to be computed",
            "failed": self.reason,
            "unsupported": "needs CLIP",
        }
        return words.get(self.state, "")


def label_sets_list() -> list[Entry]:
    """Every saved set with the state of its head for this server's model, in two queries and without the labels."""
    loaded = _engine()
    weights_sha256 = loaded.info.weights_sha256 if loaded else ""
    sets = list(LabelSet.objects.defer("labels", "templates"))
    rows = LabelHead.objects.filter(weights_sha256=weights_sha256, label_set__in=sets).defer("vectors")
    by_set = {row.label_set_id: row for row in rows} if sets else {}
    return [_entry(label_set, by_set.get(label_set.pk), loaded) for label_set in sets]


def label_set_entry(pk: int) -> Entry:
    """One saved set as it is now, with its labels and the state of its head. Raises `Gone`."""
    loaded = _engine()
    label_set = LabelSet.objects.filter(pk=pk).first()
    if label_set is None:
        raise label_set_gone()
    rows = LabelHead.objects.filter(label_set=label_set, weights_sha256=loaded.info.weights_sha256 if loaded else "")
    return _entry(label_set, rows.defer("vectors").first(), loaded)


def _engine() -> Engine | None:
    try:
        return engines.engine_get()
    except ModelUnavailable:
        return None


def _entry(label_set: LabelSet, row: LabelHead | None, loaded: Engine | None) -> Entry:
    if loaded is not None and loaded.info.standin:
        return Entry(label_set, "unsupported")
    if row is None or row.digest != label_set.digest:
        return Entry(label_set, "waiting")
    return Entry(label_set, row.state, row.done, row.total, row.reason)


def _unfinished(loaded: Engine) -> QuerySet[LabelSet]:
    ended = LabelHead.objects.filter(
        label_set=OuterRef("pk"),
        digest=OuterRef("digest"),
        weights_sha256=loaded.info.weights_sha256,
        state__in=[LabelHead.State.READY, LabelHead.State.FAILED],
    )
    return LabelSet.objects.filter(~Exists(ended))


_working = threading.Lock()


def _work_in_background(loaded: Engine) -> None:
    threading.Thread(target=_work, args=(loaded,), name="label-sets", daemon=True).start()


def _work(loaded: Engine) -> None:
    """One at a time, since each takes all the cores it can; who had to wait looks again."""
    with _working:
        try:
            heads_compute(loaded)
        except DatabaseError as error:
            logger.warning("%s", line(event="database_unreachable", error=error))
        finally:
            connection.close()
