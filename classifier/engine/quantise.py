"""int8 weights that can be trusted: the scale of outlier channels is moved into the weights before rounding.

A few channels of a trained transformer are tens of times larger than the others; one scale per token then leaves the
others only a few steps. SmoothQuant (Xiao et al., 2022, arXiv:2211.10438) divides each channel of a layer's input by
s = max|x| ** a / max|w| ** (1 - a) and multiplies the weights that read it, which changes nothing but what is rounded.
The division costs nothing at run time: it goes into the LayerNorm before qkv and fc, and into the values' rows of qkv
before out. (Between fc and proj lies a nonlinearity, so proj stays as it is.) Beyond the paper, the exponent is chosen
per layer, as the one that loses least on pictures that the project draws itself.

Shapes: T tokens, I inputs, O outputs of a layer, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from classifier.engine.checkpoint import Shape
from classifier.engine.image_tower import BATCH, Block, Stem, block_store, block_tensors, ends_store, stem_tensors
from classifier.engine.linear import float32_linear

EXPONENTS = (0.3, 0.5, 0.7, 0.9)
SAMPLE = 256  # tokens on which exponents are compared

Tensors = dict[str, Tensor]


def int8_store(
    state: Mapping[str, Tensor], shape: Shape, pixels: Tensor, done: Callable[[int], None] | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Like image_tower_store in int8, calibrated on `pixels` (B, 3, N, N). Holds one block in memory at a time."""
    yield from ends_store(state, "int8")
    stem = Stem(stem_tensors(state, "fp32"), shape.patch, "float32")
    batches = [stem(batch) for batch in pixels.split(BATCH)]  # (T, D) each
    for layer in range(shape.layers):
        tensors = block_tensors(state, layer)
        block = Block(tensors, shape.heads, "float32")
        inputs = {name: Recorder(getattr(block, name)) for name in ("qkv", "out", "fc")}
        for name, recorder in inputs.items():
            setattr(block, name, recorder)
        batches = [block(x, len(x) // tokens(shape)) for x in batches]
        yield from block_store(layer, block_smoothed(tensors, inputs), "int8")
        if done:
            done(layer + 1)


def tokens(shape: Shape) -> int:
    """L, of one picture."""
    return (shape.resolution // shape.patch) ** 2 + 1


class Recorder(nn.Module):
    """A linear layer that remembers what it was given."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear, self.given = linear, []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x)
        return self.linear(x)

    def largest(self) -> Tensor:
        """Per channel, (I,)."""
        return torch.stack([x.abs().amax(dim=0) for x in self.given]).amax(dim=0)

    def sample(self) -> Tensor:
        """Tokens from all pictures, evenly. (SAMPLE, I) or fewer"""
        x = torch.cat(self.given)
        return x[:: max(1, len(x) // SAMPLE)]


def block_smoothed(tensors: Tensors, inputs: Mapping[str, Recorder]) -> Tensors:
    """The same block with its channels' scales moved into the weights."""
    tensors = dict(tensors)
    for norm, name in (("ln_1", "qkv"), ("ln_2", "fc")):
        scale = smoothing(inputs[name], tensors[f"{name}.weight"])
        for kind in ("weight", "bias"):
            tensors[f"{norm}.{kind}"] = tensors[f"{norm}.{kind}"] / scale
        tensors[f"{name}.weight"] = tensors[f"{name}.weight"] * scale
    scale = smoothing(inputs["out"], tensors["out.weight"])
    one = torch.ones_like(scale)
    rows = torch.cat([one, one, scale])  # of qkv: only the values reach out, weighted but unmixed across channels
    tensors["qkv.weight"], tensors["qkv.bias"] = tensors["qkv.weight"] / rows[:, None], tensors["qkv.bias"] / rows
    tensors["out.weight"] = tensors["out.weight"] * scale
    return tensors


def smoothing(given: Recorder, weight: Tensor) -> Tensor:
    """The (I,) scales that lose least when a layer's input and its (O, I) weight are rounded to int8."""
    sample, largest = given.sample(), given.largest().clamp(min=1e-5)
    no_bias = weight.new_zeros(len(weight))
    heaviest = weight.abs().amax(dim=0).clamp(min=1e-5)  # (I,)
    exact, best, least = float32_linear(sample, weight, no_bias), torch.ones_like(largest), float("inf")
    for exponent in (None, *EXPONENTS):
        scale = torch.ones_like(largest) if exponent is None else largest**exponent / heaviest ** (1 - exponent)
        scale = scale / scale.log().mean().exp()  # only ratios between channels matter
        y = float32_linear(rounded(sample / scale), rounded(weight * scale), no_bias)
        loss = (y - exact).square().sum().item()
        if loss < least:
            best, least = scale, loss
    return best


def rounded(rows: Tensor) -> Tensor:
    """Rows as int8 with a scale each would have them: tokens of an input, output channels of a weight."""
    step = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
    return (rows / step).round_().mul_(step)
