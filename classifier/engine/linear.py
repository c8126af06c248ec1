"""The linear layer in each precision: how its weights are stored, and the function that applies them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

Linear = Callable[[torch.Tensor], torch.Tensor]  # (..., in) float32 -> (..., out) float32


def linear_convert(precision: str, weight: torch.Tensor, bias: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """What the artifact holds for one layer: (out, in) weight and (out,) bias, by name."""
    tensors = {"weight": weight.float()}
    if bias is not None:
        tensors["bias"] = bias.float()
    return tensors


def linear_load(precision: str, tensors: dict[str, torch.Tensor]) -> Linear:
    """The layer that these tensors make."""
    weight, bias = tensors["weight"], tensors.get("bias")
    return lambda x: F.linear(x, weight, bias)
