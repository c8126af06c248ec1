"""Checkpoints in OpenAI's file format with random weights, made on the fly: the published ones are not everywhere.

Same layout, names, shapes and dtypes: a TorchScript archive, float16 weights, float32 LayerNorms and embeddings, and
the three extra entries input_resolution, context_length and vocab_size.
"""

import atexit
import functools
import tempfile
from pathlib import Path
from types import ModuleType

from django.test import SimpleTestCase

from classifier.engine.tokenizer import clip_module

# name: (embed_dim, image_resolution, vision_layers, vision_width, vision_patch_size,
#        context_length, vocab_size, transformer_width, transformer_heads, transformer_layers)
SHAPES = {
    "ViT-B/32": (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12),
    "ViT-B/16": (512, 224, 12, 768, 16, 77, 49408, 512, 8, 12),
    "ViT-L/14": (768, 224, 24, 1024, 14, 77, 49408, 768, 12, 12),
    "ViT-L/14@336px": (768, 336, 24, 1024, 14, 77, 49408, 768, 12, 12),
    "RN50": (1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12),
    "RN101": (512, 224, (3, 4, 23, 3), 64, None, 77, 49408, 512, 8, 12),
    "RN50x4": (640, 288, (4, 6, 10, 6), 80, None, 77, 49408, 640, 10, 12),
    "RN50x16": (768, 384, (6, 8, 18, 8), 96, None, 77, 49408, 768, 12, 12),
    "RN50x64": (1024, 448, (3, 15, 36, 10), 128, None, 77, 49408, 1024, 16, 12),
    "tiny": (64, 64, 2, 128, 16, 77, 49408, 64, 1, 2),
    "tiny-resnet": (64, 64, (1, 1, 1, 1), 64, None, 77, 49408, 64, 1, 2),
    "narrow-resnet-80": (64, 64, (1, 1, 1, 1), 80, None, 77, 49408, 64, 1, 2),
    "narrow-resnet-96": (64, 64, (1, 1, 1, 1), 96, None, 77, 49408, 64, 1, 2),
}


@functools.cache
def clip_model_module() -> ModuleType:
    """OpenAI's clip/model.py, once: tests patch it."""
    return clip_module("model")


@functools.cache
def scratch() -> Path:
    """A directory that goes when the tests end."""
    directory = tempfile.TemporaryDirectory(prefix="clip-tests-")
    atexit.register(directory.cleanup)
    return Path(directory.name)


@functools.cache
def checkpoint(shape: str = "tiny", outliers: str = "", gain: float = 40.0, seed: int = 0) -> Path:
    """The path of a checkpoint of that shape, made once per run."""
    name = "-".join(
        [shape.replace("/", "-"), *([outliers, f"{gain:g}"] if outliers else []), *([str(seed)] if seed else [])]
    )
    path = scratch() / f"{name}.pt"
    checkpoint_write(shape, path, outliers, gain, seed)
    return path


def checkpoint_write(shape: str, path: Path, outliers: str = "", gain: float = 40.0, seed: int = 0) -> None:
    import torch

    torch.manual_seed(seed)
    model = clip_model_module().CLIP(*SHAPES[shape]).eval()
    model.logit_scale.data.fill_(4.6052)  # the trained models end at exp(4.6052) = 100
    if outliers:
        add_outliers(model, outliers, gain=gain)
    archive_write(model, SHAPES[shape][1], path)


def archive_write(model, size: int, path: Path) -> None:
    """Write a clip.model.CLIP, float32, for pictures of `size` pixels, as OpenAI publishes them; changes the model."""
    import torch

    for name, value in (("input_resolution", size), ("context_length", 77), ("vocab_size", 49408)):
        model.__dict__.pop(name, None)  # OpenAI's archives hold these three as tensors
        model.register_buffer(name, torch.tensor(value))
    example = (torch.zeros(1, 3, size, size), torch.zeros(1, 77, dtype=torch.long))
    with torch.no_grad():  # traced in float32, where every operator exists on a CPU; stored in float16, as OpenAI's
        script = torch.jit.trace(model, example, check_trace=False)
    clip_model_module().convert_weights(model)
    halves = model.state_dict()
    for name, tensor in [*script.named_parameters(), *script.named_buffers()]:
        if name in halves:
            tensor.data = halves[name].data
    script.save(str(path))


OUTLIERS = ("norm", "hidden", "residual")


def add_outliers(model, kind: str, channels: int = 6, gain: float = 40.0) -> None:
    """Give the image tower outliers as trained transformers have them, of one kind.

    norm      a few channels that both LayerNorms of a block let through large (inputs of qkv and fc);
    hidden    a few neurons of the perceptron that answer large (inputs of proj, where no scale can be moved away);
    residual  a few channels of the residual stream that the class token's embedding makes huge ("massive activations").
    """
    import torch

    visual = model.visual
    for block in list(visual.transformer.resblocks)[1:]:
        if kind == "norm":
            picked = torch.randperm(block.ln_1.weight.numel())[:channels]
            block.ln_1.weight.data[picked] *= gain
            block.ln_2.weight.data[picked] *= gain
            block.mlp.c_proj.bias.data[picked] += gain / 10
        elif kind == "hidden":
            picked = torch.randperm(block.mlp.c_fc.weight.shape[0])[:channels]
            block.mlp.c_fc.weight.data[picked] *= gain / 4
            block.mlp.c_fc.bias.data[picked] += gain / 4
    if kind == "residual":
        picked = torch.randperm(visual.class_embedding.numel())[:channels]
        visual.class_embedding.data[picked] += gain * visual.class_embedding.data.std()
        visual.ln_pre.weight.data[picked] *= gain / 4


def reference(path: Path):
    """OpenAI's own network with the checkpoint's weights, in float32, as clip.load gives it on a CPU."""
    import torch

    state = torch.jit.load(str(path), map_location="cpu").state_dict()
    return clip_model_module().build_model(state).float()


class OneThreadTestCase(SimpleTestCase):
    """Sums come in one order, so that results can be compared to the last digits."""

    @classmethod
    def setUpClass(cls):
        import torch

        super().setUpClass()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        cls.addClassCleanup(torch.set_num_threads, threads)
