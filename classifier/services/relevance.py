"""Where the pictures that words describe end, in a list that always has a nearest one.

Cosines of words and pictures lie elsewhere for each model, so each picture is its own measure: ImageNet's 1000 names,
of which nearly all are wrong for it. Words that say no more of a picture than chance land anywhere among those names;
words that describe it come before nearly all of them. ImageNet has 120 breeds of dog, and a good part of them may
describe a dog better than "a dog" does: therefore nine in ten, and not more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from classifier.models import Embedding
from classifier.services.embeddings import embedding_unpack
from classifier.services.fit import UNRELATED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.engine import Engine

ROUNDING = 1e-5  # of a cosine
WELL = ((0.99, "Very good match"), (0.96, "Good match"), (0.0, "Fair match"))
BEATEN = 0.9  # of ImageNet's names, which words that describe a picture come before


def names_beaten(loaded: Engine, query: NDArray[np.float32], uploads: Sequence[UUID]) -> dict[UUID, float]:
    """For each upload, the share of ImageNet's names that describe it no better than `query`, (D,) float32, does."""
    import numpy as np

    rows = list(Embedding.objects.filter(upload__in=uploads, weights_sha256=loaded.info.weights_sha256))
    if not rows:
        return {}
    pictures = np.stack([embedding_unpack(row) for row in rows])  # (n, D)
    names = pictures @ loaded.imagenet.weights.T  # (n, K)
    beaten = (names < (pictures @ query)[:, None] + ROUNDING).mean(axis=1)
    return {row.upload_id: float(share) for row, share in zip(rows, beaten, strict=True)}


def is_match(*, model: str, similarity: float, beaten: float) -> bool:
    """The line of relevance: words describe a picture where they beat nine in ten of ImageNet's names.

    Of ViT-B/32, whose cosines are known, never under 0.20.
    """
    return beaten >= BEATEN and not (model == "ViT-B/32" and similarity < UNRELATED)


def how_well(beaten: float) -> str:
    """How well words describe a picture that matches, by the share of names they beat, in words."""
    return next(said for least, said in WELL if beaten >= least)
