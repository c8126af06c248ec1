"""The embeddings nearest to one: in PostgreSQL with pgvector where that is there, with NumPy elsewhere.

All ways answer the same: cosine over the stored float16 numbers, the nearest first, equal ones by upload. With
pgvector an owner of few uploads is searched exactly, along the owner's index; everything, and an owner of many, through
the model's HNSW index (https://arxiv.org/abs/1603.09320), which finds nearly all of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import connection, transaction

from classifier import vectors
from classifier.models import Embedding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Found = tuple[UUID, float]  # upload, cosine

EXACT_ROWS = 5_000  # of one owner; beyond, the index is faster
# How many candidates the index keeps on its way: recall for time, measured in docs/operations.md. Words lie apart from
# pictures in CLIP's space, where neighbours are harder to find; among one owner's, twice as many are kept.
EF_IMAGE, EF_WORDS = 200, 400
MAX_ROWS = 100_000  # the newest, without pgvector: half a second
CHUNK_ROWS = 2_000  # in memory at a time, without pgvector


def nearest(
    query: NDArray[np.float32],
    *,
    weights_sha256: str,
    owner: str | None,
    count: int,
    skip: UUID | None = None,
    candidates: int = EF_IMAGE,
) -> list[Found]:
    """The `count` uploads whose embeddings by one model are nearest to `query`, (D,) float32.

    `owner` None searches all uploads; `skip` leaves one out; `candidates` is how many the index keeps on its way.
    """
    native, indexed = _means(weights_sha256, owner) if connection.vendor == "postgresql" else (False, False)
    if not native:
        return _nearest_numpy(query, weights_sha256, owner, count, skip)
    found = _nearest_pgvector(query, weights_sha256, owner, count, skip, candidates) if indexed else []
    if len(found) < count:  # there are few, or the index gave up among the uploads of others
        found = _nearest_pgvector(query, weights_sha256, owner, count, skip)
    return sorted(((key, 1 - far) for key, far in found), key=_order)


def _means(weights_sha256: str, owner: str | None) -> tuple[bool, bool]:
    """Whether PostgreSQL holds vectors, and whether to take the index: for everything, and for an owner of many."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ({vectors.COLUMN_IS_NATIVE}), ({vectors.INDEX_IS_THERE}), (SELECT count(*) FROM "
            f"(SELECT 1 FROM {vectors.TABLE} WHERE owner = %s AND weights_sha256 = %s LIMIT %s) AS own)",
            [vectors.index_name(weights_sha256), owner, weights_sha256, EXACT_ROWS + 1],
        )
        native, indexed, own = cursor.fetchone()
    return bool(native), bool(indexed) and (owner is None or own > EXACT_ROWS)


def _nearest_pgvector(
    query: NDArray[np.float32],
    weights_sha256: str,
    owner: str | None,
    count: int,
    skip: UUID | None,
    candidates: int | None = None,
) -> list[tuple[UUID, float]]:
    """Uploads and cosine distances, through the index where `candidates` is given and exactly where not."""
    dim = len(query)
    where = "weights_sha256 = %s"
    values: list[str | UUID] = [weights_sha256]
    if owner is not None:
        where, values = f"{where} AND owner = %s", [*values, owner]
    if skip is not None:
        where, values = f"{where} AND upload_id <> %s", [*values, skip]
    literal = vectors.vector_to_text(query.astype("<f2").tobytes())
    distances = (
        f"SELECT upload_id, vector::halfvec({dim}) <=> %s::halfvec({dim}) AS far FROM {vectors.TABLE} WHERE {where}"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        if candidates is None:  # MATERIALIZED keeps the planner from the index
            cursor.execute(
                f"WITH own AS MATERIALIZED ({distances}) "
                "SELECT upload_id, far FROM own ORDER BY far, upload_id LIMIT %s",
                [literal, *values, count],
            )
        else:
            # Relaxed order lets the scan go on past what the filter drops; the caller puts the few in order.
            cursor.execute(
                "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), "
                "set_config('hnsw.ef_search', %s, true)",
                [str(candidates if owner is None else 2 * candidates)],
            )
            cursor.execute(f"{distances} ORDER BY far LIMIT %s", [literal, *values, count])
        found: list[tuple[UUID, float]] = cursor.fetchall()
        return found


def _nearest_numpy(
    query: NDArray[np.float32], weights_sha256: str, owner: str | None, count: int, skip: UUID | None
) -> list[Found]:
    import numpy as np

    from classifier.engine.norm import normalised

    query = normalised(query.astype("<f2").astype(np.float32))
    best: list[Found] = []
    for keys, matrix in newest(weights_sha256, owner, len(query)):  # (n, D) float32
        cosines = matrix @ query / np.linalg.norm(matrix, axis=1)  # (n,)
        candidates = ((key, float(cosine)) for key, cosine in zip(keys, cosines, strict=True) if key != skip)
        best = heapq.nsmallest(count, [*best, *candidates], key=_order)
    return best


def newest(
    weights_sha256: str, owner: str | None, dim: int, most: int | None = None
) -> Iterator[tuple[list[UUID], NDArray[np.float32]]]:
    """The newest embeddings by one model, `most` or MAX_ROWS, a few at a time: uploads, and (n, D) float32."""
    import numpy as np

    rows = Embedding.objects.filter(weights_sha256=weights_sha256).order_by("-id")
    if owner is not None:
        rows = rows.filter(owner=owner)
    keys, parts = [], []
    for key, vector in rows.values_list("upload_id", "vector")[: most or MAX_ROWS].iterator(chunk_size=CHUNK_ROWS):
        keys.append(key)
        parts.append(vector)
        if len(keys) == CHUNK_ROWS:
            yield keys, np.frombuffer(b"".join(parts), "<f2").reshape(-1, dim).astype(np.float32)
            keys, parts = [], []
    if keys:
        yield keys, np.frombuffer(b"".join(parts), "<f2").reshape(-1, dim).astype(np.float32)


def _order(found: Found) -> tuple[float, UUID]:
    key, cosine = found
    return -cosine, key
