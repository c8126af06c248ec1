"""CLIP's image tower, a Vision Transformer, from pixels to embedding.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, arXiv:2103.00020, and
OpenAI's `VisionTransformer` in https://github.com/openai/CLIP/blob/main/clip/model.py. The arithmetic is theirs; what
cannot change the result is left out or done once.

The C files in native/ compute the same network where they can (`NativeNetwork`). Elsewhere TorchScript compiles it
(https://docs.pytorch.org/docs/stable/jit_language_reference.html): it then runs from pixels to embedding without
Python, and so without its lock, for which each of its 700 operations would otherwise wait whenever another thread is
running Python.

Shapes: B pictures, N pixels a side, P patches, L = P + 1 tokens, D width, H heads of 64, E embedding, T = B * L.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classifier.engine.checkpoint import VitShape
from classifier.engine.linear import FLOAT16, NATIVES, PACKING, kernel_of, linear_load, linear_store, torch_kernel_of
from classifier.engine.native.network import NativeNetwork
from classifier.engine.weights_file import WeightsFile, part

HEAD_WIDTH = 64
GELU = 1.702  # QuickGELU is x * sigmoid(1.702 x)
BATCH = 4  # pictures that go through together: the activations of more would not stay in the processor's cache
BATCH_GPU = 128  # a GPU wants thousands of rows; ViT-L/14@336px needs some 3 GB for these


class ImageTower:
    """Call it with (B, 3, N, N) float32 pixels; it answers (B, E) float32 embeddings, not normalised.

    `wide` names layers ("blocks.3.fc") whose activations stay float among int8's (in C, two bytes each); those that the
    file holds in float16 do so anyway.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        shape: VitShape,
        precision: str,
        kernel: str | None = None,
        wide: Collection[str] = (),
        batch: int = BATCH,
    ) -> None:
        self.batch = batch
        kernel = kernel or kernel_of(precision)
        self.network: NativeNetwork | Any
        if kernel in NATIVES:
            self.network = NativeNetwork(weights, shape, GELU, wide)
        else:
            self.network = torch.jit.script(Network(weights, shape, precision, kernel, wide).eval())

    def __call__(self, pixels: Tensor) -> Tensor:
        with unoptimised():
            return torch.cat([self.network(batch) for batch in pixels.split(self.batch)]).float()

    def partial(self, pixels: Tensor, kept: Tensor) -> Tensor:
        """One picture, (1, 3, N, N), without some of its patches each time: the rows of `kept`, (B, Q) int64, are those
        that are left. Answers (B, E)."""
        with unoptimised():
            return torch.cat([self.network.partial(pixels, rows) for rows in kept.split(self.batch)]).float()


def unoptimised() -> AbstractContextManager[None]:
    """TorchScript's optimiser finds nothing to make faster here, and takes memory to find out."""
    without: AbstractContextManager[None] = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]  # it is
    return without


class Network(nn.Module):
    """A few pictures' way through the tower."""

    def __init__(
        self, weights: Mapping[str, Tensor], shape: VitShape, precision: str, kernel: str, wide: Collection[str]
    ) -> None:
        super().__init__()
        end_kernel = kernel if kernel in ("float32", FLOAT16) else torch_kernel_of(end_precision(precision))
        self.stem = Stem(part(weights, "stem"), shape.patch, end_kernel)
        blocks, float_kernel = [], torch_kernel_of("fp16")
        for layer in range(shape.layers):
            kernels = {name: float_kernel if f"blocks.{layer}.{name}" in wide else kernel for name in LINEARS}
            blocks.append(Block(part(weights, f"blocks.{layer}"), shape.heads, kernels))
            if kernel in PACKING and isinstance(weights, WeightsFile):
                weights.forget()
        self.blocks, self.last = nn.ModuleList(blocks[:-1]), blocks[-1]
        self.ln_post = LayerNorm(part(weights, "ln_post"))
        self.embedding = linear_load(part(weights, "embedding"), end_kernel)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, N, N) -> (B, E)"""
        return self.embed(self.stem(pixels), len(pixels))

    @torch.jit.export
    def partial(self, pixels: Tensor, kept: Tensor) -> Tensor:
        """One picture, (1, 3, N, N), each time with no more of its patches than `kept`, (B, Q) int64 -> (B, E)"""
        tokens = F.pad(kept + 1, [1, 0])  # (B, 1 + Q): the class token stays
        return self.embed(self.stem(pixels)[tokens].flatten(0, 1), len(kept))

    def embed(self, x: Tensor, pictures: int) -> Tensor:
        """(T, D) tokens of some pictures, as many of each -> (B, E)"""
        for block in self.blocks:
            x = block(x, pictures)
        return self.embedding(self.ln_post(self.last.class_token(x, pictures)))


class Stem(nn.Module):
    """Pixels to tokens: the class token, then the patches in reading order."""

    def __init__(self, tensors: Mapping[str, Tensor], patch: int, kernel: str) -> None:
        super().__init__()
        self.patch = patch
        self.linear = linear_load(part(tensors, "patch"), kernel)
        self.class_token, self.positions = tensors["class_token"], tensors["positions"]  # (D,), (P, D)
        self.ln_pre = LayerNorm(part(tensors, "ln_pre"))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, N, N) -> (T, D)"""
        pictures, grid = len(pixels), pixels.shape[-1] // self.patch
        # A convolution whose stride is its size is a linear layer over the patches.
        patches = pixels.view(pictures, 3, grid, self.patch, grid, self.patch).permute(0, 2, 4, 1, 3, 5)
        x = self.linear(patches.reshape(pictures * grid * grid, -1))  # (B * P, D)
        x = x.view(pictures, grid * grid, -1) + self.positions
        tokens: Tensor = self.ln_pre(torch.cat([self.class_token.expand(pictures, 1, -1), x], dim=1).flatten(0, 1))
        return tokens


class Block(nn.Module):
    """A residual attention block (`ResidualAttentionBlock`)."""

    def __init__(self, tensors: Mapping[str, Tensor], heads: int, kernels: Mapping[str, str]) -> None:
        super().__init__()
        self.heads, self.head_width, self.gelu = heads, HEAD_WIDTH, GELU
        self.ln_1, self.ln_2 = LayerNorm(part(tensors, "ln_1")), LayerNorm(part(tensors, "ln_2"))
        gains = {"qkv": 1.0, "out": 1.0, "fc": GELU, "proj": 1.0}
        loaded = {name: linear_load(part(tensors, name), kernels[name], gain) for name, gain in gains.items()}
        self.qkv, self.out, self.fc, self.proj = loaded["qkv"], loaded["out"], loaded["fc"], loaded["proj"]

    def forward(self, x: Tensor, pictures: int) -> Tensor:
        """(T, D) -> (T, D)"""
        return self.mlp(x + self.out(self.attention(self.ln_1(x), pictures, None)))

    def class_token(self, x: Tensor, pictures: int) -> Tensor:
        """The last block: of its output only the class token is read, so only that is computed. (T, D) -> (B, D)"""
        attended = self.attention(self.ln_1(x), pictures, 1)
        return self.mlp(x.view(pictures, -1, x.shape[1])[:, 0] + self.out(attended))

    def attention(self, x: Tensor, pictures: int, queries: int | None) -> Tensor:
        """What the first `queries` tokens of each picture gather from all of it. (T, D) -> (B * queries, D)"""
        qkv = self.qkv(x).view(pictures, -1, 3, self.heads, self.head_width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, L, 64) each
        gathered = F.scaled_dot_product_attention(q[:, :, :queries], k, v)  # (B, H, queries, 64)
        return gathered.transpose(1, 2).reshape(-1, x.shape[1])

    def mlp(self, x: Tensor) -> Tensor:
        """Adds to x, in place, what the perceptron makes of it. (T, D) -> (T, D)"""
        hidden = F.silu(self.fc(self.ln_2(x)), inplace=True)  # (T, 4D); silu(1.702 h) = 1.702 QuickGELU(h)
        return x.add_(self.proj(hidden), alpha=1 / self.gelu)  # proj's stored bias is 1.702 times OpenAI's


class LayerNorm(nn.Module):
    """Over the last dimension."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.weight, self.bias = tensors["weight"], tensors["bias"]

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


# --- From OpenAI's parameters to the file that ImageTower reads ------------------------------------------------------

KINDS = ("weight", "bias")
LINEARS = {"qkv": "attn.in_proj_", "out": "attn.out_proj.", "fc": "mlp.c_fc.", "proj": "mlp.c_proj."}


def image_tower_store(state: Mapping[str, Tensor], shape: VitShape, precision: str) -> Iterator[tuple[str, Tensor]]:
    """OpenAI's parameters, without their `visual.` -> (name, tensor) pairs of the file, a few at a time."""
    yield from ends_store(state, precision)
    for layer in range(shape.layers):
        yield from block_store(layer, block_tensors(state, layer), precision)


def end_precision(precision: str) -> str:
    """Beside int8 blocks the first and the last layer stay float16: two of 50, whose rounding would weigh most."""
    return "fp16" if precision == "int8" else precision


def ends_store(state: Mapping[str, Tensor], precision: str) -> Iterator[tuple[str, Tensor]]:
    """What comes before and after the blocks."""
    for name, tensor in stem_tensors(state, end_precision(precision)).items():
        yield f"stem.{name}", tensor
    yield "ln_post.weight", state["ln_post.weight"].float()
    yield "ln_post.bias", state["ln_post.bias"].float()
    for name, tensor in linear_store(end_precision(precision), state["proj"].t()).items():
        yield f"embedding.{name}", tensor


def stem_tensors(state: Mapping[str, Tensor], precision: str) -> dict[str, Tensor]:
    """By the names that Stem reads."""
    positions = state["positional_embedding"].float()  # (L, D)
    patch = state["conv1.weight"].flatten(1)  # (D, 3 * patch * patch)
    stored = linear_store(precision, patch)
    return {
        **{f"patch.{kind}": tensor for kind, tensor in stored.items()},
        "class_token": state["class_embedding"].float() + positions[0],
        "positions": positions[1:],
        "ln_pre.weight": state["ln_pre.weight"].float(),
        "ln_pre.bias": state["ln_pre.bias"].float(),
    }


def block_tensors(state: Mapping[str, Tensor], layer: int) -> dict[str, Tensor]:
    """One block's parameters by our names, in float32."""
    source = f"transformer.resblocks.{layer}."
    tensors = {f"{n}.{kind}": state[f"{source}{n}.{kind}"].float() for n in ("ln_1", "ln_2") for kind in KINDS}
    for name, theirs in LINEARS.items():
        tensors |= {f"{name}.{kind}": state[f"{source}{theirs}{kind}"].float() for kind in KINDS}
    tensors["proj.bias"] = tensors["proj.bias"] * GELU  # see Block.mlp
    return tensors


def block_store(layer: int, tensors: Mapping[str, Tensor], precision: str) -> Iterator[tuple[str, Tensor]]:
    """One block's part of the file."""
    for name in ("ln_1", "ln_2"):
        for kind in KINDS:
            yield f"blocks.{layer}.{name}.{kind}", tensors[f"{name}.{kind}"]
    for name in LINEARS:
        stored = linear_store(precision, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
        yield from ((f"blocks.{layer}.{name}.{kind}", tensor) for kind, tensor in stored.items())


def embed_with_openais_weights(state: Mapping[str, Tensor], shape: VitShape, pixels: Tensor) -> Tensor:
    """What float32 makes of some pictures, a block in memory at a time: the reference for what is converted."""
    pictures, x = len(pixels), Stem(stem_tensors(state, "fp32"), shape.patch, "float32")(pixels)
    for layer in range(shape.layers):
        x = Block(block_tensors(state, layer), shape.heads, dict.fromkeys(LINEARS, "float32"))(x, pictures)
    last = x.view(pictures, -1, shape.width)[:, 0]
    norm = LayerNorm({kind: state[f"ln_post.{kind}"].float() for kind in KINDS})
    return F.linear(norm(last), state["proj"].float().t())
