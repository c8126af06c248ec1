"""Which part of a picture speaks for a label: cover each part in turn, and see how much the label loses.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014, arXiv:1311.2901, section 2.1, covered
squares in grey. A Vision Transformer reads patches as tokens, and a token can simply be left out: nothing grey is put
in its place that the model has an opinion about, and a pass costs less than a whole picture.

A window is a square of about three sevenths of the grid's side. Smaller ones are noisier: what is left of a thing still
says what it is. Windows overlap, so that each patch is the mean of the windows that cover it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 7  # about as many windows lie along a side as would if the grid had seven patches


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What a model answers to a picture and to that picture with each window covered.

    `responses` is (1 + W, R) float32, the whole picture first: L2-normalised embeddings, or logits from a model that
    makes no embeddings. Windows are in reading order of `windows(grid)`.
    """

    grid: int  # patches along a side
    responses: np.ndarray


def window_side(grid: int) -> int:
    """Patches along the side of a window."""
    return max(1, round(3 * grid / 7))


def windows(grid: int) -> np.ndarray:
    """Which patches each window covers: (W, grid * grid) bool, patches and windows in reading order."""
    side = window_side(grid)
    last, step = grid - side, max(1, round(grid / STEPS))
    starts = sorted({*range(0, last + 1, step), last})
    covered = np.zeros((len(starts) ** 2, grid, grid), bool)
    for window, (top, left) in enumerate((top, left) for top in starts for left in starts):
        covered[window, top : top + side, left : left + side] = True
    return covered.reshape(len(covered), -1)


def patches_kept(grid: int) -> np.ndarray:
    """The patches that each window leaves: (W, Q) int64."""
    left = ~windows(grid)
    return np.nonzero(left)[1].reshape(len(left), -1)


def pixels_covered(pixels: Tensor, grid: int, batch: int = 4) -> Iterator[Tensor]:
    """For models that read no patches: (1, 3, N, N) with each window set to zero, the mean, `batch` at a time."""
    import torch

    side = pixels.shape[-1]
    edges = np.arange(side) * grid // side  # the patch that each row and column of pixels belongs to
    covered = windows(grid).reshape(-1, grid, grid)[:, edges][:, :, edges]  # (W, N, N)
    for start in range(0, len(covered), batch):
        yield pixels * torch.from_numpy(~covered[start : start + batch, None])


def heat_of(logits: np.ndarray, label: int, grid: int) -> np.ndarray:
    """How much each patch speaks for one label, in logits: (grid, grid) float32, negative where it speaks against it.

    `logits` is (1 + W, K), the whole picture's first. Labels are compared with the mean of all: covering anything
    makes a picture less like every label.
    """
    centred = logits[:, label] - logits.mean(axis=1)  # (1 + W,)
    lost = centred[0] - centred[1:]  # (W,)
    covered = windows(grid)  # (W, P)
    heat: np.ndarray = (lost @ covered) / covered.sum(axis=0)  # (P,)
    return heat.reshape(grid, grid).astype(np.float32)
