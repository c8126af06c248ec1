"""The network of image_tower.py, computed by the C library."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from classifier.engine.checkpoint import VitShape
from classifier.engine.native.library import CBlock, CTower, Keeper, loaded
from classifier.engine.weights_file import WeightsFile, part

TOGETHER = 2  # pictures that go through together: the activations of more would not stay in the processor's cache


class NativeNetwork:
    """Call it with (B, 3, N, N) float32 pixels; it answers (B, E). Some threads may do so at once.

    Each call is two calls of C, which ctypes makes without Python's lock. `wide` names layers ("blocks.3.fc") whose
    inputs are rounded to two bytes; `gelu` is the factor in QuickGELU.
    """

    def __init__(self, weights: Mapping[str, Tensor], shape: VitShape, gelu: float, wide: Collection[str] = ()) -> None:
        self.keeper, self.shape = Keeper(), shape
        self.idle: list[Tensor] = []  # working memory that no call is using
        self.blocks = (CBlock * shape.layers)()
        gains = {"qkv": 1.0, "out": 1.0, "fc": gelu, "proj": 1 / gelu}
        for layer, block in enumerate(self.blocks):
            tensors = part(weights, f"blocks.{layer}")
            for name in ("ln_1", "ln_2"):
                setattr(block, name, self.keeper.norm(part(tensors, name)))
            for name, gain in gains.items():
                found = self.keeper.linear(part(tensors, name), gain, f"blocks.{layer}.{name}" in wide)
                setattr(block, name, found)
            if isinstance(weights, WeightsFile):
                weights.forget()
        self.tower = self.ends(weights)

    def ends(self, weights: Mapping[str, Tensor]) -> CTower:
        stem, shape, keep = part(weights, "stem"), self.shape, self.keeper
        tower = CTower(shape.resolution, shape.patch, shape.width, shape.layers)
        tower.class_token, tower.positions = keep.floats(stem["class_token"]), keep.floats(stem["positions"])
        tower.stem, tower.ln_pre = keep.linear(part(stem, "patch")), keep.norm(part(stem, "ln_pre"))
        tower.ln_post, tower.embedding = keep.norm(part(weights, "ln_post")), keep.linear(part(weights, "embedding"))
        tower.blocks = ctypes.cast(self.blocks, ctypes.POINTER(CBlock))
        return tower

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.embed(self.stem(pixels), len(pixels))

    def partial(self, pixels: Tensor, kept: Tensor) -> Tensor:
        """As Network.partial."""
        tokens = F.pad(kept + 1, [1, 0])  # (B, 1 + Q): the class token stays
        return self.embed(self.stem(pixels)[tokens].flatten(0, 1), len(kept))

    def stem(self, pixels: Tensor) -> Tensor:
        """(B, 3, N, N) -> (T, D)"""
        pixels = pixels.float().contiguous()
        x = torch.empty(len(pixels) * self.tokens, self.shape.width)
        scratch = self.borrow()
        loaded().tower_stem(
            self.tower, pixels.data_ptr(), len(pixels), x.data_ptr(), scratch.data_ptr(), torch.get_num_threads()
        )
        self.idle.append(scratch)
        return x

    def embed(self, x: Tensor, pictures: int) -> Tensor:
        """(T, D) tokens of some pictures, as many of each, which are used up -> (B, E)"""
        y = torch.empty(pictures, self.shape.embed_dim)
        scratch = self.borrow()
        loaded().tower_embed(
            self.tower, x.data_ptr(), pictures, len(x) // pictures, y.data_ptr(), scratch.data_ptr(), TOGETHER,
            torch.get_num_threads(),
        )  # fmt: skip
        self.idle.append(scratch)
        return y

    def borrow(self) -> Tensor:
        try:
            return self.idle.pop()
        except IndexError:
            return torch.empty(loaded().tower_scratch(self.tower, TOGETHER * self.tokens), dtype=torch.uint8)

    @property
    def tokens(self) -> int:
        return (self.shape.resolution // self.shape.patch) ** 2 + 1
