"""Where a model puts each picture, kept with the upload: one embedding per upload and model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from classifier.logs import line
from classifier.models import Embedding, Upload
from classifier.services import texts
from classifier.services.rows import uploads_lock
from classifier.services.statements import rows_insert

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from classifier.engine import Engine, Head
    from classifier.services.shards import Shards

logger = logging.getLogger(__name__)

EXPORTED_AT_ONCE = 1000  # rows of the database in memory


def owner_of(upload: Upload) -> str:
    """Whose upload it is, as embeddings keep it."""
    return owner_of_api_key(upload.api_key_id) if upload.api_key_id else upload.owner


def owner_of_api_key(api_key_id: int) -> str:
    """The owner of what an API key's program sent."""
    return f"api-key:{api_key_id}"


def embedding_make(*, upload: Upload, weights_sha256: str, embedding: NDArray[np.float32]) -> Embedding:
    """A record, not stored yet, of (D,) float32."""
    return Embedding(
        upload=upload,
        owner=owner_of(upload),
        weights_sha256=weights_sha256,
        dim=len(embedding),
        vector=embedding.astype("<f2").tobytes(),
    )


def embedding_save(*, upload: Upload, weights_sha256: str, embedding: NDArray[np.float32]) -> None:
    """Keep where a model puts a picture; what the same weights said before is replaced."""
    made = embedding_make(upload=upload, weights_sha256=weights_sha256, embedding=embedding)
    rows_insert([made], unique=("upload_id", "weights_sha256"), replaced=("vector",))


def embedding_load(*, upload: Upload, weights_sha256: str) -> NDArray[np.float32] | None:
    """Where a model put the picture, (D,) float32, L2-normalised; None where it has not seen it."""
    row = Embedding.objects.filter(upload=upload, weights_sha256=weights_sha256).first()
    return None if row is None else embedding_unpack(row)


def embedding_unpack(row: Embedding) -> NDArray[np.float32]:
    """(D,) float32, L2-normalised: rounding to float16 moved the length a little."""
    import numpy as np

    from classifier.engine.norm import normalised

    return normalised(np.frombuffer(row.vector, "<f2").astype(np.float32))


@dataclass
class Embedded:
    """What a backfill did."""

    embedded: int = 0
    broken: int = 0


def uploads_embed(*, loaded: Engine, batch: int, progress: Callable[[int, int], None]) -> Embedded:
    """Embed the stored pictures that this model has not seen, a batch at a time; what is done stays done.

    Raises `TextUnsupported` where the model makes no embeddings.
    """
    from classifier.pictures import reading

    texts.text_require(loaded)
    weights_sha256 = loaded.info.weights_sha256
    seen = Embedding.objects.filter(upload=OuterRef("pk"), weights_sha256=weights_sha256)
    missing = Upload.objects.filter(~Exists(seen)).order_by("pk")
    total, result, last = missing.count(), Embedded(), None
    progress(0, total)
    while uploads := list((missing.filter(pk__gt=last) if last else missing).defer(None)[:batch]):
        last = uploads[-1].pk
        pictures = []
        for upload in uploads:
            try:
                pictures.append((upload, reading.picture_from_jpeg(bytes(upload.image))))
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for a damaged JPEG
                result.broken += 1
                logger.warning("%s", line(event="embedding_failed", upload=upload.pk, reason=error))
        if pictures:
            _embed(loaded, pictures)
        result.embedded += len(pictures)
        progress(result.embedded + result.broken, total)
    return result


def _embed(loaded: Engine, pictures: list[tuple[Upload, Image]]) -> None:
    found = loaded.embed_images([picture for _, picture in pictures])
    weights_sha256 = loaded.info.weights_sha256
    with transaction.atomic():
        kept = Upload.objects.filter(pk__in=[upload.pk for upload, _ in pictures])
        left = set(uploads_lock(kept, len(pictures)))  # somebody may have deleted one meanwhile
        Embedding.objects.bulk_create(
            (
                embedding_make(upload=upload, weights_sha256=weights_sha256, embedding=embedding)
                for (upload, _), embedding in zip(pictures, found, strict=True)
                if upload.pk in left
            ),
            ignore_conflicts=True,  # the server may have classified one meanwhile
        )


def history_export(output: Shards, weights_sha256: str, *, owner: str | None, progress: Callable[[], object]) -> int:
    """Write what one model made of the stored pictures, without what `output` has already; returns how many.

    `owner`: an API key's name, or an owner's key; all where None.
    """
    rows = Embedding.objects.filter(weights_sha256=weights_sha256).select_related("upload").order_by("pk")
    rows = rows.defer("upload__image", "upload__words")
    if owner is not None:
        rows = rows.filter(Q(upload__owner=owner) | Q(upload__api_key__name=owner))
    written = 0
    for row in rows.iterator(chunk_size=EXPORTED_AT_ONCE):
        facts = _facts_of(row.upload)
        if facts["image_path"] not in output.done:
            vector = embedding_unpack(row)
            output.add(vector, facts | {"embedding": vector})
            written += 1
        progress()
    output.close()
    return written


def _facts_of(upload: Upload) -> dict[str, object]:
    return {
        "image_path": f"/uploads/{upload.pk}/image",
        "id": str(upload.pk),
        "name": upload.name,
        "created": upload.created,
        "sha256": upload.sha256,
        "width": upload.width,
        "height": upload.height,
        "label_set": upload.label_set,
        "label": upload.top_label,
        "score": upload.top_score,
    }


def head_export(head: Head, output: Shards) -> int:
    """Write the embeddings of a head's labels, without what `output` has already; returns how many."""
    written = 0
    for label, row in zip(head.labels, head.weights, strict=True):
        if label not in output.done:
            output.add(row, {"caption": label})
            written += 1
    output.close()
    return written
