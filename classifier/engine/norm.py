"""Embeddings on the unit sphere, where CLIP compares them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length. (..., D) -> (..., D)"""
    lengths: NDArray[np.float32] = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / lengths
