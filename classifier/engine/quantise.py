"""int8 weights that can be trusted: the scale of outlier channels is moved into the weights before rounding.

A few channels of a trained transformer are tens of times larger than the others; one scale per token then leaves the
others only a few steps. SmoothQuant (Xiao et al., 2022, arXiv:2211.10438) divides each channel of a layer's input by
s = max|x| ** a / max|w| ** (1 - a) and multiplies the weights that read it, which changes nothing but what is rounded.
The division costs nothing at run time: it goes into the LayerNorm before qkv and fc, and into the values' rows of qkv
before out. (Between fc and proj lies a nonlinearity, so proj stays as it is.) Beyond the paper, the exponent is chosen
per layer, as the one that loses least on pictures that the project draws itself.

Where that is not enough, layers are kept in float16: sensitivity.py says which, precision.py how many.

Shapes: T tokens, I inputs, O outputs of a layer, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from classifier.engine.checkpoint import VitShape
from classifier.engine.image_tower import BATCH, KINDS, LINEARS, block_tensors, ends_store
from classifier.engine.linear import float32_linear, linear_store
from classifier.engine.stack import Stack, plainly

EXPONENTS = (0.3, 0.5, 0.7, 0.9)
SAMPLE = 256  # tokens on which exponents are compared
WATCHED = 8  # pictures or texts, one of each kind that is drawn, on which layers are compared: see sensitivity.py
SMOOTHED = ("qkv", "out", "fc")  # the layers before which there is something that can take a scale

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Calibration:
    """What a tower did with some pictures or texts."""

    inputs: list[Tensor]  # of each block, for the first WATCHED of them, (T, D); and what the last block gave
    scales: list[Tensors]  # of each block, by which the inputs of `SMOOTHED` are divided, (I,) each
    embeddings: Tensor  # (B, E)


def calibrate(stack: Stack, done: Callable[[int], None] = lambda layers: None) -> Calibration:
    """Send the stack's pictures or texts through it, a block in memory at a time."""
    length = len(stack.start) // stack.count  # tokens of one
    x, inputs, scales = stack.start, [stack.start[: WATCHED * length]], []
    for layer in range(stack.layers):
        tensors, recorder = block_tensors(stack.state, layer), Recorder()
        x = torch.cat([stack.block(tensors, part, len(part) // length, recorder) for part in x.split(BATCH * length)])
        inputs.append(x[: WATCHED * length].clone())
        scales.append({name: smoothing(recorder, name, tensors[f"{name}.weight"]) for name in SMOOTHED})
        done(layer + 1)
    return Calibration(inputs, scales, stack.finish(x))


class Recorder:
    """Does linear layers and remembers what they were given."""

    def __init__(self) -> None:
        self.given: dict[str, list[Tensor]] = {name: [] for name in LINEARS}

    def __call__(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        self.given[name].append(x)
        return plainly(name, x, weight, bias)

    def largest(self, name: str) -> Tensor:
        """Per channel, (I,)."""
        return torch.stack([x.abs().amax(dim=0) for x in self.given[name]]).amax(dim=0)

    def sample(self, name: str) -> Tensor:
        """Tokens from everywhere, evenly. (SAMPLE, I) or fewer"""
        x = torch.cat(self.given[name])
        return x[:: max(1, len(x) // SAMPLE)]


def block_smoothed(tensors: Tensors, scales: Tensors, int8: Collection[str] = tuple(LINEARS)) -> Tensors:
    """The same block, the scales of its `int8` layers moved into their weights; the others are left alone."""
    tensors = dict(tensors)
    for norm, name in (("ln_1", "qkv"), ("ln_2", "fc")):
        if name in int8:
            for kind in KINDS:
                tensors[f"{norm}.{kind}"] = tensors[f"{norm}.{kind}"] / scales[name]
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"] * scales[name]
    if "out" in int8:
        one = torch.ones_like(scales["out"])
        rows = torch.cat([one, one, scales["out"]])  # of qkv: only the values reach out, weighted but unmixed
        tensors["qkv.weight"], tensors["qkv.bias"] = tensors["qkv.weight"] / rows[:, None], tensors["qkv.bias"] / rows
        tensors["out.weight"] = tensors["out.weight"] * scales["out"]
    return tensors


def smoothing(recorder: Recorder, name: str, weight: Tensor) -> Tensor:
    """The (I,) scales that lose least when a layer's input and its (O, I) weight are rounded to int8."""
    sample, largest = recorder.sample(name), recorder.largest(name).clamp(min=1e-5)
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


# --- What the files hold ---------------------------------------------------------------------------------------------


def int8_store(
    state: Mapping[str, Tensor], shape: VitShape, scales: list[Tensors], kept: Collection[str] = ()
) -> Iterator[tuple[str, Tensor]]:
    """Like image_tower_store in int8, smoothed by `scales`; the layers named in `kept` stay float16."""
    yield from ends_store(state, "int8")
    for layer in range(shape.layers):
        tensors, stored = block_int8(state, layer, scales[layer], kept)
        for norm in ("ln_1", "ln_2"):
            yield from ((f"blocks.{layer}.{norm}.{kind}", tensors[f"{norm}.{kind}"]) for kind in KINDS)
        yield from ((f"blocks.{layer}.{name}", tensor) for name, tensor in stored.items())


def block_int8(
    state: Mapping[str, Tensor], layer: int, scales: Tensors, kept: Collection[str]
) -> tuple[Tensors, Tensors]:
    """One block, smoothed, and its linear layers as they are stored: "fc.weight", "fc.scale", "fc.bias"."""
    int8 = [name for name in LINEARS if f"blocks.{layer}.{name}" not in kept]
    tensors = block_smoothed(block_tensors(state, layer), scales, int8)
    stored: Tensors = {}
    for name in LINEARS:
        precision = "int8" if name in int8 else "fp16"
        layer_tensors = linear_store(precision, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        stored |= {f"{name}.{kind}": tensor for kind, tensor in layer_tensors.items()}
    return tensors, stored
