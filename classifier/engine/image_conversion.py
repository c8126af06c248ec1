"""Writing the image tower in the precision that is asked for, and checking it.

`auto` takes int8 only where its self-check passes, by every kernel that a server may end up running it with, and
otherwise float16, which is OpenAI's weights themselves.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classifier.engine import Config
from classifier.engine.artifact import image_file
from classifier.engine.checkpoint import Checkpoint, Progress
from classifier.engine.device import device_of
from classifier.engine.image_tower import BATCH, ImageTower, embed_with_openais_weights, image_tower_store
from classifier.engine.linear import kernels_of
from classifier.engine.preprocess import picture_to_pixels
from classifier.engine.probes import CALIBRATION, PROBES, pictures_draw
from classifier.engine.quantise import int8_store
from classifier.engine.resnet_tower import resnet_store
from classifier.engine.selfcheck import self_check
from classifier.engine.weights_file import WeightsFile, weights_write
from classifier.errors import CheckpointError

logger = logging.getLogger(__name__)

Judge = tuple[np.ndarray, float]  # a head (K, D) and the logit scale, by which the self-check ranks labels


@torch.inference_mode()
def image_write(
    config: Config, checkpoint: Checkpoint, directory: Path, judge: Judge, progress: Progress
) -> tuple[str, dict]:
    """Write image-<precision>.safetensors; return the precision and the self-checks of all that was tried."""
    if not checkpoint.shape.vit:
        if config.precision not in ("auto", "fp32"):
            raise CheckpointError(f"{checkpoint.name} is a ResNet, which runs in fp32 only; set CLIP_PRECISION=auto.")
        weights_write(directory / image_file("fp32"), resnet_store(checkpoint.image_state()))
        return "fp32", {}

    probes = drawn_pixels(PROBES, checkpoint.shape.resolution)
    progress("embedding probe pictures with the original", 0, 0)
    originals = torch.cat(
        [embed_with_openais_weights(checkpoint.image_state(), checkpoint.shape, x) for x in probes.split(BATCH)]
    )
    results: dict[str, dict] = {}
    for precision in candidates(config):
        path = directory / image_file(precision)
        tower_write(checkpoint, precision, path, progress)
        results[precision] = checked(checkpoint, precision, path, probes, originals, judge)
        passed = all(result["passed"] for result in results[precision].values())
        if passed or precision == config.precision:
            break
        path.unlink()
    else:
        raise CheckpointError(f"{checkpoint.path} does not compute what it should in any precision: {results}.")
    if not passed:
        logger.warning("%s did not pass its self-check and is used because CLIP_PRECISION says so.", precision)
    return precision, results


def candidates(config: Config) -> tuple[str, ...]:
    """The precisions to try, the smallest first. A GPU computes in floating point, where int8 gains nothing."""
    if config.precision != "auto":
        return (config.precision,)
    return ("fp16",) if device_of(config) == "cuda" else ("int8", "fp16")


def tower_write(checkpoint: Checkpoint, precision: str, path: Path, progress: Progress) -> None:
    state, shape = checkpoint.image_state(), checkpoint.shape
    step = f"converting to {precision}"
    progress(step, 0, shape.layers)
    if precision == "int8":
        pixels = drawn_pixels(CALIBRATION, shape.resolution)
        weights_write(path, int8_store(state, shape, pixels, lambda done: progress(step, done, shape.layers)))
    else:
        weights_write(path, image_tower_store(state, shape, precision))
        progress(step, shape.layers, shape.layers)


def checked(
    checkpoint: Checkpoint, precision: str, path: Path, probes: Tensor, originals: Tensor, judge: Judge
) -> dict[str, dict]:
    """The self-check's findings by kernel."""
    found = {}
    for kernel in kernels_of(precision):
        tower = ImageTower(WeightsFile(path), checkpoint.shape, precision, kernel)
        found[kernel] = self_check(tower(probes).numpy(), originals.numpy(), *judge)
    return found


def drawn_pixels(seeds: range, side: int) -> Tensor:
    """(B, 3, side, side)"""
    return torch.from_numpy(np.stack([picture_to_pixels(picture, side) for picture in pictures_draw(seeds)]))
