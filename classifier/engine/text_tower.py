"""CLIP's text transformer, for many texts at once, computing no token twice.

The network is that of Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(https://arxiv.org/abs/2103.00020), section 2.4: a GPT-2 style transformer with causal attention; a text's embedding
is what it computes for the end-of-text token. Weights and names are those of OpenAI's code
(https://github.com/openai/CLIP/blob/main/clip/model.py, `CLIP.encode_text`), which pads every text to 77 tokens. Here
texts come as a tree of prefixes (prefix_tree.py), so that the transformer works on a plain list of distinct nodes.

Shapes: N nodes of a chunk, D width, H heads, d = D / H = 64, E ends of texts, P embedding dimension. A block of R nodes
attends to A + R keys: the ancestors of its first node, then the block itself.
"""

import threading
from collections.abc import Collection, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from classifier.engine.image_tower import LINEARS
from classifier.engine.linear import Linear, kernel_of, linear_load, linear_store, torch_kernel_of
from classifier.engine.prefix_tree import Chunk
from classifier.engine.weights_file import WeightsFile

HEAD_WIDTH = 64  # CLIP's heads are all 64 wide: clip/model.py, build_model
GELU = 1.702  # QuickGELU is x * sigmoid(1.702 x)


class Block:
    """One residual attention block (clip/model.py, ResidualAttentionBlock)."""

    def __init__(self, state: Mapping[str, Tensor], name: str, kernels: Mapping[str, str]) -> None:
        self.ln_1 = _layer_norm(state, f"{name}.ln_1")
        self.qkv = _linear(state, f"{name}.attn.in_proj_", kernels["qkv"])
        self.out = _linear(state, f"{name}.attn.out_proj.", kernels["out"])
        self.ln_2 = _layer_norm(state, f"{name}.ln_2")
        self.fc = _linear(state, f"{name}.mlp.c_fc.", kernels["fc"], gain=GELU)
        self.proj = _linear(state, f"{name}.mlp.c_proj.", kernels["proj"], bias_gain=GELU)

    def attend(self, x: Tensor, chunk: "_Indices", carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """What each node gathers from its ancestors and itself, (N, D), and the keys and values to carry on."""
        count, width = x.shape
        heads = width // HEAD_WIDTH
        blocks, rows = chunk.queries.shape
        qkv = self.qkv(self.ln_1(x))  # (N, 3D)
        kv = qkv[:, width:]  # (N, 2D)
        if carried is not None:
            kv = torch.cat([carried, kv])  # (C + N, 2D)
        q = qkv[:, :width][chunk.queries]  # (blocks, R, D)
        k, v = kv[chunk.keys].chunk(2, dim=-1)  # (blocks, A + R, D) each
        gathered = F.scaled_dot_product_attention(
            q.view(blocks, rows, heads, HEAD_WIDTH).transpose(1, 2),  # (blocks, H, R, d)
            k.unflatten(-1, (heads, HEAD_WIDTH)).transpose(1, 2),
            v.unflatten(-1, (heads, HEAD_WIDTH)).transpose(1, 2),
            attn_mask=chunk.mask,  # (blocks, 1, R, A + R)
        )
        gathered = gathered.transpose(1, 2).reshape(blocks * rows, width)[:count]  # (N, D)
        return gathered, kv[chunk.carry]

    def finish(self, x: Tensor, gathered: Tensor) -> Tensor:
        """Add the attention's and the MLP's contribution to the residual stream, (N, D)."""
        x = self.out(gathered).add_(x)
        hidden = F.silu(self.fc(self.ln_2(x)), inplace=True)  # (N, 4D); silu(1.702 h) = 1.702 QuickGELU(h)
        return x.add_(self.proj(hidden), alpha=1 / GELU)  # the bias of proj was multiplied at loading


class TextTower:
    """The text tower of a CLIP checkpoint: `state` holds OpenAI's parameters under OpenAI's names.

    Float16 weights, as OpenAI publishes them, stay float16; products and sums are float32. Where a weight is int8 (see
    text_conversion.py) it comes with a scale per row; of such layers those that `wide` names ("blocks.3.fc") are given
    activations that stay float. The token embedding stays where it is, which may be a mapped file: only the rows of the
    tokens in use are read. `streamed`, blocks stay there, too, and are read anew for each chunk: slower, and small.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        kernel: str | None = None,
        wide: Collection[str] = (),
        streamed: bool = False,
    ) -> None:
        self.state = state
        self.kernel = kernel or kernel_of("int8")  # of what is int8
        self.positional_embedding = state["positional_embedding"].float().clone()  # (77, D)
        prefix = "transformer.resblocks."
        self.wide, self.layers = wide, 1 + max(int(name.split(".")[2]) for name in state if name.startswith(prefix))
        self.streamed, self.turn = streamed, threading.Lock()
        self.blocks = [] if streamed else [self.block(layer) for layer in range(self.layers)]
        self.ln_final = _layer_norm(state, "ln_final")
        self.text_projection = state["text_projection"].float().clone()  # (D, P)
        self.context_length, self.width = self.positional_embedding.shape
        self.dim = self.text_projection.shape[1]

    def block(self, layer: int) -> Block:
        """Read one from the state."""
        kernels = {n: torch_kernel_of("fp16") if f"blocks.{layer}.{n}" in self.wide else self.kernel for n in LINEARS}
        block = Block(self.state, f"transformer.resblocks.{layer}", kernels)
        self.forget()
        return block

    def forget(self) -> None:
        """Give the pages of a mapped file back, which would count as this process's memory."""
        if isinstance(self.state, WeightsFile):
            self.state.forget()

    @torch.inference_mode()
    def forward(self, chunk: Chunk, carried: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Embeddings (E, P) float32, not normalised, of the texts that end in this chunk, and what to carry on.

        `carried` is what the forward of the chunk before returned: per layer the keys and values (C, 2D) of the first
        node's ancestors. None where the tree begins.
        """
        indices = _Indices(chunk)
        embedding = self.state["token_embedding.weight"][indices.tokens].float()  # (N, D)
        if "token_embedding.scale" in self.state:
            embedding *= self.state["token_embedding.scale"][indices.tokens, None]
        x = embedding + self.positional_embedding[indices.positions]  # (N, D)
        carry = []
        for layer in range(self.layers):
            with self.turn if self.streamed else nullcontext():  # one block in memory, however many texts there are
                block = self.block(layer) if self.streamed else self.blocks[layer]
                gathered, kept = block.attend(x, indices, carried[layer] if carried else None)
                carry.append(kept)
                if layer == self.layers - 1:  # what comes out of the last layer is read at the ends of texts only
                    x, gathered = x[indices.leaves], gathered[indices.leaves]  # (E, D)
                if len(x):
                    x = block.finish(x, gathered)
                del block
        return self.ln_final(x) @ self.text_projection, carry


class _Indices:
    """A chunk's arrays as tensors."""

    def __init__(self, chunk: Chunk) -> None:
        self.tokens = torch.from_numpy(chunk.tokens)
        self.positions = torch.from_numpy(chunk.positions)
        self.queries = torch.from_numpy(chunk.queries)
        self.keys = torch.from_numpy(chunk.keys)
        self.mask = torch.zeros(chunk.mask.shape).masked_fill_(~torch.from_numpy(chunk.mask), -torch.inf)[:, None]
        self.leaves = torch.from_numpy(chunk.leaves)
        self.carry = torch.from_numpy(chunk.carry)


def _linear(state: Mapping[str, Tensor], name: str, kernel: str, gain: float = 1.0, bias_gain: float = 1.0) -> Linear:
    """The layer whose weight and bias begin with `name`; its output times `gain`, its bias times `bias_gain`."""
    weight, bias = state[f"{name}weight"], bias_gain * state[f"{name}bias"].float()
    if weight.dtype == torch.int8:
        return linear_load({"weight": weight, "scale": state[f"{name}scale"].clone(), "bias": bias}, kernel, gain)
    precision = "fp16" if weight.dtype == torch.float16 else "fp32"
    return linear_load(linear_store(precision, weight, bias), kernel_of(precision), gain)


def _layer_norm(state: Mapping[str, Tensor], name: str) -> Linear:
    weight, bias = (state[f"{name}.{kind}"].float().clone() for kind in ("weight", "bias"))
    return lambda x: F.layer_norm(x, weight.shape, weight, bias, 1e-5)
