"""What a set has learnt from its examples: computed when examples or labels change, and used only where it helps."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from classifier.models import Embedding, LabelAdapter, LabelExample, LabelSet
from classifier.services.rows import row_hold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.engine import Engine, Head

MOST = 1_000  # examples of a set, the newest: 1 MB of keys, and a product of matrices per picture
LEAST = 4  # examples of a label; one with fewer waits for more


def adapter_learn(*, loaded: Engine, label_set: LabelSet, head: Head) -> LabelAdapter | None:
    """Choose the numbers anew and keep them; None, and nothing kept, where no label has `LEAST` examples."""

    from classifier.engine.adapter import learn

    sha256 = loaded.info.weights_sha256
    keys, places = _examples(label_set, sha256, head)
    if not len(keys):
        LabelAdapter.objects.filter(label_set=label_set, weights_sha256=sha256).delete()
        return None
    found = learn(keys, places, head.weights)
    with transaction.atomic():
        if not row_hold(label_set):  # deleted while it was learnt
            return None
        return LabelAdapter.objects.update_or_create(
            label_set=label_set,
            weights_sha256=sha256,
            defaults={
                "digest": label_set.digest,
                "made": timezone.now(),
                "alpha": found.alpha,
                "beta": found.beta,
                "examples": found.examples,
                "before": found.before,
                "after": found.after,
                "keys": keys.astype("<f2").tobytes(),
                "places": places.astype("<i4").tobytes(),
            },
        )[0]


def _examples(label_set: LabelSet, sha256: str, head: Head) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings (N, D) and labels (N,) of the newest examples whose label is still one and has enough of them."""
    import numpy as np

    from classifier.engine.norm import normalised

    place = {label: number for number, label in enumerate(head.labels)}
    newest = LabelExample.objects.filter(label_set=label_set).order_by("-created")[:MOST]
    named = {example.upload_id: place[example.label] for example in newest if example.label in place}
    counts = np.bincount(list(named.values()), minlength=1)
    rows = Embedding.objects.filter(upload__in=[key for key, label in named.items() if counts[label] >= LEAST])
    found = [(named[row.upload_id], row.vector) for row in rows.filter(weights_sha256=sha256).order_by("upload")]
    places = np.array([label for label, _ in found], np.int64)
    if not found:
        return np.zeros((0, 0), np.float32), places
    keys = np.frombuffer(b"".join(vector for _, vector in found), "<f2").reshape(len(found), -1)
    return normalised(keys.astype(np.float32)), places


def adapter_find(*, label_set: LabelSet, weights_sha256: str) -> LabelAdapter | None:
    """What was learnt with the labels that the set has now."""
    return LabelAdapter.objects.filter(
        label_set=label_set, weights_sha256=weights_sha256, digest=label_set.digest
    ).first()


def adapter_apply(*, loaded: Engine, label_set: LabelSet, head: Head) -> Head:
    """The head with what its set has learnt; as it is where that is nothing, or would not help."""
    import numpy as np

    from classifier.engine.adapter import Adapter
    from classifier.engine.norm import normalised

    row = adapter_find(label_set=label_set, weights_sha256=loaded.info.weights_sha256)
    if row is None or not row.helps:
        return head
    keys = np.frombuffer(bytes(row.keys), "<f2").reshape(row.examples, -1).astype(np.float32)
    places = np.frombuffer(bytes(row.places), "<i4").astype(np.int64)
    adapter = Adapter(normalised(keys), places, len(head.labels), row.alpha, row.beta)
    return dataclasses.replace(head, adapter=adapter)
