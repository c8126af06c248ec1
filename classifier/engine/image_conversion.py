"""Writing the image tower in the precision that is asked for, and checking it.

`auto` takes int8, with some layers kept in float16 where that is needed, only where its self-check passes by every
kernel that a server may end up running it with; otherwise float16, which is OpenAI's weights themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classifier.engine import Config
from classifier.engine.artifact import image_file
from classifier.engine.attempt import Attempt
from classifier.engine.checkpoint import Checkpoint, Progress, ResNetShape, VitShape
from classifier.engine.device import device_of
from classifier.engine.image_tower import BATCH, ImageTower, embed_with_openais_weights, image_tower_store
from classifier.engine.linear import kernels_of
from classifier.engine.precision import BUDGET, affordable, by_gain, float16_layers
from classifier.engine.preprocess import picture_to_pixels
from classifier.engine.probes import CALIBRATION, PROBES, pictures_draw
from classifier.engine.quantise import calibrate, int8_store
from classifier.engine.resnet_tower import ResNetTower, resnet_store
from classifier.engine.selfcheck import Finding, comfortable, self_check
from classifier.engine.sensitivity import layer_losses
from classifier.engine.stack import image_stack, layer_sizes
from classifier.engine.weights_file import WeightsFile, weights_write
from classifier.errors import CheckpointError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Judge:
    """By which pictures' embeddings are compared: a head (K, D) that ranks them, and what OpenAI's weights make of the
    probes, (B, D)."""

    head: np.ndarray
    logit_scale: float
    probes: np.ndarray

    def check(self, embeddings: np.ndarray, originals: np.ndarray) -> Finding:
        return self_check(embeddings, originals, self.head, self.logit_scale)


@torch.inference_mode()
def judge_of(checkpoint: Checkpoint, head: np.ndarray, logit_scale: float) -> Judge:
    """Embeds the probes with OpenAI's weights."""
    state, shape = checkpoint.image_state(), checkpoint.shape
    pixels = drawn_pixels(PROBES, shape.resolution)
    if isinstance(shape, VitShape):
        embedded = torch.cat([embed_with_openais_weights(state, shape, batch) for batch in pixels.split(BATCH)])
    else:
        assert isinstance(shape, ResNetShape)
        embedded = ResNetTower(dict(resnet_store(state)), shape)(pixels)
    return Judge(head, logit_scale, embedded.numpy())


@torch.inference_mode()
def image_write(
    config: Config, checkpoint: Checkpoint, directory: Path, judge: Judge, progress: Progress
) -> list[Attempt]:
    """Write image-<precision>.safetensors; return all that was tried, that which was taken last."""
    shape = checkpoint.shape
    if not isinstance(shape, VitShape):
        if config.precision not in ("auto", "fp32"):
            raise CheckpointError(f"{checkpoint.name} is a ResNet, which runs in fp32 only; set CLIP_PRECISION=auto.")
        weights_write(directory / image_file("fp32"), resnet_store(checkpoint.image_state()))
        return [Attempt("fp32", {})]

    jury = Jury(checkpoint.image_state(), shape, judge)
    attempts: list[Attempt] = []
    for precision in candidates(config):
        path = directory / image_file(precision)
        convert = int8_write if precision == "int8" else plain_write
        attempts += convert(precision, path, jury, progress)
        if attempts[-1].passed or precision == config.precision:
            break
        path.unlink()
    else:
        raise CheckpointError(f"{checkpoint.path} does not compute what it should in any precision: {attempts}.")
    if not attempts[-1].passed:
        logger.warning("%s did not pass its self-check and is used because CLIP_PRECISION says so.", precision)
    return attempts


def candidates(config: Config) -> tuple[str, ...]:
    """The precisions to try, the smallest first. A GPU computes in floating point, where int8 gains nothing."""
    if config.precision != "auto":
        return (config.precision,)
    return ("fp16",) if device_of(config) == "cuda" else ("int8", "fp16")


class Jury:
    """A tower to convert, the probes, which calibration never sees, and who judges what it makes of them."""

    def __init__(self, state: Mapping[str, Tensor], shape: VitShape, judge: Judge) -> None:
        self.state, self.shape, self.judge = state, shape, judge
        self.pixels = drawn_pixels(PROBES, shape.resolution)

    def finding(self, tower: ImageTower) -> Finding:
        return self.judge.check(tower(self.pixels).numpy(), self.judge.probes)


def plain_write(precision: str, path: Path, jury: Jury, progress: Progress) -> list[Attempt]:
    """In floating point."""
    shape, step = jury.shape, f"converting to {precision}"
    progress(step, 0, shape.layers)
    weights_write(path, image_tower_store(jury.state, shape, precision))
    progress(step, shape.layers, shape.layers)
    towers = {kernel: ImageTower(WeightsFile(path), shape, precision, kernel) for kernel in kernels_of(precision)}
    return [Attempt(precision, {kernel: jury.finding(tower) for kernel, tower in towers.items()})]


def int8_write(precision: str, path: Path, jury: Jury, progress: Progress) -> list[Attempt]:
    """In int8; and where that does not agree, with some layers in float16, which is a second attempt."""
    tower, kernels = Int8(path, jury, progress), kernels_of(precision)
    plain = tower.attempt({kernel: [] for kernel in kernels})
    if plain.passed:
        return [plain]
    progress("measuring what each layer costs", 0, 0)
    losses = layer_losses(tower.stack, tower.calibration)
    order, sizes = by_gain(losses, tower.sizes), tower.sizes
    progress("finding the layers to keep in float16", 0, 0)
    chosen = float16_layers(
        order, affordable(order, sizes, BUDGET), kernels, lambda *choice: comfortable(tower.finding(*choice))
    )
    return [plain, tower.attempt(chosen, {name: float(losses[name].mean()) for name in order})]


class Int8:
    """A tower calibrated for int8, written with one choice of layers in float16 after another."""

    def __init__(self, path: Path, jury: Jury, progress: Progress) -> None:
        self.state, self.shape, self.path, self.jury = jury.state, jury.shape, path, jury
        self.pixels = drawn_pixels(CALIBRATION, self.shape.resolution)
        self.stack = image_stack(self.state, self.shape, self.pixels)
        self.sizes = layer_sizes(self.state, self.shape.layers)
        self.calibration = calibrate(self.stack, lambda done: progress("converting to int8", done, self.shape.layers))
        self.written: list[str] | None = None

    def finding(self, kernel: str, stored: list[str], wide: list[str]) -> Finding:
        """The self-check's, passed only where the calibration's pictures pass as well."""
        if stored != self.written:
            weights_write(self.path, int8_store(self.state, self.shape, self.calibration.scales, stored))
            self.written = stored
        tower = ImageTower(WeightsFile(self.path), self.shape, "int8", kernel, wide)
        found, seen = self.jury.finding(tower), tower(self.pixels).numpy()
        calibration = self.jury.judge.check(seen, self.calibration.embeddings.numpy())
        return {**found, "calibration": calibration, "passed": found["passed"] and calibration["passed"]}

    def attempt(self, chosen: dict[str, list[str]], losses: dict[str, float] | None = None) -> Attempt:
        stored = min(chosen.values(), key=len)
        findings = {kernel: self.finding(kernel, stored, wide) for kernel, wide in chosen.items()}
        more = sum(self.sizes[name] for name in stored)
        return Attempt("int8", findings, len(self.sizes), chosen, more, losses or {})


def drawn_pixels(seeds: range, side: int) -> Tensor:
    """(B, 3, side, side)"""
    return torch.from_numpy(np.stack([picture_to_pixels(picture, side) for picture in pictures_draw(seeds)]))
