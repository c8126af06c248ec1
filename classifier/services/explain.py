"""Why a picture was given a label: where in it the model sees what it names.

Covering every part of a picture costs as much as some twenty pictures, so it is done when somebody asks, behind the
same slots as an upload, and kept: whichever label is asked for next costs one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction

from classifier.capacity import admission
from classifier.errors import NothingToExplain, StorageFull
from classifier.models import Classification, Occlusion, Prediction, Upload
from classifier.services import engines
from classifier.services.heads import choice_of_run, head_obtain
from classifier.services.live import picture_of, square_of_run
from classifier.services.rows import upload_jpeg
from classifier.services.storage import OCCLUSION_BYTES, meter, storage_check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier import engine
    from classifier.engine.occlusion import Occlusion as Responses
    from classifier.pictures.crop import Crop


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where a label comes from. `heat` is (grid, grid) float32 in logits, rows from the top; positive speaks for it."""

    prediction: Prediction
    heat: NDArray[np.float32]


def upload_explain(*, upload: Upload, rank: int = 1) -> Explanation:
    """Which parts of a stored picture speak for one label of its newest ranking.

    The picture that was kept is looked at, whose longer side is at most 512 pixels, in the square that was ranked.
    Raises `NothingToExplain`, `Busy`, `ModelUnavailable`, `Gone`, and what `head_obtain` raises.
    """
    run = upload.latest
    if run is None or run.status != Classification.Status.DONE:
        raise NothingToExplain("This picture has no ranking to explain. Classify it first.")
    prediction = next((each for each in run.predictions.all() if each.rank == rank), None)
    if prediction is None:
        raise NothingToExplain(f"This ranking has no place {rank}.")
    loaded = engines.engine_get()
    if run.weights_sha256 != loaded.info.weights_sha256:
        raise NothingToExplain(
            f"This ranking was made by {run.model}, and {loaded.info.model} runs here now. Classify it again first."
        )
    with admission.slot() as compute:
        head = head_obtain(loaded, choice_of_run(run), compute)[0] or loaded.imagenet
        square = square_of_run(upload, run)
        responses = None if square else _load(upload, run.weights_sha256)
        if responses is None:
            responses = compute(_occlude, loaded, upload, upload_jpeg(upload.pk), square)
            if not square:  # squares are many, and one is looked at for a moment
                _save(upload, run.weights_sha256, responses)
    if prediction.label not in head.labels:
        raise NothingToExplain("The labels have changed since. Rank the picture against them again first.")
    heat = loaded.explain(responses, head.labels.index(prediction.label), head)
    return Explanation(prediction, heat)


def _occlude(loaded: engine.Engine, upload: Upload, jpeg: bytes, square: Crop | None) -> Responses:
    return loaded.occlude(picture_of(upload, jpeg, square))


def _load(upload: Upload, weights_sha256: str) -> Responses | None:
    import numpy as np

    from classifier.engine.occlusion import Occlusion as Responses
    from classifier.engine.occlusion import windows

    row = Occlusion.objects.filter(upload=upload, weights_sha256=weights_sha256).first()
    if row is None:
        return None
    rows = 1 + len(windows(row.grid))
    return Responses(row.grid, np.frombuffer(row.responses, "<f2").reshape(rows, -1).astype(np.float32))


def _save(upload: Upload, weights_sha256: str, responses: Responses) -> None:
    """Nothing to keep where somebody else has asked meanwhile or deleted the upload, and where there is no room."""
    try:
        storage_check()
    except StorageFull:
        return
    row = Occlusion(
        upload=upload,
        weights_sha256=weights_sha256,
        grid=responses.grid,
        responses=responses.responses.astype("<f2").tobytes(),
    )
    with transaction.atomic():
        if Upload.objects.select_for_update(of=("self",)).filter(pk=upload.pk).values_list("pk").first():
            Occlusion.objects.bulk_create([row], ignore_conflicts=True)
    meter.add(len(row.responses) + OCCLUSION_BYTES)
