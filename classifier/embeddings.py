"""Where a model puts each picture, kept with the upload: one embedding per upload and model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .models import Embedding, Upload

if TYPE_CHECKING:
    import numpy as np


def owner_of(upload: Upload) -> str:
    """Whose upload it is, as embeddings keep it."""
    return owner_of_api_key(upload.api_key_id) if upload.api_key_id else upload.owner


def owner_of_api_key(api_key_id: int) -> str:
    """The owner of what an API key's program sent."""
    return f"api-key:{api_key_id}"


def embedding_make(*, upload: Upload, weights_sha256: str, embedding: np.ndarray) -> Embedding:
    """A record, not stored yet, of (D,) float32."""
    return Embedding(
        upload=upload,
        owner=owner_of(upload),
        weights_sha256=weights_sha256,
        dim=len(embedding),
        vector=embedding.astype("<f2").tobytes(),
    )


def embedding_save(*, upload: Upload, weights_sha256: str, embedding: np.ndarray) -> None:
    """Keep where a model puts a picture; what the same weights said before is replaced."""
    Embedding.objects.bulk_create(
        [embedding_make(upload=upload, weights_sha256=weights_sha256, embedding=embedding)],
        update_conflicts=True,
        unique_fields=["upload", "weights_sha256"],
        update_fields=["vector"],
    )


def embedding_load(*, upload: Upload, weights_sha256: str) -> np.ndarray | None:
    """Where a model put the picture, (D,) float32, L2-normalised; None where it has not seen it."""
    row = Embedding.objects.filter(upload=upload, weights_sha256=weights_sha256).first()
    return None if row is None else embedding_unpack(row)


def embedding_unpack(row: Embedding) -> np.ndarray:
    """(D,) float32, L2-normalised: rounding to float16 moved the length a little."""
    import numpy as np

    vector = np.frombuffer(row.vector, "<f2").astype(np.float32)
    return vector / np.linalg.norm(vector)
