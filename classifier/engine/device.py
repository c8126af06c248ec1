"""Where to compute: CLIP_DEVICE is auto (a GPU where torch sees one), cpu or cuda."""

from __future__ import annotations

import torch

from classifier.engine import Config
from classifier.errors import ModelUnavailable


def device_of(config: Config) -> str:
    """`cpu` or `cuda`. Raises ModelUnavailable where a GPU is demanded and there is none."""
    present = torch.cuda.is_available()
    if config.device == "cuda" and not present:
        raise ModelUnavailable("CLIP_DEVICE is cuda, but torch sees no GPU here; set CLIP_DEVICE=auto.")
    return "cuda" if present and config.device != "cpu" else "cpu"
