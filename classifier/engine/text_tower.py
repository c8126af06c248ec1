"""CLIP's text transformer, for many texts at once, computing no token twice.

The network is that of Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(https://arxiv.org/abs/2103.00020), section 2.4: a GPT-2 style transformer with causal attention; a text's embedding
is what it computes for the end-of-text token. Weights and names are those of OpenAI's code
(https://github.com/openai/CLIP/blob/main/clip/model.py, `CLIP.encode_text`), which pads every text to 77 tokens. Here
texts come as a tree of prefixes (prefix_tree.py), so that the transformer works on a plain list of distinct nodes.

Shapes: N nodes of a chunk, D width, H heads, d = D / H = 64, E ends of texts, P embedding dimension. A block of R nodes
attends to A + R keys: the ancestors of its first node, then the block itself.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from classifier.engine.prefix_tree import Chunk

Linear = Callable[[Tensor], Tensor]  # (N, in) -> (N, out), float32
HEAD_WIDTH = 64  # CLIP's heads are all 64 wide: clip/model.py, build_model


def text_linear(weight: Tensor, bias: Tensor) -> Linear:
    """A linear layer. Float16 weights, as OpenAI publishes them, stay float16; products and sums are float32."""
    bias = bias.float()
    if weight.dtype == torch.float16 and "fbgemm" in torch.backends.quantized.supported_engines:
        packed = torch.ops.quantized.linear_prepack_fp16(weight.float(), bias)
        return lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed)
    weight = weight.float()
    return lambda x: F.linear(x, weight, bias)


class Block:
    """One residual attention block (clip/model.py, ResidualAttentionBlock)."""

    def __init__(self, state: Mapping[str, Tensor], name: str, linear: Callable[[Tensor, Tensor], Linear]) -> None:
        self.ln_1 = _layer_norm(state, f"{name}.ln_1")
        self.qkv = linear(state[f"{name}.attn.in_proj_weight"], state[f"{name}.attn.in_proj_bias"])
        self.out = linear(state[f"{name}.attn.out_proj.weight"], state[f"{name}.attn.out_proj.bias"])
        self.ln_2 = _layer_norm(state, f"{name}.ln_2")
        self.fc = linear(state[f"{name}.mlp.c_fc.weight"], state[f"{name}.mlp.c_fc.bias"])
        self.proj = linear(state[f"{name}.mlp.c_proj.weight"], 1.702 * state[f"{name}.mlp.c_proj.bias"].float())

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
        # QuickGELU(h) = h * sigmoid(1.702 h) = silu(1.702 h) / 1.702, and silu is a single pass over memory. Where to
        # divide by 1.702: in the sum, which costs nothing. The bias was multiplied beforehand.
        hidden = self.fc(self.ln_2(x)).mul_(1.702)  # (N, 4D)
        return x.add_(self.proj(F.silu(hidden, inplace=True)), alpha=1 / 1.702)


class TextTower:
    """The text tower of a CLIP checkpoint: `state` holds OpenAI's parameters under OpenAI's names.

    `linear` makes the linear layers from a weight (out, in) and a bias (out,). `token_embedding.weight` is kept as it
    is given, in its own dtype and, where it is memory-mapped, on disk: only the rows of the tokens in use are read.
    """

    def __init__(self, state: Mapping[str, Tensor], linear: Callable[[Tensor, Tensor], Linear] = text_linear) -> None:
        prefix = "transformer.resblocks."
        layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith(prefix))
        self.token_embedding = state["token_embedding.weight"]  # (vocabulary, D)
        self.positional_embedding = state["positional_embedding"].float()  # (77, D)
        self.blocks = [Block(state, f"{prefix}{layer}", linear) for layer in range(layers)]
        self.ln_final = _layer_norm(state, "ln_final")
        self.text_projection = state["text_projection"].float()  # (D, P)
        self.context_length, self.width = self.positional_embedding.shape
        self.dim = self.text_projection.shape[1]

    @torch.inference_mode()
    def forward(self, chunk: Chunk, carried: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Embeddings (E, P) float32, not normalised, of the texts that end in this chunk, and what to carry on.

        `carried` is what the forward of the chunk before returned: per layer the keys and values (C, 2D) of the first
        node's ancestors. None where the tree begins.
        """
        indices = _Indices(chunk)
        x = self.token_embedding[indices.tokens].float() + self.positional_embedding[indices.positions]  # (N, D)
        carry = []
        for layer, block in enumerate(self.blocks):
            gathered, kept = block.attend(x, indices, carried[layer] if carried else None)
            carry.append(kept)
            if layer == len(self.blocks) - 1:  # what comes out of the last layer is read at the ends of texts only
                x, gathered = x[indices.leaves], gathered[indices.leaves]  # (E, D)
            if len(x):
                x = block.finish(x, gathered)
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


def _layer_norm(state: Mapping[str, Tensor], name: str) -> Linear:
    weight, bias = state[f"{name}.weight"].float(), state[f"{name}.bias"].float()
    return lambda x: F.layer_norm(x, weight.shape, weight, bias, eps=1e-5)
