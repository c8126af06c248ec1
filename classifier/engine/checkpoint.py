"""OpenAI's checkpoints: their names and hashes, opening them, and what kind of CLIP they hold.

A checkpoint is a TorchScript archive, which archive.py reads and whose module classes tell the activation; or the state
dict of one, which does not.
"""

from __future__ import annotations

import hashlib
import pickle
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.engine.archive import archive_read
from classifier.errors import CheckpointError

if TYPE_CHECKING:
    import torch

Progress = Callable[[str, int, int], None]  # what is being done, units done, units in all

# name: (SHA-256, file name), as in clip.py of https://github.com/openai/CLIP
MODELS = {
    "RN50": ("afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", "RN50.pt"),
    "RN101": ("8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599", "RN101.pt"),
    "RN50x4": ("7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd", "RN50x4.pt"),
    "RN50x16": ("52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa", "RN50x16.pt"),
    "RN50x64": ("be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c", "RN50x64.pt"),
    "ViT-B/32": ("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "ViT-B-32.pt"),
    "ViT-B/16": ("5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", "ViT-B-16.pt"),
    "ViT-L/14": ("b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", "ViT-L-14.pt"),
    "ViT-L/14@336px": ("3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", "ViT-L-14-336px.pt"),
}

ACTIVATIONS = ("auto", "quickgelu")
QUICKGELU = "quickgelu"
CHUNK = 1 << 20  # bytes hashed at a time


@dataclass(frozen=True)
class Shape:
    """The dimensions of a CLIP model, read off its tensors: a `VitShape` or a `ResNetShape`."""

    embed_dim: int
    resolution: int  # pixels
    width: int
    context_length: int
    vocab_size: int
    text_width: int
    text_layers: int

    @property
    def vit(self) -> bool:
        return isinstance(self, VitShape)

    @property
    def heads(self) -> int:
        return self.width // 64

    @property
    def text_heads(self) -> int:
        return self.text_width // 64


@dataclass(frozen=True)
class VitShape(Shape):
    layers: int
    patch: int  # pixels


@dataclass(frozen=True)
class ResNetShape(Shape):
    layers: tuple[int, ...]  # of each of the four stages


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint. `state` maps OpenAI's parameter names to tensors that are views of the file."""

    path: Path
    sha256: str
    shape: Shape
    state: dict[str, torch.Tensor]
    activation: str = ""  # "quickgelu", "gelu", or "" where the file does not say

    @property
    def name(self) -> str:
        """OpenAI's name for this very file, else the file's own."""
        for name, (sha256, _) in MODELS.items():
            if sha256 == self.sha256:
                return name
        return self.path.stem

    def image_state(self) -> dict[str, torch.Tensor]:
        """The image tower's part, without the `visual.` in front."""
        return {name[7:]: tensor for name, tensor in self.state.items() if name.startswith("visual.")}

    def text_state(self) -> dict[str, torch.Tensor]:
        """Everything that is not the image tower's."""
        return {name: tensor for name, tensor in self.state.items() if not name.startswith("visual.")}


def checkpoint_open(path: Path, *, sha256: str | None = None, progress: Progress | None = None) -> Checkpoint:
    """Open a checkpoint in OpenAI's format, or a state dict saved by torch.save.

    With `sha256` the file must have that hash; without, the ZIP's own checksums are verified. Raises CheckpointError.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint at {path}.")
    found = file_sha256(path, progress)
    if sha256 and found != sha256:
        raise CheckpointError(f"{path} is not the file OpenAI published: its SHA-256 is {found}, not {sha256}.")
    try:
        state, classes = archive_read(path, verify=sha256 is None)
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise CheckpointError(f"{path} is cut, damaged, or not a PyTorch checkpoint: {error}.") from error
    except (pickle.UnpicklingError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} is not a checkpoint that this program understands: {error}.") from error
    published = any(found == known for known, _ in MODELS.values())
    activation = QUICKGELU if published else activation_of(classes)
    return Checkpoint(path=path, sha256=found, shape=shape_of(state, path), state=state, activation=activation)


def file_sha256(path: Path, progress: Progress | None = None) -> str:
    """The SHA-256 of a file, read a chunk at a time."""
    digest, size, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if progress:
                progress("checking the checkpoint", done, size)
    return digest.hexdigest()


# --- What kind of CLIP it is ---------------------------------------------------------------------------------------


def shape_of(state: dict[str, torch.Tensor], path: Path) -> Shape:
    """Read the dimensions off the tensors, as build_model in OpenAI's model.py does, and check that they agree."""
    try:
        shape: Shape = vit_shape(state) if "visual.proj" in state else resnet_shape(state)
        for name, expected in expected_shapes(shape).items():
            if tuple(state[name].shape) != expected:
                raise CheckpointError(f"{path} is not a CLIP model: {name} is {tuple(state[name].shape)}.")
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{path} is not a CLIP model: it has no {error}.") from error
    attended = shape.width if shape.vit else shape.width * 32  # a ResNet attends once, to what its last stage gives
    if attended % 64 or shape.text_width % 64:
        raise CheckpointError(f"{path} is not a CLIP model: its widths are no multiples of a head's 64.")
    return shape


def activation_of(classes: set[str]) -> str:
    """Which activation a file's modules have: OpenAI's QuickGELU, or the plain one that some trained CLIP with."""
    if "GELU" in classes:
        return "gelu"
    return QUICKGELU if "QuickGELU" in classes else ""


def activation_check(checkpoint: Checkpoint, stated: str) -> None:
    """Raise CheckpointError unless the towers here, which compute QuickGELU, are what the weights were trained for.

    `stated` is what CLIP_ACTIVATION says of a file that does not say it itself.
    """
    if checkpoint.activation == "gelu":
        raise CheckpointError(
            f"{checkpoint.path} was trained with GELU; OpenAI's CLIP, and this program, use QuickGELU."
        )
    if not checkpoint.activation and stated != QUICKGELU:
        raise CheckpointError(
            f"{checkpoint.path} does not say whether it was trained with OpenAI's QuickGELU or with GELU, and with the "
            "wrong one its answers would be wrong. If it is QuickGELU, set CLIP_ACTIVATION=quickgelu."
        )


def count_blocks(state: dict[str, torch.Tensor], prefix: str) -> int:
    """How many numbered children `prefix` has."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def vit_shape(state: dict[str, torch.Tensor]) -> VitShape:
    width, _, patch, _ = state["visual.conv1.weight"].shape
    grid = round((state["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    layers = count_blocks(state, "visual.transformer.resblocks.")
    return VitShape(resolution=patch * grid, layers=layers, width=width, patch=patch, **text_shape(state))


def resnet_shape(state: dict[str, torch.Tensor]) -> ResNetShape:
    width = state["visual.layer1.0.conv1.weight"].shape[0]
    grid = round((state["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    layers = tuple(count_blocks(state, f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
    return ResNetShape(resolution=grid * 32, layers=layers, width=width, **text_shape(state))


def text_shape(state: dict[str, torch.Tensor]) -> dict[str, int]:
    return {
        "embed_dim": state["text_projection"].shape[1],
        "context_length": state["positional_embedding"].shape[0],
        "vocab_size": state["token_embedding.weight"].shape[0],
        "text_width": state["ln_final.weight"].shape[0],
        "text_layers": count_blocks(state, "transformer.resblocks."),
    }


def expected_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Name and size of every tensor that the towers read (of a ResNet: of its text tower)."""
    expected: dict[str, tuple[int, ...]] = {
        "text_projection": (shape.text_width, shape.embed_dim),
        "positional_embedding": (shape.context_length, shape.text_width),
        "token_embedding.weight": (shape.vocab_size, shape.text_width),
        "ln_final.weight": (shape.text_width,),
        "ln_final.bias": (shape.text_width,),
        "logit_scale": (),
        **block_shapes("transformer.resblocks", shape.text_layers, shape.text_width),
    }
    if isinstance(shape, VitShape):
        tokens = (shape.resolution // shape.patch) ** 2 + 1
        expected |= {
            "visual.conv1.weight": (shape.width, 3, shape.patch, shape.patch),
            "visual.class_embedding": (shape.width,),
            "visual.positional_embedding": (tokens, shape.width),
            "visual.proj": (shape.width, shape.embed_dim),
            **{
                f"visual.{norm}.{part}": (shape.width,) for norm in ("ln_pre", "ln_post") for part in ("weight", "bias")
            },
            **block_shapes("visual.transformer.resblocks", shape.layers, shape.width),
        }
    return expected


def block_shapes(prefix: str, layers: int, width: int) -> dict[str, tuple[int, ...]]:
    block = {
        "attn.in_proj": (3 * width, width),
        "attn.out_proj.": (width, width),
        "mlp.c_fc.": (4 * width, width),
        "mlp.c_proj.": (width, 4 * width),
    }
    sizes: dict[str, tuple[int, ...]] = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
    }
    for name, (rows, columns) in block.items():
        join = "_" if name == "attn.in_proj" else ""
        sizes[f"{name}{join}weight"], sizes[f"{name}{join}bias"] = (rows, columns), (rows,)
    return {f"{prefix}.{layer}.{name}": size for layer in range(layers) for name, size in sizes.items()}
