"""The linear layer in each precision: what the artifact holds of it, and what applies it.

fp32  float32 weights, mapped from the file.
fp16  OpenAI's float16 weights, products and sums in float32: lossless. fbgemm's kernel wants them packed, a copy.
int8  One scale per output channel, and one per token, found when the token comes. Where the processor multiplies bytes
      exactly (VNNI), oneDNN takes the weights as they lie in the mapped file. Elsewhere fbgemm gets a packed copy and
      activations of seven bits, since without VNNI two products of eight-bit numbers overflow their 16-bit sum.

Where neither kernel is there, fp16 and int8 weights are turned into float32 at loading: correct, large and slow.

Shapes: T tokens (of all pictures), I inputs, O outputs.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

Linear = Callable[[Tensor], Tensor]  # (T, I) float32 -> (T, O) float32

logger = logging.getLogger(__name__)


# --- What the file holds ---------------------------------------------------------------------------------------------


def linear_store(precision: str, weight: Tensor, bias: Tensor | None = None) -> dict[str, Tensor]:
    """The tensors of one layer, by name, from an (O, I) weight and an (O,) bias, zero where None."""
    bias = torch.zeros(len(weight)) if bias is None else bias.float()
    if precision == "int8":
        scale = weight.float().abs().amax(dim=1).clamp_(min=1e-12) / 127  # (O,)
        rounded = (weight.float() / scale[:, None]).round_().to(torch.int8)
        return {"weight": rounded.t().contiguous(), "scale": scale, "bias": bias}  # (I, O), as oneDNN reads it
    dtype = torch.float16 if precision == "fp16" else torch.float32
    return {"weight": weight.to(dtype).contiguous(), "bias": bias}


# --- What run time makes of it ---------------------------------------------------------------------------------------


def linear_load(tensors: Mapping[str, Tensor], kernel: str, gain: float = 1.0) -> Linear:
    """The layer that these tensors make, its output times `gain`, by one of the kernels that `kernel_of` names."""
    return KERNELS[kernel](tensors, gain)


def kernels_of(precision: str) -> list[str]:
    """The kernels by which this machine computes a precision correctly, the fastest first."""
    if precision == "int8":
        return ["onednn-int8"] * bytes_multiply_exactly() + ["fbgemm-int8"] * has_fbgemm() or ["float32"]
    return ["fbgemm-fp16"] if precision == "fp16" and has_fbgemm() else ["float32"]


def kernel_of(precision: str) -> str:
    """The fastest; says so where a precision has none of its own here."""
    kernel = kernels_of(precision)[0]
    if kernel == "float32" and precision != "fp32":
        logger.warning("This machine has no %s kernel; the weights are used as float32: large and slow.", precision)
    return kernel


def has_fbgemm() -> bool:
    """Whether this torch was built with fbgemm and the processor has what it needs (AVX2)."""
    return "fbgemm" in torch.backends.quantized.supported_engines


@functools.cache
def bytes_multiply_exactly() -> bool:
    """Whether torch._int_mm is there, fast, and right at the extremes, which it is not on processors without VNNI."""
    if not torch.backends.mkldnn.is_available():
        return False  # there it is a plain loop
    left, right = torch.full((64, 256), 127, dtype=torch.int8), torch.full((256, 64), 127, dtype=torch.int8)
    left[::2], right[:, ::3] = -127, -127
    try:
        return torch.equal(torch._int_mm(left, right).long(), left.long() @ right.long())
    except RuntimeError:
        return False


class Float32Linear:
    """Weights of any precision as float32: views of the file where they are float32 there."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        weight = tensors["weight"].float()
        self.weight = (weight * tensors["scale"]).t() if "scale" in tensors else weight  # (O, I)
        self.bias, self.gain = tensors["bias"], gain

    def __call__(self, x: Tensor) -> Tensor:
        y = float32_linear(x, self.weight, self.bias)
        return y if self.gain == 1 else y.mul_(self.gain)


def float32_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """oneDNN's where torch has it: F.linear asks MKL, which takes twice as long on AMD's processors."""
    if x.is_cuda or not torch.backends.mkldnn.is_available():
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class Float16Linear:
    """Float16 weights packed by fbgemm, which widens them to float32 in registers."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        with packing_by_fbgemm():
            self.packed = torch.ops.quantized.linear_prepack_fp16(tensors["weight"].float(), tensors["bias"])
        self.gain = gain

    def __call__(self, x: Tensor) -> Tensor:
        y = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return y if self.gain == 1 else y.mul_(self.gain)


class Int8Linear:
    """Byte weights where they lie; each token's activations rounded by a scale of its own."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        self.weight, self.scale, self.bias = tensors["weight"], tensors["scale"] * gain, tensors["bias"] * gain

    def __call__(self, x: Tensor) -> Tensor:
        step = token_steps(x, 127)
        products = torch._int_mm((x / step).round_().to(torch.int8), self.weight)  # (T, O) int32
        return products.float().mul_(step).mul_(self.scale).add_(self.bias)


class PackedInt8Linear:
    """The same by fbgemm: it rounds by one scale for all tokens, so each is first brought to the same range."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        scale, zero = tensors["scale"].double() * gain, torch.zeros(len(tensors["scale"]), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # quantized tensors are on their way out of torch, whose version is pinned
            weight = torch._make_per_channel_quantized_tensor(tensors["weight"].t().contiguous(), scale, zero, 0)
        with packing_by_fbgemm():
            self.packed = torch.ops.quantized.linear_prepack(weight, None)
        self.bias = tensors["bias"] * gain

    def __call__(self, x: Tensor) -> Tensor:
        step = token_steps(x, 1)
        return torch.ops.quantized.linear_dynamic(x / step, self.packed, True).mul_(step).add_(self.bias)


KERNELS = {
    "float32": Float32Linear,
    "fbgemm-fp16": Float16Linear,
    "onednn-int8": Int8Linear,
    "fbgemm-int8": PackedInt8Linear,
}
PACKING = ("fbgemm-fp16", "fbgemm-int8")  # those that copy the weights and need the file no more


def token_steps(x: Tensor, levels: int) -> Tensor:
    """What one of `levels` steps from zero to a token's largest value is worth. (T, I) -> (T, 1)"""
    return x.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-8).div_(levels)


@contextlib.contextmanager
def packing_by_fbgemm() -> Iterator[None]:
    """Select fbgemm; the default on x86 is a mixture that packs for oneDNN too."""
    before, torch.backends.quantized.engine = torch.backends.quantized.engine, "fbgemm"
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
