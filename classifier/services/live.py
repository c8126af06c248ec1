"""Ranking a stored upload in passing: against labels that are still being chosen, or in a square that is being moved.

Nothing is stored. Labels cost no more than their texts, since the picture's embedding is kept; a square is embedded
once from the picture that was kept, whose longer side is at most 512 pixels, and remembered while it is asked about.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from classifier.capacity import admission
from classifier.models import Upload
from classifier.services import engines
from classifier.services.embeddings import embedding_load
from classifier.services.fit import fits_well
from classifier.services.heads import Choice, head_obtain
from classifier.services.rows import upload_jpeg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from classifier import engine
    from classifier.pictures.crop import Crop

REMEMBERED = 256  # embeddings of squares: half a megabyte of ViT-B/32's

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
            predictions = compute(_classify, loaded, upload, square, choice.top)
        else:
            embedding = _embedding(loaded, upload, square, compute)
            predictions = loaded.rank_embedding(embedding, head, choice.top)
    best = predictions[0]
    fits = fits_well(model=loaded.info.model, score=best.score, similarity=best.similarity)
    return Ranking(predictions, loaded.info.model, choice.name, fits, time.perf_counter() - started)


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
    embedding: NDArray[np.float32] = compute(_embed, loaded, upload, square)
    with _lock:
        _squares[key] = embedding
        while len(_squares) > REMEMBERED:
            _squares.popitem(last=False)
    return embedding


def _embed(loaded: engine.Engine, upload: Upload, square: Crop | None) -> NDArray[np.float32]:
    row: NDArray[np.float32] = loaded.embed_images([_picture(upload, square)])[0]
    return row.copy()


def _classify(loaded: engine.Engine, upload: Upload, square: Crop | None, top: int) -> tuple[engine.Ranked, ...]:
    return loaded.classify(_picture(upload, square), None, top).predictions


def _picture(upload: Upload, square: Crop | None) -> Image:
    """The picture that was kept, or the square of it, whole pixels."""
    from classifier.pictures import reading

    picture: Image = reading.picture_from_jpeg(upload_jpeg(upload.pk))
    if square is None:
        return picture
    scale = max(picture.size) / max(upload.width, upload.height)
    side = min(max(1, round(square.width * scale)), *picture.size)
    left = min(round(square.left * scale), picture.width - side)
    top = min(round(square.top * scale), picture.height - side)
    return picture.crop((left, top, left + side, top + side))
