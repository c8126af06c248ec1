"""A map of somebody's pictures: their embeddings in two dimensions, and which pictures are nearly the same.

Principal components, which NumPy computes from the embeddings' covariance: t-SNE or UMAP would part the groups more
clearly, and the packages that have them (scikit-learn with SciPy: 45 MB) are more than a slug has room for.

Two pictures count as nearly the same from a cosine of `SAME` on, the distance of 0.01 that Immich takes for duplicates
by default. https://docs.immich.app/administration/system-settings
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict
from uuid import UUID

from django.db.models import Count, Max

from classifier.capacity import admission
from classifier.models import Atlas, Embedding
from classifier.services import engines
from classifier.services.nearest import newest
from classifier.services.texts import text_require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 5_000  # pictures on a map, the newest
SAME = 0.99  # cosine
ROWS_AT_A_TIME = 500


@dataclass(frozen=True)
class Point:
    """A picture's place: x from the left and y from the top, from 0 to 1."""

    upload: UUID
    x: float
    y: float


@dataclass(frozen=True)
class Map:
    """Points, the newest first; groups of two and more near-duplicates, the largest first; how many were left out."""

    points: list[Point]
    groups: list[list[UUID]]
    left_out: int


class Content(TypedDict):
    """A map as it is kept: uploads in hexadecimal."""

    points: list[tuple[str, float, float]]
    groups: list[list[str]]


def atlas_obtain(*, owner: str) -> Map:
    """The map of an owner's pictures by the model that runs here; computed anew when pictures came or went.

    Whoever has no key yet has no pictures: what programs sent without one is nobody's, and kept under an empty one.

    Raises `TextUnsupported` where the model makes no embeddings, `ModelUnavailable` and `Busy`.
    """
    loaded = engines.engine_get()
    text_require(loaded)
    if not owner:
        return Map([], [], 0)
    sha256 = loaded.info.weights_sha256
    own = Embedding.objects.filter(owner=owner, weights_sha256=sha256)
    state = own.aggregate(count=Count("pk"), newest=Max("pk"))
    made_of = f"{state['count']} {state['newest']}"
    row = Atlas.objects.filter(owner=owner, weights_sha256=sha256).first()
    if row is None or row.made_of != made_of:
        with admission.slot() as compute:
            content = compute(_content, list(newest(sha256, owner, loaded.info.dim or 0, MOST)))
        row, _ = Atlas.objects.update_or_create(
            owner=owner, weights_sha256=sha256, defaults={"made_of": made_of, "content": content}
        )
    return Map(
        points=[Point(UUID(key), x, y) for key, x, y in row.content["points"]],
        groups=[[UUID(key) for key in group] for group in row.content["groups"]],
        left_out=max(0, state["count"] - MOST),
    )


def _content(chunks: list[tuple[list[UUID], NDArray[np.float32]]]) -> Content:
    import numpy as np

    if not chunks:
        return {"points": [], "groups": []}
    keys = [key.hex for part, _ in chunks for key in part]
    embeddings = np.concatenate([matrix for _, matrix in chunks])  # (N, D) float32
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    places = places_of(embeddings)
    return {
        "points": [(key, round(float(x), 4), round(float(y), 4)) for key, (x, y) in zip(keys, places, strict=True)],
        "groups": [[keys[row] for row in group] for group in groups_of(embeddings)],
    }


def places_of(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) -> (N, 2) from 0 to 1: the two directions in which they differ most, each stretched to its width."""
    import numpy as np

    centred = embeddings - embeddings.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)  # (D, D), the largest variance last
    places = centred @ directions[:, :-3:-1]  # (N, 2)
    low, high = places.min(axis=0), places.max(axis=0)
    stretched: NDArray[np.float32] = (places - low) / np.maximum(high - low, 1e-6)
    return stretched


def groups_of(embeddings: NDArray[np.float32]) -> list[list[int]]:
    """Rows of (N, D), L2-normalised, that are nearly the same, also by way of others; the largest groups first."""
    import numpy as np

    parent = list(range(len(embeddings)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for start in range(0, len(embeddings), ROWS_AT_A_TIME):
        cosines = embeddings[start : start + ROWS_AT_A_TIME] @ embeddings[start:].T
        for here, there in np.argwhere(cosines >= SAME).tolist():
            if here < there:
                parent[root(start + there)] = root(start + here)
    groups: dict[int, list[int]] = {}
    for row in range(len(embeddings)):
        groups.setdefault(root(row), []).append(row)
    return sorted((group for group in groups.values() if len(group) > 1), key=len, reverse=True)
