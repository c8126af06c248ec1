"""Examples of a saved set's labels: pictures that say what a label means, from which the set learns."""

from __future__ import annotations

from django.db import transaction

from classifier.errors import LabelError, LabelSetNotReady, ModelUnavailable
from classifier.models import LabelAdapter, LabelExample, LabelSet, Upload
from classifier.services import adapters, engines, heads
from classifier.services.rows import label_set_gone, row_hold, upload_lock


def example_add(*, label_set: LabelSet, upload: Upload, label: str) -> LabelExample:
    """Take a stored picture as an example, or change which label it is one of. Raises `LabelError` and `Gone`."""
    if label not in label_set.label_list:
        raise LabelError(f"“{label}” is not a label of the set “{label_set.name}”.")
    with transaction.atomic():
        upload_lock(upload.pk)
        if not row_hold(label_set):
            raise label_set_gone()
        said = {"label": label}
        example, _ = LabelExample.objects.update_or_create(label_set=label_set, upload=upload, defaults=said)
    transaction.on_commit(lambda: learn(label_set=label_set))
    return example


def example_remove(*, label_set: LabelSet, upload: Upload) -> None:
    """It is none any more; the picture stays."""
    LabelExample.objects.filter(label_set=label_set, upload=upload).delete()
    transaction.on_commit(lambda: learn(label_set=label_set))


def learn(*, label_set: LabelSet) -> LabelAdapter | None:
    """Learn from the examples there are, with the model that runs here.

    None where there are too few, or no model or head yet: then the next example, or `labels_learn`, sees to it.
    """
    try:
        loaded = engines.engine_get()
        if loaded.info.standin:
            return None
        head, now = heads.set_load(loaded, label_set)
    except (ModelUnavailable, LabelSetNotReady, LabelError):
        return None
    return adapters.adapter_learn(loaded=loaded, label_set=now.saved_set or label_set, head=head)


def correction_learn(*, upload: Upload, label: str) -> None:
    """What a visitor says is right becomes an example where the set that ranked the picture learns from visitors."""
    label_set = upload.latest.saved_set if upload.latest else None
    if label_set is None or not label_set.learns:
        return
    if label in label_set.label_list:
        example_add(label_set=label_set, upload=upload, label=label)
    else:
        example_remove(label_set=label_set, upload=upload)


def labels_learn() -> None:
    """Learn for every set with examples whose labels, or whose model, have changed since; cheap where there is none."""
    for label_set in LabelSet.objects.filter(examples__isnull=False).distinct():
        loaded = engines.engine_get()
        if (
            not loaded.info.standin
            and adapters.adapter_find(label_set=label_set, weights_sha256=loaded.info.weights_sha256) is None
        ):
            learn(label_set=label_set)
