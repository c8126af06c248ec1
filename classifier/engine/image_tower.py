"""CLIP's image tower, a Vision Transformer, from pixels to embedding.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, arXiv:2103.00020, and
OpenAI's `VisionTransformer` in https://github.com/openai/CLIP/blob/main/clip/model.py, of which this is the same
arithmetic. Shapes: B batch, P patches, L = P + 1 tokens, D width, H heads of 64, E embedding.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from classifier.engine.checkpoint import Shape
from classifier.engine.linear import linear_convert, linear_load


class Weights:
    """Tensors of one tower by dotted name."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def of(self, prefix: str) -> dict[str, torch.Tensor]:
        return {name[len(prefix) + 1 :]: t for name, t in self.tensors.items() if name.startswith(prefix + ".")}


LAYERS = {"qkv": "attn.in_proj_", "out": "attn.out_proj.", "fc": "mlp.c_fc.", "proj": "mlp.c_proj."}


def image_tower_convert(state: dict[str, torch.Tensor], shape: Shape, precision: str) -> dict[str, torch.Tensor]:
    """OpenAI's parameters -> what the artifact holds, by the names that ImageTower reads."""
    converted = {
        "patch.weight": state["conv1.weight"].flatten(1).float(),
        "class_embedding": state["class_embedding"].float(),
        "positional_embedding": state["positional_embedding"].float(),
        "embedding.weight": state["proj"].float().t().contiguous(),
    }
    for norm in ("ln_pre", "ln_post"):
        converted |= {f"{norm}.{part}": state[f"{norm}.{part}"].float() for part in ("weight", "bias")}
    for layer in range(shape.layers):
        source = f"transformer.resblocks.{layer}."
        for norm in ("ln_1", "ln_2"):
            for part in ("weight", "bias"):
                converted[f"{layer}.{norm}.{part}"] = state[f"{source}{norm}.{part}"].float()
        for name, theirs in LAYERS.items():
            tensors = linear_convert(precision, state[f"{source}{theirs}weight"], state[f"{source}{theirs}bias"])
            converted |= {f"{layer}.{name}.{part}": tensor for part, tensor in tensors.items()}
    return converted


class Block:
    """One residual attention block."""

    def __init__(self, weights: Weights, layer: int, heads: int, precision: str) -> None:
        self.heads = heads
        self.ln_1, self.ln_2 = weights.of(f"{layer}.ln_1"), weights.of(f"{layer}.ln_2")
        self.qkv, self.out, self.fc, self.proj = (linear_load(precision, weights.of(f"{layer}.{n}")) for n in LAYERS)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.out(self.attention(layer_norm(x, self.ln_1)))
        hidden = self.fc(layer_norm(x, self.ln_2))  # (B, L, 4D)
        return x + self.proj(hidden * torch.sigmoid(1.702 * hidden))  # QuickGELU

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, 64).permute(2, 0, 3, 1, 4)  # (B, H, L, 64) each
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)


def layer_norm(x: torch.Tensor, norm: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.layer_norm(x, (x.shape[-1],), norm["weight"], norm["bias"], 1e-5)


class ImageTower:
    """Call it with (B, 3, N, N) float32 pixels; it answers (B, E) float32 embeddings, not normalised."""

    def __init__(self, tensors: dict[str, torch.Tensor], shape: Shape, precision: str) -> None:
        weights = Weights(tensors)
        self.patch = shape.patch
        self.patch_weight = tensors["patch.weight"]
        self.class_embedding, self.positional_embedding = tensors["class_embedding"], tensors["positional_embedding"]
        self.ln_pre, self.ln_post = weights.of("ln_pre"), weights.of("ln_post")
        self.blocks = [Block(weights, layer, shape.heads, precision) for layer in range(shape.layers)]
        self.embedding = tensors["embedding.weight"]

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        batch = pixels.shape[0]
        # A convolution whose stride is its size is a linear layer over flattened patches.
        patches = F.unfold(pixels, self.patch, stride=self.patch).transpose(1, 2)  # (B, P, 3 * patch * patch)
        x = F.linear(patches, self.patch_weight)  # (B, P, D)
        x = torch.cat([self.class_embedding.expand(batch, 1, -1), x], dim=1) + self.positional_embedding  # (B, L, D)
        x = layer_norm(x, self.ln_pre)
        for block in self.blocks:
            x = block(x)
        return F.linear(layer_norm(x[:, 0], self.ln_post), self.embedding)  # the class token -> (B, E)
