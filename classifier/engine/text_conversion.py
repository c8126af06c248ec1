"""Writing the text tower: in int8 where it agrees with the original, else as OpenAI published it.

What image_conversion.py does for pictures: smoothed weights with a scale per output channel, activations with a scale
per token, layers kept in float16 where that is what it takes. The token embedding is int8 with a scale per token, or
float16.

Judged on 1,000 prompts that calibration never saw: each one's cosine, and the labels that they give the probe pictures
as a zero-shot head in place of the original's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classifier.engine.attempt import Attempt
from classifier.engine.checkpoint import Checkpoint, Progress
from classifier.engine.image_tower import GELU, KINDS, LINEARS
from classifier.engine.imagenet import imagenet_names, imagenet_templates
from classifier.engine.linear import kernels_of, linear_store
from classifier.engine.precision import BUDGET, affordable, by_gain, float16_layers
from classifier.engine.prompts import CHUNK_ALONE, embed_texts
from classifier.engine.quantise import Tensors, block_int8, calibrate
from classifier.engine.selfcheck import Finding, text_check
from classifier.engine.sensitivity import layer_losses
from classifier.engine.stack import layer_sizes, text_stack
from classifier.engine.text_tower import TextTower
from classifier.engine.tokenizer import Tokenizer
from classifier.engine.weights_file import WeightsFile, weights_write

CALIBRATED = 48  # prompts


@torch.inference_mode()
def text_write(
    checkpoint: Checkpoint, precision: str, path: Path, pictures: np.ndarray, progress: Progress
) -> list[Attempt]:
    """Write the text tower; return what was tried, that which was taken last. `pictures` (B, D): probes, embedded."""
    attempts = []
    if precision in ("auto", "int8"):
        progress("converting the text tower to int8", 0, 0)
        attempts += int8_write(checkpoint, path, pictures)
        if attempts[-1].passed:
            return attempts
    weights_write(path, published(checkpoint))
    return [*attempts, Attempt("fp16", {})]


def published(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Under OpenAI's names, in OpenAI's precision."""
    for name, tensor in checkpoint.text_state().items():
        if name not in ("input_resolution", "context_length", "vocab_size"):
            yield name, tensor


def int8_write(checkpoint: Checkpoint, path: Path, pictures: np.ndarray) -> list[Attempt]:
    """In int8; where that does not agree with some layers in float16, and last with the token embedding so as well."""
    tower, kernels = Int8Text(checkpoint, path, pictures), kernels_of("int8")
    attempts = [tower.attempt({kernel: [] for kernel in kernels})]
    if attempts[-1].passed:
        return attempts
    losses = layer_losses(tower.stack, tower.calibration)
    order, sizes = by_gain(losses, tower.sizes), tower.sizes
    most = affordable(order, sizes, BUDGET)
    for precision in ("int8", "fp16"):
        tower.embed_in(precision)
        chosen = float16_layers(order, most, kernels, lambda *choice: tower.finding(*choice)["passed"])
        attempts.append(tower.attempt(chosen, {name: float(losses[name].mean()) for name in order}))
        if attempts[-1].passed:
            break
    return attempts


class Int8Text:
    """A text tower calibrated for int8, written with one choice of layers in float16 after another."""

    def __init__(self, checkpoint: Checkpoint, path: Path, pictures: np.ndarray) -> None:
        self.checkpoint, self.path, self.pictures, self.tokenizer = checkpoint, path, pictures, Tokenizer()
        self.state = checkpoint.text_state()
        self.sizes = layer_sizes(self.state, checkpoint.shape.text_layers)
        self.stack = text_stack(self.state, checkpoint.shape, calibration_tokens(self.tokenizer))
        self.calibration = calibrate(self.stack)
        self.originals = self.embeddings(TextTower(self.state))
        self.embed_in("int8")

    def embed_in(self, precision: str) -> None:
        """Store the token embedding in int8 or fp16, from now on."""
        stored = linear_store(precision, self.state["token_embedding.weight"])
        self.embedding = {f"token_embedding.{kind}": stored[kind] for kind in ("weight", "scale") if kind in stored}
        self.embedding_note = "" if precision == "int8" else "token embedding float16"
        self.written: list[str] | None = None

    def embeddings(self, tower: TextTower) -> np.ndarray:
        return embed_texts(tower, self.tokenizer, judged_prompts(), CHUNK_ALONE)

    def finding(self, kernel: str, stored: list[str], wide: list[str]) -> Finding:
        if stored != self.written:
            weights_write(self.path, self.tensors(stored))
            self.written = stored
        found = self.embeddings(TextTower(WeightsFile(self.path), kernel, wide))
        logit_scale = self.state["logit_scale"].float().exp().item()
        return text_check(found, self.originals, self.pictures, logit_scale)

    def tensors(self, kept: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """Under OpenAI's names; a weight that is int8 has a `scale` beside it."""
        changed: Tensors = dict(self.embedding)
        for layer, scales in enumerate(self.calibration.scales):
            prefix = f"transformer.resblocks.{layer}."
            smoothed, stored = block_int8(self.state, layer, scales, kept)
            changed |= {f"{prefix}{n}.{kind}": smoothed[f"{n}.{kind}"] for n in ("ln_1", "ln_2") for kind in KINDS}
            for name, tensor in stored.items():
                layer_name, _, kind = name.partition(".")
                changed[f"{prefix}{LINEARS[layer_name]}{kind}"] = tensor / GELU if name == "proj.bias" else tensor
        yield from ((name, tensor) for name, tensor in published(self.checkpoint) if name not in changed)
        yield from changed.items()

    def attempt(self, chosen: dict[str, list[str]], losses: dict[str, float] | None = None) -> Attempt:
        stored = min(chosen.values(), key=len)
        findings = {kernel: self.finding(kernel, stored, wide) for kernel, wide in chosen.items()}
        more = sum(self.sizes[name] for name in stored)
        return Attempt("int8", findings, len(self.sizes), chosen, more, losses or {}, self.embedding_note)


def calibration_tokens(tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    """Prompts of one length, that which most have: what comes after the end of a text would count otherwise."""
    names, templates = imagenet_names(), imagenet_templates()
    by_length = defaultdict(list)
    for place, name in enumerate(names[::3]):  # `judged_prompts` pairs names and templates otherwise
        tokens = tokenizer.encode(templates[(7 * place + 1) % len(templates)].replace("{}", f"big {name}"))
        by_length[len(tokens)].append(tokens)
    return max(by_length.values(), key=len)[:CALIBRATED]


def judged_prompts() -> list[str]:
    """One for each of ImageNet's names, its templates in turn: 1,000."""
    templates = imagenet_templates()
    return [templates[place % len(templates)].replace("{}", name) for place, name in enumerate(imagenet_names())]
