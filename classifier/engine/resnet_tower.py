"""CLIP's ResNet image towers, by the `clip` package's own network (`ModifiedResNet` in clip/model.py).

In float32; on a GPU as OpenAI runs them there, convolutions and products in float16.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from classifier.engine.checkpoint import ResNetShape
from classifier.engine.linear import FLOAT16
from classifier.engine.tokenizer import clip_module

BATCH = 4  # pictures


def resnet_store(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """OpenAI's parameters in float32, under their names. What only training reads is left out."""
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            yield name, tensor.float()


class ResNetTower:
    """Call it with (B, 3, N, N) float32 pixels; it answers (B, E) float32 embeddings, not normalised."""

    def __init__(
        self, weights: Mapping[str, Tensor], shape: ResNetShape, kernel: str = "float32", batch: int = BATCH
    ) -> None:
        self.batch = batch
        heads = shape.width * 32 // 64  # as in clip's CLIP.__init__
        with uninitialised():
            self.network = clip_module("model").ModifiedResNet(
                shape.layers, shape.embed_dim, heads, shape.resolution, shape.width
            )
        self.network.load_state_dict(dict(weights), strict=False, assign=True)
        self.network.eval()
        if kernel == FLOAT16:
            clip_module("model").convert_weights(self.network)

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.network(batch) for batch in pixels.split(self.batch)]).float()


@contextlib.contextmanager
def uninitialised() -> Iterator[None]:
    """Layers made inside are left as allocated, which costs neither time nor memory: their weights come from the file.

    Not `torch.device("meta")`, for which torch imports its compiler, a hundred megabytes of it.
    """
    init = torch.nn.init
    own = {name: getattr(init, name) for name in ("kaiming_uniform_", "uniform_", "ones_", "zeros_")}
    try:
        for name in own:
            setattr(init, name, lambda tensor, *_, **__: tensor)
        yield
    finally:
        for name, function in own.items():
            setattr(init, name, function)
