"""The linear layer in each precision: what the artifact holds of it, and what applies it.

fp32  float32 weights, mapped from the file.
fp16  OpenAI's float16 weights, products and sums in float32: lossless. Kernels want them packed, a copy: the C files
      without a byte more, fbgemm in steps of 512 inputs, so that 768 take the room of 1,024.
int8  One scale per output channel, and one per token, found when the token comes. Where the processor multiplies bytes
      exactly (VNNI), C files of this project do (native/), without a compiler oneDNN, otherwise fbgemm with activations
      of seven bits, since without VNNI two products of eight-bit numbers overflow their 16-bit sum. All want a packed
      copy.

A GPU's tensor cores multiply float16 by float16 and add up in float32: `Float16Products`, for whatever is stored.

Where no such kernel is there, fp16 and int8 weights are turned into float32 at loading: correct, large and slow.

The layers are modules, those of torch's kernels such as TorchScript can compile: see image_tower.py.

Shapes: T tokens (of all pictures), I inputs, O outputs.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import List, Optional, Union  # noqa: UP035

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classifier.engine.native.library import NativeLinear, library

Linear = Callable[[Tensor], Tensor]  # (T, I) float32 -> (T, O) float32
Arguments = List[Optional[Union[int, float, complex]]]  # noqa: UP006, UP007, UP045 (as TorchScript spells Scalar?[])

logger = logging.getLogger(__name__)


# --- What the file holds ---------------------------------------------------------------------------------------------


def linear_store(precision: str, weight: Tensor, bias: Tensor | None = None) -> dict[str, Tensor]:
    """The tensors of one layer, by name, from an (O, I) weight and an (O,) bias, zero where None."""
    bias = torch.zeros(len(weight)) if bias is None else bias.float()
    if precision == "int8":
        scale = weight.float().abs().amax(dim=1).clamp_(min=1e-12) / 127  # (O,)
        rounded = (weight.float() / scale[:, None]).round_().to(torch.int8)
        return {"weight": rounded, "scale": scale, "bias": bias}
    dtype = torch.float16 if precision == "fp16" else torch.float32
    return {"weight": weight.to(dtype).contiguous(), "bias": bias}


# --- What run time makes of it ---------------------------------------------------------------------------------------


def linear_load(tensors: Mapping[str, Tensor], kernel: str, gain: float = 1.0) -> Linear:
    """The layer that these tensors make, its output times `gain`, by one of the kernels that `kernel_of` names.

    Among int8 layers some may be kept in float16: they have no scale, and a kernel of their own.
    """
    if kernel in INT8_KERNELS and "scale" not in tensors:
        kernel = torch_kernel_of("fp16")
    return KERNELS[kernel](tensors, gain)


def kernels_of(precision: str) -> list[str]:
    """The kernels by which this machine computes a precision correctly, the fastest first."""
    if precision == "int8":
        torchs = ["onednn-int8"] * bytes_multiply_exactly() + ["fbgemm-int8"] * has_fbgemm()
        return [NATIVE] * has_native() + torchs or ["float32"]
    if precision == "fp16":
        return [NATIVE_FP16] * has_native() + ["fbgemm-fp16"] * has_fbgemm() or ["float32"]
    return ["float32"]


def kernel_of(precision: str) -> str:
    """The fastest; says so where a precision has none of its own here."""
    kernel = kernels_of(precision)[0]
    if kernel == "float32" and precision != "fp32":
        logger.warning("This machine has no %s kernel; the weights are used as float32: large and slow.", precision)
    return kernel


def torch_kernel_of(precision: str) -> str:
    """The fastest of torch's own: TorchScript can compile it, and by fp16's activations stay float."""
    return next((kernel for kernel in kernels_of(precision) if kernel not in NATIVES), "float32")


def has_native() -> bool:
    """Whether the C files were compiled and the processor has what they need (AVX-512 with VNNI)."""
    return library() is not None


def has_fbgemm() -> bool:
    """Whether this torch was built with fbgemm and the processor has what it needs (AVX2)."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def has_onednn() -> bool:
    """Whether this torch was built with oneDNN."""
    return bool(torch.backends.mkldnn.is_available())


@functools.cache
def bytes_multiply_exactly() -> bool:
    """Whether oneDNN multiplies packed bytes right at the extremes, which it does not on processors without VNNI.

    And by a real kernel: the plain loop that it falls back to takes a thousand times as long as float32 does.
    """
    if not has_onednn():
        return False
    x, weight = torch.full((64, 512), 127.0), torch.full((256, 512), 127, dtype=torch.int8)
    x[::2], weight[::3] = -127, -127
    tensors = {"weight": weight, "scale": torch.ones(256), "bias": torch.zeros(256)}
    plain = Float32Linear(tensors)
    try:
        layer = Int8Linear(tensors)
        right = torch.equal(layer(x), plain(x))
    except RuntimeError:
        return False
    return right and _seconds(layer, x) < 20 * _seconds(plain, x)


def _seconds(layer: Linear, x: Tensor, turns: int = 3) -> float:
    """The least of some turns."""
    least = float("inf")
    for _ in range(turns):
        started = time.perf_counter()
        layer(x)
        least = min(least, time.perf_counter() - started)
    return least


def widened(tensors: Mapping[str, Tensor]) -> Tensor:
    """The weight in float32, whatever it is stored in: a view of the file where it is float32 there. (O, I)"""
    weight = tensors["weight"].float()
    return weight * tensors["scale"][:, None] if "scale" in tensors else weight


class Float32Linear(nn.Module):
    """Weights of any precision as float32."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        super().__init__()
        self.weight = widened(tensors)  # (O, I)
        self.bias, self.gain = tensors["bias"], gain

    def forward(self, x: Tensor) -> Tensor:
        y = float32_linear(x, self.weight, self.bias)
        return y if self.gain == 1 else y.mul_(self.gain)


if has_onednn():

    def float32_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """By oneDNN: F.linear asks MKL, which takes twice as long on AMD's processors."""
        if x.is_cuda:
            return F.linear(x, weight, bias)
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", no_arguments(), "")
        return y

else:  # TorchScript compiles both sides of an `if`, and this operator is not there

    def float32_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)


class Float16Linear(nn.Module):
    """Float16 weights packed by fbgemm, which widens them to float32 in registers."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        super().__init__()
        with packing_by_fbgemm():
            self.packed = torch.ops.quantized.linear_prepack_fp16(widened(tensors), tensors["bias"])
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self.packed)
        return y if self.gain == 1 else y.mul_(self.gain)


class Float16Products(nn.Module):
    """Weights and activations in float16, for a GPU. The answer is float16 too; the residual stream that takes it in
    stays float32, and so do the LayerNorms, which read that."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        super().__init__()
        self.weight = widened(tensors).half()  # (O, I)
        self.bias, self.gain = tensors["bias"].half(), gain

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x.half(), self.weight, self.bias)
        return y if self.gain == 1 else y.mul_(self.gain)


class Int8Linear(nn.Module):
    """Byte weights packed by oneDNN; each token's activations rounded by a scale of its own."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        super().__init__()
        self.packed = torch.ops.onednn.qlinear_prepack(tensors["weight"], None)
        self.scale, self.bias = tensors["scale"] * gain, tensors["bias"] * gain
        self.zero = torch.zeros(len(self.scale), dtype=torch.int32)

    def forward(self, x: Tensor) -> Tensor:
        step = token_steps(x, 127)
        # oneDNN's kernel wants unsigned bytes: -127..127 are moved by 128, which it takes off again. Cutting off the
        # fraction rounds, a half having been added.
        moved = (x / step).add_(128.5).to(torch.uint8)
        y = torch.ops.onednn.qlinear_pointwise(
            moved, 1.0, 128, self.packed, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", no_arguments(), ""
        )  # (T, O), in steps
        return torch.addcmul(self.bias, y, step)


class PackedInt8Linear(nn.Module):
    """The same by fbgemm: it rounds by one scale for all tokens, so each is first brought to the same range."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0) -> None:
        super().__init__()
        scale, zero = tensors["scale"].double() * gain, torch.zeros(len(tensors["scale"]), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # quantized tensors are on their way out of torch, whose version is pinned
            weight = torch._make_per_channel_quantized_tensor(tensors["weight"], scale, zero, 0)
        with packing_by_fbgemm():
            self.packed = torch.ops.quantized.linear_prepack(weight, None)
        self.bias = tensors["bias"] * gain

    def forward(self, x: Tensor) -> Tensor:
        step = token_steps(x, 1)
        return torch.addcmul(self.bias, torch.ops.quantized.linear_dynamic(x / step, self.packed, True), step)


NATIVE, NATIVE_FP16 = NATIVES = "native-int8", "native-fp16"
FLOAT16 = "float16"
KERNELS: dict[str, Callable[[Mapping[str, Tensor], float], nn.Module]] = {
    "float32": Float32Linear,
    FLOAT16: Float16Products,
    NATIVE: NativeLinear,
    NATIVE_FP16: NativeLinear,
    "fbgemm-fp16": Float16Linear,
    "onednn-int8": Int8Linear,
    "fbgemm-int8": PackedInt8Linear,
}
INT8_KERNELS = ("onednn-int8", "fbgemm-int8")
PACKING = (*NATIVES, "fbgemm-fp16", "onednn-int8", "fbgemm-int8")  # they copy the weights and need the file no more


def token_steps(x: Tensor, levels: int) -> Tensor:
    """What one of `levels` steps from zero to a token's largest value is worth. (T, I) -> (T, 1)"""
    return x.abs().amax(dim=-1, keepdim=True).clamp_(min=1e-8).div_(levels)


def no_arguments() -> Arguments:
    """For an operator whose optional second operation takes none."""
    arguments: Arguments = []
    return arguments


@contextlib.contextmanager
def packing_by_fbgemm() -> Iterator[None]:
    """Select fbgemm; the default on x86 is a mixture that packs for oneDNN too."""
    before, torch.backends.quantized.engine = torch.backends.quantized.engine, "fbgemm"
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
