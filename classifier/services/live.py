"""Ranking a stored upload in passing: against labels that are still being chosen, or in a square that is being moved.

Nothing is stored until somebody asks to keep it. Labels cost no more than their texts, since the picture's embedding
is kept; a square is embedded once from the picture that was kept, whose longer side is at most 512 pixels, and
remembered while it is asked about.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction

from classifier import engine
from classifier.capacity import admission
from classifier.models import Classification, Upload
from classifier.pictures.crop import Crop, square_within
from classifier.services import engines, texts
from classifier.services.embeddings import embedding_load
from classifier.services.fit import fits_well
from classifier.services.heads import Choice, head_obtain
from classifier.services.labels import prompt
from classifier.services.rows import upload_jpeg, upload_lock
from classifier.services.runs import Outcome, run_finish, run_start
from classifier.services.storage import storage_add_run, storage_check

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

REMEMBERED = 256  # embeddings of squares: half a megabyte of ViT-B/32's
SHARE = 0.1  # of what a picture counts: a product of matrices, or one text; the image tower costs far more

Square = tuple[UUID, str, tuple[float, float, float] | None]  # upload, weights, left, top and side

_squares: OrderedDict[Square, NDArray[np.float32]] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Ranking:
    """The likeliest labels first, and what they were ranked by."""

    predictions: tuple[engine.Ranked, ...]
    model: str
    label_set: str
    fits: bool
    seconds: float


def upload_rank(*, upload: Upload, choice: Choice, square: Crop | None = None) -> Ranking:
    """Rank a stored upload, or a square of it in its own pixels, against labels. Nothing is stored.

    Raises `Busy`, `ModelUnavailable`, `Gone`, and what `head_obtain` raises.
    """
    loaded, started = engines.engine_get(), time.perf_counter()
    with admission.slot() as compute:
        head, choice = head_obtain(loaded, choice, compute)
        if loaded.info.standin:
            predictions = compute(_classify, loaded, upload, upload_jpeg(upload.pk), square, choice.top)
        else:
            embedding = _embedding(loaded, upload, square, compute)
            predictions = loaded.rank_embedding(embedding, head, choice.top)
    best = predictions[0]
    fits = fits_well(model=loaded.info.model, score=best.score, similarity=best.similarity)
    return Ranking(predictions, loaded.info.model, choice.name, fits, time.perf_counter() - started)


def rank_share(*, choice: Choice, square: Crop | None) -> float:
    """What a ranking counts against a limit of pictures, by what it costs: at most as much as a picture.

    A square takes a pass of the image tower, as a picture does; labels take one of the text tower for each that was
    not asked about lately, and nothing else. Raises `ModelUnavailable`.
    """
    loaded = engines.engine_get()
    if square or loaded.info.standin:
        return 1
    prompts = [prompt(template, label) for label in choice.labels for template in choice.templates]
    new = sum(texts.cache.get(loaded.info.weights_sha256, each) is None for each in prompts)
    return min(1, SHARE * (1 + new))


def square_keep(*, upload: Upload, choice: Choice, square: Crop) -> Classification:
    """Rank a square of a stored upload and keep that as its newest run.

    Raises as `upload_rank`, and `StorageFull`.
    """
    loaded = engines.engine_get()
    storage_check()
    found = upload_rank(upload=upload, choice=choice, square=square)
    with transaction.atomic():
        upload_lock(upload.pk)
        run = run_start(upload=upload, loaded=loaded, choice=choice, seconds_decode=0, square=square)
    outcome = Outcome(engine.Answer(found.predictions, None), "", found.seconds)  # the embedding is not the picture's
    run_finish(run=run, outcome=outcome)
    storage_add_run(choice.top)
    return run


def square_of_run(upload: Upload, run: Classification | None) -> Crop | None:
    """The square that a run looked at, where somebody had chosen it."""
    if run is None or not run.square:
        return None
    where = run.square
    return square_within(upload.width, upload.height, where["x"], where["y"], where["side"])


def _embedding(
    loaded: engine.Engine, upload: Upload, square: Crop | None, compute: admission.Slot
) -> NDArray[np.float32]:
    weights_sha256 = loaded.info.weights_sha256
    kept = None if square else embedding_load(upload=upload, weights_sha256=weights_sha256)
    if kept is not None:
        return kept
    key = (upload.pk, weights_sha256, (square.left, square.top, square.width) if square else None)
    with _lock:
        if key in _squares:
            _squares.move_to_end(key)
            return _squares[key]
    embedding: NDArray[np.float32] = compute(_embed, loaded, upload, upload_jpeg(upload.pk), square)
    with _lock:
        _squares[key] = embedding
        while len(_squares) > REMEMBERED:
            _squares.popitem(last=False)
    return embedding


# These run on another thread, which has a connection to the database of its own: so they ask it nothing.


def _embed(loaded: engine.Engine, upload: Upload, jpeg: bytes, square: Crop | None) -> NDArray[np.float32]:
    row: NDArray[np.float32] = loaded.embed_images([picture_of(upload, jpeg, square)])[0]
    return row.copy()


def _classify(
    loaded: engine.Engine, upload: Upload, jpeg: bytes, square: Crop | None, top: int
) -> tuple[engine.Ranked, ...]:
    return loaded.classify(picture_of(upload, jpeg, square), None, top).predictions


def picture_of(upload: Upload, jpeg: bytes, square: Crop | None) -> Image:
    """The picture that was kept, or the square of it, whole pixels."""
    from classifier.pictures import reading

    picture: Image = reading.picture_from_jpeg(jpeg)
    if square is None:
        return picture
    scale = max(picture.size) / max(upload.width, upload.height)
    side = min(max(1, round(square.width * scale)), *picture.size)
    left = min(round(square.left * scale), picture.width - side)
    top = min(round(square.top * scale), picture.height - side)
    return picture.crop((left, top, left + side, top + side))
