"""The converted weights of one model: `CLIP_MODEL_DIR/<model>/`, written whole or not at all.

    manifest.json                   what was converted from which file, and the size and SHA-256 of each file below
    image-<precision>.safetensors   the image tower, laid out as run time reads it, memory-mapped
    text-fp16.safetensors           the text tower as OpenAI published it, read only when text is encoded
    imagenet-head.safetensors       the zero-shot head of ImageNet's 1000 labels

Everything is written into a directory beside the final one, flushed to disk, and renamed; a file lock makes a second
process wait and then find the work done.
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

from classifier.engine import Config, Head
from classifier.engine.checkpoint import MODELS, Checkpoint, Progress, Shape, checkpoint_open, file_sha256
from classifier.engine.imagenet import imagenet_labels, imagenet_names, imagenet_templates
from classifier.errors import CheckpointError, DownloadError, ModelUnavailable

if TYPE_CHECKING:
    import numpy as np
    import torch

FORMAT = 1  # raised whenever the layout changes; artifacts of another format are rebuilt
MANIFEST, HEAD, TEXT = "manifest.json", "imagenet-head.safetensors", "text-fp16.safetensors"
PREPARE = "run: python manage.py prepare_model"


# --- Where things are ------------------------------------------------------------------------------------------------


def artifact_directory(config: Config) -> Path:
    """`ViT-B-32` for OpenAI's model, `local-<name>` for a file."""
    if config.model in MODELS:
        return config.model_dir / MODELS[config.model][1].removesuffix(".pt")
    return config.model_dir / f"local-{Path(config.model).stem}"


def checkpoint_path(config: Config) -> Path:
    """The file to convert: the one that is named, or where the named model's download goes."""
    if config.model in MODELS:
        return config.model_dir / "checkpoints" / MODELS[config.model][1]
    return Path(config.model).expanduser()


# --- Reading ---------------------------------------------------------------------------------------------------------


def manifest_read(config: Config) -> dict:
    """The manifest of the artifact for `config`, all files of which are there. Raises ModelUnavailable."""
    directory = artifact_directory(config)
    recover(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        sizes = {name: (directory / name).stat().st_size for name in manifest["files"]}
    except FileNotFoundError as error:
        raise ModelUnavailable(f"The model {config.model} is not prepared; {PREPARE}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"The prepared model in {directory} is damaged; {PREPARE}") from error
    if manifest.get("format") != FORMAT:
        raise ModelUnavailable(f"The model in {directory} was prepared by another version; {PREPARE}")
    if any(sizes[name] != entry["bytes"] for name, entry in manifest["files"].items()):
        raise ModelUnavailable(f"The prepared model in {directory} is damaged; {PREPARE}")
    if config.precision not in ("auto", manifest["precision"]):
        raise ModelUnavailable(
            f"The model is prepared as {manifest['precision']} and CLIP_PRECISION is {config.precision}; {PREPARE}"
        )
    return manifest


def tensors_read(config: Config, manifest: dict, name: str) -> dict[str, torch.Tensor]:
    """The tensors of one file, memory-mapped, after its SHA-256 was checked. Raises ModelUnavailable."""
    from safetensors.torch import load_file

    path = artifact_directory(config) / name
    if file_sha256(path) != manifest["files"][name]["sha256"]:
        raise ModelUnavailable(f"{path} is damaged; {PREPARE}")
    return load_file(path)


def head_read(config: Config, manifest: dict) -> Head:
    weights = tensors_read(config, manifest, HEAD)["weights"].numpy()
    labels = imagenet_labels()
    return Head("imagenet", labels, weights, tuple(range(len(labels))))


def shape_read(manifest: dict) -> Shape:
    fields = dict(manifest["shape"])
    if isinstance(fields["layers"], list):
        fields["layers"] = tuple(fields["layers"])
    return Shape(**fields)


# --- Writing ---------------------------------------------------------------------------------------------------------


def artifact_prepare(
    config: Config, *, progress: Progress | None, download_only: bool = False, keep_checkpoint: bool = False
) -> dict:
    """See classifier.engine.prepare."""
    try:
        config.model_dir.mkdir(parents=True, exist_ok=True)
        with locked(config.model_dir / ".lock", progress):
            if not download_only and (manifest := good_manifest(config)):
                return manifest
            path = checkpoint_obtain(config, progress)
            if download_only:
                return {}
            manifest = artifact_build(config, path, progress)
            if config.model in MODELS and not keep_checkpoint:
                discard_download(path)
            return manifest
    except OSError as error:
        raise CheckpointError(
            f"The model could not be written to {config.model_dir}: {error.strerror or error}. "
            "What was there before is untouched."
        ) from error


@contextlib.contextmanager
def locked(path: Path, progress: Progress | None) -> Iterator[None]:
    """Hold the lock file; the system lets it go when the process ends, however it ends."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress:
                progress("waiting for another process that prepares a model", 0, 0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def good_manifest(config: Config) -> dict | None:
    """The manifest of an artifact that is complete, undamaged, and what `config` asks for."""
    directory = artifact_directory(config)
    try:
        manifest = manifest_read(config)
    except ModelUnavailable:
        return None
    wanted = {"names": imagenet_names(), "templates": imagenet_templates()}
    same_file = config.model in MODELS or source_unchanged(Path(config.model), manifest["source"])
    intact = all(file_sha256(directory / name) == entry["sha256"] for name, entry in manifest["files"].items())
    same_head = manifest["templates"] == list(wanted["templates"])
    asked = config.precision == manifest["asked"] or config.precision == manifest["precision"]
    return manifest if same_file and intact and same_head and asked else None


def source_unchanged(path: Path, source: dict) -> bool:
    """Whether a named file is the one that was converted; a file that is gone cannot have changed."""
    return not path.exists() or file_sha256(path) == source["sha256"]


def checkpoint_obtain(config: Config, progress: Progress | None) -> Path:
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


def discard_download(path: Path) -> None:
    from classifier.engine.download import discard

    discard(path)


def artifact_build(config: Config, path: Path, progress: Progress | None) -> dict:
    """Convert into a directory beside the final one, then rename."""
    expected = MODELS[config.model][0] if config.model in MODELS else None
    checkpoint = checkpoint_open(path, sha256=expected, progress=progress)
    final = artifact_directory(config)
    for leftover in config.model_dir.glob(f".{final.name}.*.partial"):  # of a process that was killed; we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    partial = config.model_dir / f".{final.name}.{os.getpid()}.partial"
    partial.mkdir()
    try:
        manifest = artifact_write(config, checkpoint, partial, progress)
        swap(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def artifact_write(config: Config, checkpoint: Checkpoint, directory: Path, progress: Progress | None) -> dict:
    """Write every file of the artifact; return the manifest, which is written last."""
    import safetensors
    import torch
    from safetensors.torch import save_file

    from classifier.engine.image_tower import image_tower_convert

    precision = "fp32"
    save_file(
        image_tower_convert(checkpoint.image_state(), checkpoint.shape, precision),
        directory / f"image-{precision}.safetensors",
    )
    save_file({k: v.clone() for k, v in checkpoint.text_state().items()}, directory / TEXT)
    save_file({"weights": torch.from_numpy(build_imagenet_head(config, checkpoint, progress))}, directory / HEAD)
    manifest = {
        "format": FORMAT,
        "model": checkpoint.name,
        "precision": precision,
        "asked": config.precision,
        "source": {"file": checkpoint.path.name, "sha256": checkpoint.sha256},
        "shape": dataclasses.asdict(checkpoint.shape),
        "logit_scale": float(checkpoint.state["logit_scale"].float().exp()),
        "templates": list(imagenet_templates()),
        "versions": {"torch": torch.__version__, "safetensors": safetensors.__version__},
        "files": {
            file.name: {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
            for file in sorted(directory.glob("*.safetensors"))
        },
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for file in [*directory.iterdir(), directory]:
        flush(file)
    return manifest


def build_imagenet_head(config: Config, checkpoint: Checkpoint, progress: Progress | None) -> np.ndarray:
    """(1000, D) float32. Interrupted, it goes on where it stopped."""
    from classifier.engine.prompts import head_weights
    from classifier.engine.text_tower import TextTower
    from classifier.engine.tokenizer import Tokenizer

    return head_weights(
        TextTower(checkpoint.text_state()),
        Tokenizer(),
        imagenet_names(),
        imagenet_templates(),
        progress=(lambda done, total: progress("building the ImageNet head", done, total)) if progress else None,
        cache_dir=config.model_dir / "checkpoints",
        weights_sha256=checkpoint.sha256,
    )


def flush(path: Path) -> None:
    """Wait until the disk has it: a rename must not be on disk before what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def swap(partial: Path, final: Path) -> None:
    """Put `partial` in the place of `final`. Killed between the two renames, `recover` undoes the first."""
    old = final.with_name(f".{final.name}.old")
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    partial.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def recover(final: Path) -> None:
    """Bring back the previous artifact where a process was killed while it was being replaced."""
    old = final.with_name(f".{final.name}.old")
    if old.exists() and not final.exists():
        with contextlib.suppress(OSError):  # another process was quicker
            old.rename(final)


__all__ = ["DownloadError", "artifact_directory", "artifact_prepare", "head_read", "manifest_read", "tensors_read"]
