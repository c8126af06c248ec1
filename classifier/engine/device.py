"""Where to compute, and in what: CLIP_DEVICE is auto (a GPU where torch sees one), cpu or cuda."""

from __future__ import annotations

import torch

from classifier.engine import Config
from classifier.engine.linear import FLOAT16, kernel_of
from classifier.errors import ModelUnavailable


def device_of(config: Config) -> str:
    """`cpu` or `cuda`. Raises ModelUnavailable where a GPU is demanded and there is none."""
    present = torch.cuda.is_available()
    if config.device == "cuda" and not present:
        raise ModelUnavailable("CLIP_DEVICE is cuda, but torch sees no GPU here; set CLIP_DEVICE=auto.")
    return "cuda" if present and config.device != "cpu" else "cpu"


def kernel_on(device: str, precision: str, asked: str) -> str:
    """The kernel for an artifact of a precision, where `asked` is CLIP_PRECISION.

    A GPU multiplies in float16 whatever is stored, a ResNet's float32 too, unless float32 is what was asked for.
    """
    if device == "cpu":
        return kernel_of(precision)
    return "float32" if asked == "fp32" else FLOAT16
