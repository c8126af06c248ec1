"""Search over what was uploaded, by picture and by words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from classifier.errors import LabelError
from classifier.models import Embedding, Upload
from classifier.services import engines, nearest, texts
from classifier.services.embeddings import embedding_unpack
from classifier.services.labels import CONTROL
from classifier.services.relevance import how_well, is_match, names_beaten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.engine import Engine

MAX_HITS = 100
MAX_MATCHES = 240  # pictures that a search by words pages through
MAX_WORDS = 200  # characters of a search


@dataclass(frozen=True)
class Hit:
    """An upload that was found, its cosine to what was searched for, and whether it is the same file."""

    upload: Upload
    similarity: float
    duplicate: bool = False
    beaten: float = 0.0  # the share of ImageNet's names that describe it worse than the words that were searched for

    @property
    def how_well(self) -> str:
        """In words, for one that matches."""
        return how_well(self.beaten)

    @property
    def beaten_percent(self) -> str:
        """Rounded down, so that 100 means all of them."""
        return f"{math.floor(1000 * self.beaten + 1e-9) / 10:g}"


@dataclass(frozen=True)
class Matches:
    """What words find, the best first: on this side of the line of relevance, and the nearest beyond it."""

    matching: list[Hit]
    beyond: list[Hit]
    model: str


def uploads_similar(*, upload: Upload, owner: str | None, count: int = 12, with_runs: bool = False) -> list[Hit]:
    """The uploads most like this one, the likest first: an owner's, or everybody's where `owner` is None.

    With `with_runs` each comes with its newest run. Compared by the model that saw this upload last; empty where none
    has (the stand-in makes no embeddings).
    """
    row = Embedding.objects.filter(upload=upload).order_by("-id").first() if owner != "" else None
    if row is None:
        return []
    found = nearest.nearest(
        embedding_unpack(row), weights_sha256=row.weights_sha256, owner=owner, count=count, skip=upload.pk
    )
    return _hits(found, with_runs, upload.sha256)


def uploads_by_words(*, words: str, owner: str | None, count: int = 24, with_runs: bool = False) -> list[Hit]:
    """The uploads that words describe best: an owner's, or everybody's where `owner` is None.

    Raises `LabelError` for no or too many words, `TextUnsupported` where the model reads no text, `ModelUnavailable`
    and `Busy`.
    """
    return _hits(_found_by_words(words, owner, count)[2], with_runs)


def uploads_matching(*, words: str, owner: str | None) -> Matches:
    """The uploads that words describe, and those they do not, by the rule in relevance.py.

    Among the MAX_MATCHES nearest. Raises as `uploads_by_words`.
    """
    loaded, query, found = _found_by_words(words, owner, MAX_MATCHES)
    beaten = names_beaten(loaded, query, [key for key, _ in found])
    hits = [replace(hit, beaten=beaten.get(hit.upload.pk, 0.0)) for hit in _hits(found, with_runs=False)]

    def matches(hit: Hit) -> bool:
        return is_match(model=loaded.info.model, similarity=hit.similarity, beaten=hit.beaten)

    matching = [hit for hit in hits if matches(hit)]
    return Matches(matching, [hit for hit in hits if not matches(hit)], loaded.info.model)


def _found_by_words(
    words: str, owner: str | None, count: int
) -> tuple[Engine, NDArray[np.float32], list[nearest.Found]]:
    words = " ".join(words.split())
    if not words:
        raise LabelError("Type what to look for, such as “a dog on a beach”.")
    if CONTROL.search(words):
        raise LabelError("The search has a control character.")
    if len(words) > MAX_WORDS:
        raise LabelError(f"The search has {len(words)} characters; {MAX_WORDS} are the most.")
    loaded = engines.engine_get()
    query = texts.texts_embed(loaded, [words])[0]
    if owner == "":
        return loaded, query, []
    found = nearest.nearest(
        query,
        weights_sha256=loaded.info.weights_sha256,
        owner=owner,
        count=count,
        candidates=nearest.EF_WORDS,
    )
    return loaded, query, found


def _hits(found: list[tuple[UUID, float]], with_runs: bool, sha256: str = "") -> list[Hit]:
    stored = Upload.objects.with_latest() if with_runs else Upload.objects.all()
    uploads = stored.in_bulk([key for key, _ in found])
    return [
        Hit(uploads[key], similarity, duplicate=uploads[key].sha256 == sha256)
        for key, similarity in found
        if key in uploads  # one may have been deleted since
    ]
