"""From a checkpoint to an artifact, written whole or not at all.

Everything is written into a directory beside the final one, flushed to disk, checked against the original, and renamed.
A file lock makes a second process wait and then find the work done. Killed at any point, the next run starts clean.

Memory: the checkpoint is mapped, one transformer block is in float32 at a time, tensors are written as they are made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.capacity.container import shortage
from classifier.engine import Config, Manifest
from classifier.engine.artifact import (
    FORMAT,
    HEAD,
    MANIFEST,
    TEXT,
    artifact_directory,
    file_marks,
    manifest_read,
    old_directory,
    recover,
    weights_read,
)
from classifier.engine.checkpoint import MODELS, Checkpoint, Progress, activation_check, checkpoint_open, file_sha256
from classifier.engine.footprint import image_memory, least_image_memory
from classifier.engine.imagenet import imagenet_names, imagenet_templates
from classifier.errors import CheckpointError, ModelUnavailable

if TYPE_CHECKING:
    from torch import Tensor


def artifact_prepare(
    config: Config, *, progress: Progress | None, download_only: bool = False, keep_checkpoint: bool = False
) -> Manifest:
    """See classifier.engine.prepare."""
    report = progress or (lambda *_: None)
    try:
        config.model_dir.mkdir(parents=True, exist_ok=True)
        with locked(config.model_dir / ".lock", report):
            if not download_only and (manifest := good_manifest(config)):
                return manifest
            path = checkpoint_obtain(config, report)
            if download_only:
                return {}
            manifest = artifact_build(config, path, report)
            if config.model in MODELS and not keep_checkpoint:
                checkpoint_discard(path)
            return manifest
    except OSError as error:
        raise CheckpointError(
            f"The model could not be written to {config.model_dir}: {error.strerror or error}. "
            "What was there before is untouched."
        ) from error


@contextlib.contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file; the system lets it go when the process ends, however it ends."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that prepares a model", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- What is there already -------------------------------------------------------------------------------------------


def good_manifest(config: Config) -> Manifest | None:
    """The manifest of an artifact that is complete, undamaged, and what `config` asks for."""
    try:
        manifest = manifest_read(config)
        for name in manifest["files"]:
            weights_read(config, manifest, name)
    except (ModelUnavailable, OSError, ValueError):
        return None
    same_head = manifest["head"] == head_fingerprint()
    same_precision = config.precision in (manifest["asked"], manifest["precision"])
    return manifest if same_head and same_precision else None


def head_fingerprint() -> dict[str, list[str]]:
    """What an ImageNet head depends on besides the checkpoint."""
    return {"names": list(imagenet_names()), "templates": list(imagenet_templates())}


def checkpoint_path(config: Config) -> Path:
    """The file to convert: the one that is named, or where the named model's download goes."""
    if config.model in MODELS:
        return config.model_dir / "checkpoints" / MODELS[config.model][1]
    return Path(config.model).expanduser()


def checkpoint_obtain(config: Config, progress: Progress) -> Path:
    """The file to convert, downloaded where it is one of OpenAI's and not there yet."""
    from classifier.engine.download import checkpoint_download

    path = checkpoint_path(config)
    if config.model not in MODELS:
        if not path.is_file():
            known = ", ".join(MODELS)
            raise CheckpointError(f"There is no file {path}, and OpenAI has no model of that name ({known}).")
        return path
    if path.is_file() and file_sha256(path, progress) == MODELS[config.model][0]:
        return path
    return checkpoint_download(config.model, path.parent, config.weights_url, progress)


def checkpoint_discard(path: Path) -> None:
    """Remove a download, and its directory when that was the last."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


# --- Writing ---------------------------------------------------------------------------------------------------------


def artifact_build(config: Config, path: Path, progress: Progress) -> Manifest:
    """Convert into a directory beside the final one, then put it in its place."""
    expected = MODELS[config.model][0] if config.model in MODELS else None
    checkpoint = checkpoint_open(path, sha256=expected, progress=progress)
    activation_check(checkpoint, config.activation)
    room_check(config, checkpoint, least_image_memory(checkpoint.shape, config.slots))
    final = artifact_directory(config)
    for leftover in config.model_dir.glob(f".{final.name}.*.partial"):  # of a process that was killed; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    partial = config.model_dir / f".{final.name}.{os.getpid()}.partial"
    partial.mkdir()
    try:
        manifest = artifact_write(config, checkpoint, partial, progress)
        room_check(config, checkpoint, image_memory(manifest, config.slots), f" in {manifest['precision']}")
        swap(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def room_check(config: Config, checkpoint: Checkpoint, needed: int, how: str = "") -> None:
    """Raise CheckpointError where the server's memory, if that is known, cannot hold the model."""
    if short := shortage(checkpoint.name + how, config.memory or None, needed):
        raise CheckpointError(short)


def artifact_write(config: Config, checkpoint: Checkpoint, directory: Path, progress: Progress) -> Manifest:
    """Write every file of the artifact; return the manifest, which is written last."""
    import torch

    from classifier.engine.image_conversion import image_write, judge_of
    from classifier.engine.precision import BUDGET
    from classifier.engine.selfcheck import thresholds
    from classifier.engine.text_conversion import text_write
    from classifier.engine.weights_file import weights_write

    torch.set_num_threads(config.threads)
    logit_scale = checkpoint.state["logit_scale"].float().exp().item()
    head = imagenet_head(config, checkpoint, progress)
    weights_write(directory / HEAD, [("weights", head)])
    progress("embedding probe pictures with the original", 0, 0)
    judge = judge_of(checkpoint, head.numpy(), logit_scale)
    attempts = image_write(config, checkpoint, directory, judge, progress)
    texts = text_write(checkpoint, config.precision, directory / TEXT, judge.probes, progress)
    taken = attempts[-1]
    manifest = {
        "format": FORMAT,
        "model": checkpoint.name,
        "precision": taken.precision,
        "asked": config.precision,
        "source": source_entry(config, checkpoint),
        "shape": dataclasses.asdict(checkpoint.shape),
        "logit_scale": logit_scale,
        "self_check": next(iter(taken.findings.values()), {}),  # by the kernel that runs here
        "tried": [attempt.entry(attempt is taken) for attempt in attempts],
        "text_tried": [attempt.entry(attempt is texts[-1]) for attempt in texts],
        "thresholds": thresholds(),
        "float16_budget": BUDGET,
        "versions": {"torch": torch.__version__},
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
            for file in sorted(directory.glob("*.safetensors"))
        },
        "head": head_fingerprint(),
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for file in [*directory.iterdir(), directory]:
        flush(file)
    return manifest


def source_entry(config: Config, checkpoint: Checkpoint) -> dict[str, str | int]:
    """What was converted, so that another file of its name is told from it."""
    marks = {} if config.model in MODELS else file_marks(checkpoint.path)  # a download is deleted
    return {"file": checkpoint.path.name, "sha256": checkpoint.sha256, "named": config.model, **marks}


def imagenet_head(config: Config, checkpoint: Checkpoint, progress: Progress) -> Tensor:
    """(1000, D) float32: the previous artifact's where that was of the same checkpoint, else computed, which takes
    minutes; interrupted, it goes on where it stopped."""
    import torch

    from classifier.engine.prompts import CHUNK_ALONE, head_weights
    from classifier.engine.text_tower import TextTower
    from classifier.engine.tokenizer import Tokenizer

    with contextlib.suppress(ModelUnavailable, OSError, ValueError):
        manifest = manifest_read(dataclasses.replace(config, precision="auto"))
        if manifest["source"]["sha256"] == checkpoint.sha256 and manifest["head"] == head_fingerprint():
            return weights_read(config, manifest, HEAD)["weights"].clone()
    rows = head_weights(
        TextTower(checkpoint.text_state()),
        Tokenizer(),
        imagenet_names(),
        imagenet_templates(),
        progress=lambda done, total: progress("building the ImageNet head", done, total),
        cache_dir=config.model_dir,
        weights_sha256=checkpoint.sha256,
        chunk=CHUNK_ALONE,
    )
    return torch.from_numpy(rows)


def flush(path: Path) -> None:
    """Wait until the disk has it: a rename must not be on disk before what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def swap(partial: Path, final: Path) -> None:
    """Put `partial` in the place of `final`. Killed between the two renames, `recover` undoes the first."""
    recover(final)
    old = old_directory(final)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)
