"""CLIP's ResNet image towers, by the `clip` package's own network (`ModifiedResNet` in clip/model.py), in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from classifier.engine.checkpoint import Shape
from classifier.engine.tokenizer import clip_package

BATCH = 4  # pictures


def resnet_store(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """OpenAI's parameters in float32, under their names. What only training reads is left out."""
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            yield name, tensor.float()


class ResNetTower:
    """Call it with (B, 3, N, N) float32 pixels; it answers (B, E) float32 embeddings, not normalised."""

    def __init__(self, weights: Mapping[str, Tensor], shape: Shape) -> None:
        clip_package()
        from clip.model import ModifiedResNet

        heads = shape.width * 32 // 64  # as in clip's CLIP.__init__
        with torch.device("meta"):  # no memory for weights that come from the file
            self.network = ModifiedResNet(shape.layers, shape.embed_dim, heads, shape.resolution, shape.width)
        self.network.load_state_dict(dict(weights), strict=False, assign=True)
        for name, buffer in self.network.named_buffers():
            if name.endswith("num_batches_tracked"):
                owner, _, attribute = name.rpartition(".")
                setattr(self.network.get_submodule(owner), attribute, torch.zeros_like(buffer, device="cpu"))
        self.network.eval()

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.network(batch) for batch in pixels.split(BATCH)])
