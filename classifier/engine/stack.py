"""The blocks of either tower in plain float32: what conversion watches at work, forwards and backwards.

The arithmetic is that of OpenAI's `ResidualAttentionBlock` (https://github.com/openai/CLIP/blob/main/clip/model.py);
slower than what serves, but every step can be differentiated, and a caller may do each linear layer himself.

Shapes: B pictures or texts, L tokens of each, T = B * L, D width, H heads of 64, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from classifier.engine.checkpoint import Shape, VitShape
from classifier.engine.image_tower import GELU, HEAD_WIDTH, LINEARS, Stem, stem_tensors
from classifier.engine.linear import float32_linear

Apply = Callable[[str, Tensor, Tensor, Tensor], Tensor]  # layer's name, input (T, I), weight (O, I), bias (O,)


@dataclass(frozen=True)
class Stack:
    """The blocks of a tower, what goes into the first, and what makes an embedding of what the last one gives."""

    state: Mapping[str, Tensor]  # OpenAI's parameters, those of the blocks under `transformer.resblocks.`
    layers: int
    start: Tensor  # (T, D)
    count: int  # B
    causal: bool
    finish: Callable[[Tensor], Tensor]  # (T, D) -> (B, E)

    def block(self, tensors: Mapping[str, Tensor], x: Tensor, count: int, apply: Apply | None = None) -> Tensor:
        """One block, its tensors named as block_tensors names them, over `count` of the B. (T, D) -> (T, D)"""
        apply, width = apply or plainly, x.shape[1]

        def linear(name: str, given: Tensor) -> Tensor:
            return apply(name, given, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

        def norm(name: str, given: Tensor) -> Tensor:
            return F.layer_norm(given, (width,), tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-5)

        qkv = linear("qkv", norm("ln_1", x)).view(count, -1, 3, width // HEAD_WIDTH, HEAD_WIDTH)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, L, 64) each
        gathered = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + linear("out", gathered.transpose(1, 2).reshape(-1, width))
        hidden = F.silu(GELU * linear("fc", norm("ln_2", x)))  # 1.702 QuickGELU; proj's bias is as many times OpenAI's
        return x + linear("proj", hidden) / GELU


def plainly(name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The layer, nothing but."""
    return float32_linear(x, weight, bias)


def layer_names(layers: int) -> list[str]:
    """The linear layers of a tower's blocks, "blocks.3.fc" for example."""
    return [f"blocks.{layer}.{name}" for layer in range(layers) for name in LINEARS]


def layer_sizes(state: Mapping[str, Tensor], layers: int) -> dict[str, int]:
    """Weights per linear layer: as many bytes as it takes more in float16 than in int8."""
    return {
        f"blocks.{layer}.{name}": state[f"transformer.resblocks.{layer}.{theirs}weight"].numel()
        for layer in range(layers)
        for name, theirs in LINEARS.items()
    }


def image_stack(state: Mapping[str, Tensor], shape: VitShape, pixels: Tensor) -> Stack:
    """The image tower (its parameters without `visual.`) at work on pixels (B, 3, N, N)."""
    start = Stem(stem_tensors(state, "fp32"), shape.patch, "float32")(pixels)

    def finish(x: Tensor) -> Tensor:
        last = x.view(-1, len(start) // len(pixels), shape.width)[:, 0]  # the class token
        post = F.layer_norm(last, (shape.width,), state["ln_post.weight"].float(), state["ln_post.bias"].float(), 1e-5)
        return post @ state["proj"].float()

    return Stack(state, shape.layers, start, len(pixels), False, finish)


def text_stack(state: Mapping[str, Tensor], shape: Shape, texts: Sequence[Sequence[int]]) -> Stack:
    """The text tower at work on token sequences of one length."""
    tokens = torch.tensor(texts)  # (B, L)
    embedded = (
        state["token_embedding.weight"][tokens].float() + state["positional_embedding"][: tokens.shape[1]].float()
    )

    def finish(x: Tensor) -> Tensor:
        last = x.view(-1, tokens.shape[1], shape.text_width)[:, -1]  # the end-of-text token
        weight, bias = state["ln_final.weight"].float(), state["ln_final.bias"].float()
        return F.layer_norm(last, (shape.text_width,), weight, bias, 1e-5) @ state["text_projection"].float()

    return Stack(state, shape.text_layers, embedded.flatten(0, 1), len(tokens), True, finish)
