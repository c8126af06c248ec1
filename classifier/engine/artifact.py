"""The converted weights of one model, `CLIP_MODEL_DIR/<model>/`: where they are, and reading them.

    manifest.json                   what was converted from which file, how well it agrees, size and SHA-256 of the rest
    image-<precision>.safetensors   the image tower, laid out as run time reads it, memory-mapped
    text.safetensors                the text tower under OpenAI's names, int8 or as published, read when text is encoded
    imagenet-head.safetensors       the zero-shot head of ImageNet's 1000 labels

conversion.py writes them.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.engine import Config, Head, Manifest
from classifier.engine.checkpoint import MODELS, ResNetShape, VitShape, file_sha256
from classifier.engine.imagenet import imagenet_doubles, imagenet_labels, imagenet_names, imagenet_together
from classifier.errors import ModelUnavailable

if TYPE_CHECKING:
    from classifier.engine.weights_file import WeightsFile

FORMAT = 5  # raised whenever the layout changes; artifacts of another format are rebuilt
MANIFEST, HEAD, TEXT = "manifest.json", "imagenet-head.safetensors", "text.safetensors"
PREPARE = "run: python manage.py prepare_model"


def image_file(precision: str) -> str:
    return f"image-{precision}.safetensors"


def artifact_directory(config: Config) -> Path:
    """`ViT-B-32` for OpenAI's model, `local-<name>` for a file."""
    if config.model in MODELS:
        return config.model_dir / MODELS[config.model][1].removesuffix(".pt")
    return config.model_dir / f"local-{Path(config.model).stem}"


def manifest_read(config: Config) -> Manifest:
    """The manifest of the artifact for `config`, all files of which are there. Raises ModelUnavailable.

    Artifacts are named by their file's name, which two files may share: what was converted is compared.
    """
    directory = artifact_directory(config)
    recover(directory)
    try:
        manifest: Manifest = json.loads((directory / MANIFEST).read_text())
        sizes = {name: (directory / name).stat().st_size for name in manifest["files"]}
    except FileNotFoundError as error:
        raise ModelUnavailable(f"The model {config.model} is not prepared; {PREPARE}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"The prepared model in {directory} is damaged; {PREPARE}") from error
    if manifest.get("format") != FORMAT:
        raise ModelUnavailable(f"The model in {directory} was prepared by another version; {PREPARE}")
    if any(sizes[name] != entry["bytes"] for name, entry in manifest["files"].items()):
        raise ModelUnavailable(f"The prepared model in {directory} is damaged; {PREPARE}")
    if not source_same(config, manifest["source"]):
        raise ModelUnavailable(
            f"The prepared model in {directory} was made from another file than CLIP_MODEL names, {config.model}; "
            f"{PREPARE}"
        )
    if manifest["head"]["names"] != list(imagenet_names()):
        raise ModelUnavailable(f"The model in {directory} was prepared for other labels; {PREPARE}")
    if config.precision not in ("auto", manifest["precision"]):
        raise ModelUnavailable(
            f"The model is prepared as {manifest['precision']} and CLIP_PRECISION is {config.precision}; {PREPARE}"
        )
    return manifest


def prepared_from(config: Config) -> bool:
    """Whether there is an artifact of what `config` names, good or not."""
    try:
        source = json.loads((artifact_directory(config) / MANIFEST).read_text())["source"]
        return source_same(config, source)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def source_same(config: Config, source: dict[str, str | int]) -> bool:
    """Whether what `config` names is what was converted. A file that is gone is the one that was named so."""
    if config.model in MODELS:
        return source["sha256"] == MODELS[config.model][0]
    path = Path(config.model).expanduser()
    if not path.is_file():
        return config.model == source["named"] or str(path.resolve()) == source.get("path")
    marks = file_marks(path)
    unchanged = all(source.get(name) == value for name, value in marks.items())
    return unchanged or file_sha256(path) == source["sha256"]


def file_marks(path: Path) -> dict[str, str | int]:
    """By which a file that nobody touched is known again without reading it."""
    state = path.stat()
    marks = {"inode": state.st_ino, "bytes": state.st_size, "modified": state.st_mtime_ns, "changed": state.st_ctime_ns}
    return {"path": str(path.resolve()), **marks}


def weights_read(config: Config, manifest: Manifest, name: str) -> WeightsFile:
    """One file of the artifact, memory-mapped, after its SHA-256 was checked. Raises ModelUnavailable."""
    from classifier.engine.weights_file import WeightsFile

    path = artifact_directory(config) / name
    if file_sha256(path) != manifest["files"][name]["sha256"]:
        raise ModelUnavailable(f"{path} is damaged; {PREPARE}")
    return WeightsFile(path)


def head_read(config: Config, manifest: Manifest) -> Head:
    """The zero-shot head of ImageNet's labels."""
    weights = weights_read(config, manifest, HEAD)["weights"].numpy()
    labels = tuple(imagenet_together(label) for label in imagenet_labels())
    return Head("imagenet", labels, weights, tuple(range(len(labels))), doubles=imagenet_doubles())


def float16_layers(manifest: Manifest, kernel: str, tried: str = "tried") -> list[str]:
    """The layers whose activations stay float among int8's by one of the kernels; by one that was not judged when the
    model was prepared, on another machine, as many as by any. Of the text tower where `tried` is "text_tried"."""
    kept = manifest[tried][-1]["float16"]
    return kept.get(kernel) or max(kept.values(), key=len, default=[])


def shape_read(manifest: Manifest) -> VitShape | ResNetShape:
    """The model's dimensions, from a manifest just made or read back."""
    fields = {name: value for name, value in manifest["shape"].items() if value is not None}
    if isinstance(fields["layers"], list | tuple):
        return ResNetShape(**fields | {"layers": tuple(fields["layers"])})
    return VitShape(**fields)


def recover(final: Path) -> None:
    """Bring back the previous artifact where a process was killed while it was being replaced."""
    old = old_directory(final)
    if old.exists() and not final.exists():
        with contextlib.suppress(OSError):  # another process was quicker
            old.rename(final)


def old_directory(final: Path) -> Path:
    """Where the previous artifact waits while the new one is put in its place."""
    return final.with_name(f".{final.name}.old")
