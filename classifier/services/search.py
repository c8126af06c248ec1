"""Search over what was uploaded, by picture and by words."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from classifier.errors import LabelError
from classifier.models import Embedding, Upload
from classifier.services import engines, nearest, texts
from classifier.services.embeddings import embedding_unpack
from classifier.services.labels import CONTROL

MAX_HITS = 100
MAX_WORDS = 200  # characters of a search


@dataclass(frozen=True)
class Hit:
    """An upload that was found, its cosine to what was searched for, and whether it is the same file."""

    upload: Upload
    similarity: float
    duplicate: bool = False


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
        return []
    found = nearest.nearest(
        query,
        weights_sha256=loaded.info.weights_sha256,
        owner=owner,
        count=count,
        candidates=nearest.EF_WORDS,
    )
    return _hits(found, with_runs)


def _hits(found: list[tuple[UUID, float]], with_runs: bool, sha256: str = "") -> list[Hit]:
    stored = Upload.objects.with_latest() if with_runs else Upload.objects.all()
    uploads = stored.in_bulk([key for key, _ in found])
    return [
        Hit(uploads[key], similarity, duplicate=uploads[key].sha256 == sha256)
        for key, similarity in found
        if key in uploads  # one may have been deleted since
    ]
