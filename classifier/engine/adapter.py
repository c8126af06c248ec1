"""Labels that learn from examples, without training: what pictures like the examples were called counts, too.

Tip-Adapter (Zhang et al., "Tip-Adapter: Training-Free Adaption of CLIP for Few-Shot Classification", 2022,
arXiv:2207.09519, equations 3 to 6): the examples' embeddings are keys, their labels values. To a label's cosine comes
`alpha * exp(-beta * (1 - cosine))` of each of its examples, divided here by how many it has, so that a label with many
is not preferred for having them; the logit scale multiplies both.

The two numbers are chosen by leave-one-out: each example is classified by the text and by all others. Where that is no
better than by the text alone, the examples are not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # beside cosines, from which labels differ by hundredths
BETAS = (3.0, 6.0, 12.0, 25.0, 50.0)


@dataclass(frozen=True, eq=False)
class Adapter:
    """Examples of a head's labels: `keys` (N, D) float32, L2-normalised, and the label's place of each, (N,) int64."""

    keys: NDArray[np.float32]
    labels: NDArray[np.int64]
    count: int  # labels of the head
    alpha: float
    beta: float

    def cosines(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the examples add to the cosines of (B, D) embeddings with the labels' texts: (B, K)."""
        return self.alpha * _values(embeddings @ self.keys.T, self.labels, self.count, self.beta)


@dataclass(frozen=True)
class Learned:
    """What leave-one-out found: right answers of `examples`, by the text alone and with the other examples."""

    examples: int
    before: int
    after: int
    alpha: float
    beta: float

    @property
    def helps(self) -> bool:
        return self.after > self.before


def learn(keys: NDArray[np.float32], labels: NDArray[np.int64], head: NDArray[np.float32]) -> Learned:
    """Choose the two numbers for examples, (N, D) and (N,), of the labels of a head (K, D); the mildest of the best."""
    count, cosines = len(head), keys @ head.T  # (N, K)
    before = int((cosines.argmax(axis=1) == labels).sum())
    best = Learned(len(keys), before, before, 0.0, BETAS[0])
    affinity = keys @ keys.T  # (N, N)
    np.fill_diagonal(affinity, -np.inf)  # an example is none of its own neighbours: exp gives zero
    for beta in BETAS:
        values = _values(affinity, labels, count, beta, left_out=labels)
        for alpha in ALPHAS:
            after = int(((cosines + alpha * values).argmax(axis=1) == labels).sum())
            if (after, -alpha) > (best.after, -best.alpha):
                best = Learned(len(keys), before, after, alpha, beta)
    return best


def _values(
    affinity: NDArray[np.float32],
    labels: NDArray[np.int64],
    count: int,
    beta: float,
    left_out: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """(B, N) cosines with the examples -> (B, K): per label the mean nearness of its examples, from 0 to 1.

    `left_out`: per row the label that has one example less, since that is the row itself.
    """
    nearness = np.exp(beta * (affinity - 1))  # (B, N)
    sums = np.zeros((len(affinity), count), np.float32)
    for label in np.unique(labels):
        sums[:, label] = nearness[:, labels == label].sum(axis=1)
    examples = np.broadcast_to(np.bincount(labels, minlength=count), sums.shape).astype(np.float32)
    if left_out is not None:
        examples = examples.copy()
        examples[np.arange(len(sums)), left_out] -= 1
    return (sums / np.maximum(examples, 1)).astype(np.float32)
