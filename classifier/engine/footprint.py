"""How much memory a model takes while it serves, told from what was converted, or from its shape before that.

Measured against what a server holds: docs/operations.md. Bytes everywhere.
"""

from __future__ import annotations

from classifier.engine import Manifest
from classifier.engine.artifact import HEAD, image_file, shape_read
from classifier.engine.checkpoint import Shape, VitShape

TEXT_BESIDE = 45_000_000  # of a text tower in use: the tokenizer, and what passes through
ACTIVATIONS = 48  # bytes for each token and channel of a picture under way, everything counted that is there at once


def image_memory(manifest: Manifest, pictures: int) -> int:
    """Of the image tower and ImageNet's head, with so many pictures under way."""
    taken, files = manifest["tried"][-1], manifest["files"]
    weights = files[image_file(manifest["precision"])]["bytes"] + files[HEAD]["bytes"]
    return int(weights + widened(taken) + pictures * picture_memory(shape_read(manifest)))


def widened(taken: Manifest) -> int:
    """Of layers that are int8 in the file and two bytes in memory, by the kernel that needs most of them; an estimate
    by their number."""
    counts = [len(names) for names in taken["float16"].values()]
    return (max(counts) - min(counts)) * taken["float16_bytes"] // max(1, min(counts)) if counts else 0


def picture_memory(shape: Shape) -> int:
    """Of one picture under way."""
    if isinstance(shape, VitShape):
        return ((shape.resolution // shape.patch) ** 2 + 1) * shape.width * ACTIVATIONS
    return shape.resolution**2 * shape.width * 4 // 2  # a ResNet's first stage has a quarter of the pixels, twice over


def least_image_memory(shape: Shape, pictures: int) -> int:
    """At least, whatever the precision turns out to be: a ViT in int8; of a ResNet only that it will be known later."""
    weights = 0
    if isinstance(shape, VitShape):
        weights = linear_weights(shape.layers, shape.width) + 2 * shape.width * (3 * shape.patch**2 + shape.embed_dim)
    return weights + pictures * picture_memory(shape)


def text_memory(manifest: Manifest) -> int:
    """Of the text tower in use; its token embedding stays in the file."""
    shape, taken = shape_read(manifest), manifest["text_tried"][-1]
    bytes_each = 1 if taken["precision"] == "int8" else 2
    weights = bytes_each * linear_weights(shape.text_layers, shape.text_width)
    return int(weights + taken["float16_bytes"] + widened(taken) + TEXT_BESIDE)


def streamed_text_memory() -> int:
    """Of a text tower that is read a block at a time."""
    return TEXT_BESIDE


def linear_weights(layers: int, width: int) -> int:
    """Of a transformer's blocks: qkv, out, fc and proj."""
    return 12 * layers * width**2
