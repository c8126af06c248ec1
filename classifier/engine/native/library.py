"""The compiled library, its structures (native.h), and one linear layer of it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, Structure, c_int, c_size_t, c_void_p

import torch
from torch import Tensor, nn

from classifier.engine.native import resize
from classifier.engine.native.build import library_path

FLAGS = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"}  # as Linux spells them
INT8, WIDE, FLOAT16 = range(3)
PANEL = 32  # outputs that a kernel computes


class CLinear(Structure):
    _fields_ = (
        *((name, c_int) for name in ("kind", "inputs", "outputs", "unused")),
        *((name, c_void_p) for name in ("panels", "scale", "bias", "start")),
    )


class CNorm(Structure):
    _fields_ = (("weight", c_void_p), ("bias", c_void_p))


class CBlock(Structure):
    _fields_ = (
        *((name, CNorm) for name in ("ln_1", "ln_2")),
        *((name, CLinear) for name in ("qkv", "out", "fc", "proj")),
    )


class CTower(Structure):
    _fields_ = (
        *((name, c_int) for name in ("side", "patch", "width", "layers")),
        *((name, c_void_p) for name in ("class_token", "positions")),
        ("stem", CLinear),
        *((name, CNorm) for name in ("ln_pre", "ln_post")),
        ("blocks", POINTER(CBlock)),
        ("embedding", CLinear),
    )


ARGUMENTS = resize.ARGUMENTS | {
    "int8_pack": (c_void_p, c_int, c_int, c_void_p, c_void_p),
    "float16_pack": (c_void_p, c_int, c_int, c_void_p),
    "input_size": (POINTER(CLinear), c_int),
    "linear_alone": (POINTER(CLinear), c_void_p, c_int, c_void_p, c_void_p, c_int),
    "tower_scratch": (POINTER(CTower), c_int),
    "tower_stem": (POINTER(CTower), c_void_p, c_int, c_void_p, c_void_p, c_int),
    "tower_embed": (POINTER(CTower), c_void_p, c_int, c_int, c_void_p, c_void_p, c_int, c_int),
}

_loaded: ctypes.CDLL | None = None


def library() -> ctypes.CDLL | None:
    """What build.py compiled, where this processor can run it."""
    global _loaded
    if _loaded is None and library_path().is_file() and processor_flags() >= FLAGS:
        found = ctypes.CDLL(str(library_path()))
        for name, arguments in ARGUMENTS.items():
            function = getattr(found, name)
            function.argtypes = arguments
            function.restype = c_size_t if name in ("input_size", "tower_scratch") else None
        _loaded = found
    return _loaded


def loaded() -> ctypes.CDLL:
    """The same, for those that asked whether it is there."""
    found = library()
    if found is None:
        raise RuntimeError("The C kernels are not there: nothing may choose them.")
    return found


def processor_flags() -> set[str]:
    """What Linux says that this processor can do, and that it saves the registers for; empty elsewhere."""
    try:
        with open("/proc/cpuinfo") as file:
            return set(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return set()


class Keeper:
    """Makes structures of tensors, and keeps the memory that they point to."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def pointer(self, tensor: Tensor) -> int:
        self.kept.append(tensor)
        return tensor.data_ptr()

    def floats(self, tensor: Tensor) -> int:
        return self.pointer(tensor.float().contiguous())

    def norm(self, tensors: Mapping[str, Tensor]) -> CNorm:
        return CNorm(self.floats(tensors["weight"]), self.floats(tensors["bias"]))

    def linear(self, tensors: Mapping[str, Tensor], gain: float = 1.0, wide: bool = False) -> CLinear:
        """A layer as linear.py stores it, its output times `gain`; `wide`: byte weights, inputs of two bytes."""
        weight = tensors["weight"].contiguous()
        outputs, inputs = weight.shape
        if outputs % PANEL or (weight.dtype == torch.int8 and inputs % 16):
            raise ValueError(f"The C kernels compute no layer of {inputs} inputs and {outputs} outputs.")
        panels = torch.empty(weight.numel(), dtype=weight.dtype)
        layer = CLinear(FLOAT16, inputs, outputs, 0, self.pointer(panels))
        if weight.dtype == torch.int8:
            start = torch.empty(outputs, dtype=torch.int32)
            layer.kind, layer.start = WIDE if wide else INT8, self.pointer(start)
            loaded().int8_pack(weight.data_ptr(), outputs, inputs, panels.data_ptr(), start.data_ptr())
        else:
            loaded().float16_pack(weight.data_ptr(), outputs, inputs, panels.data_ptr())
        scale = tensors["scale"] if "scale" in tensors else torch.ones(outputs)
        layer.scale, layer.bias = self.floats(scale * gain), self.floats(tensors["bias"] * gain)
        return layer


class NativeLinear(nn.Module):
    """One layer by itself, rounded as in the tower. TorchScript cannot compile it."""

    def __init__(self, tensors: Mapping[str, Tensor], gain: float = 1.0, wide: bool = False) -> None:
        super().__init__()
        self.keeper = Keeper()
        self.layer = self.keeper.linear(tensors, gain, wide)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float().contiguous()
        y = torch.empty(len(x), self.layer.outputs)
        scratch = torch.empty(4 * len(x) + loaded().input_size(self.layer, len(x)), dtype=torch.uint8)
        loaded().linear_alone(
            self.layer, x.data_ptr(), len(x), y.data_ptr(), scratch.data_ptr(), torch.get_num_threads()
        )
        return y
