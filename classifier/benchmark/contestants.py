"""What `manage.py benchmark` compares: OpenAI's code, this project's tower in each precision, ONNX Runtime, OpenVINO.

Each is a function from (B, 3, N, N) float32 pixels to (B, E) embeddings, both NumPy arrays, with the bytes of its
weights.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from classifier.engine.checkpoint import Checkpoint
from classifier.engine.image_conversion import drawn_pixels
from classifier.engine.image_tower import ImageTower, image_tower_store
from classifier.engine.linear import kernel_of
from classifier.engine.probes import CALIBRATION
from classifier.engine.quantise import calibrate, int8_store
from classifier.engine.stack import image_stack
from classifier.engine.tokenizer import clip_module
from classifier.engine.weights_file import HEADER, WeightsFile, weights_write

OPENAI, ONNX_INT8 = "OpenAI's code", "ONNX Runtime int8"
OPENVINO_DYNAMIC, OPENVINO_STATIC = "OpenVINO int8", "OpenVINO int8 static"
NNCF = Path(__file__).resolve().parents[2] / ".nncf"  # pip install --target .nncf nncf==3.4.0
PEERS = (ONNX_INT8, OPENVINO_DYNAMIC, OPENVINO_STATIC)  # those that int8 is measured against in turns


@dataclass(frozen=True)
class Contestant:
    """One way to embed pictures."""

    name: str
    embed: Callable[[np.ndarray], np.ndarray]
    weights: int  # bytes


def contestants(
    checkpoint: Checkpoint, scratch: Path, threads: int, openai: torch.nn.Module, float16: dict[str, list[str]]
) -> Iterator[Contestant]:
    """OpenAI's code first; ONNX Runtime and OpenVINO only where requirements-benchmark.txt is installed.

    `float16` names the layers, by kernel, that prepare_model kept so among int8's.
    """
    visual = openai.visual
    yield Contestant(OPENAI, torch_embed(visual), sum(4 * p.numel() for p in visual.parameters()))
    for precision in ("fp32", "fp16", "int8"):
        yield ours(checkpoint, precision, scratch, float16)
    if installed("onnxruntime", "onnxscript"):
        yield from onnx_runtime(visual, checkpoint.shape.resolution, scratch, threads)
    if installed("openvino", "nncf"):
        yield from openvino(visual, checkpoint.shape.resolution, scratch, threads)


def installed(*modules: str) -> bool:
    """Whether they are in the environment, or in the folder that NNCF has to itself: it brings the build tool ninja,
    whose module has the name of django-ninja's, and must come after it."""
    if str(NNCF) not in sys.path:
        sys.path.append(str(NNCF))
    return all(importlib.util.find_spec(module) for module in modules)


def openais_network(checkpoint: Checkpoint) -> torch.nn.Module:
    """As clip.load gives it on a CPU: in float32."""
    return clip_module("model").build_model(dict(checkpoint.state)).float()


def torch_embed(network: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    def embed(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(pixels)).numpy()

    return embed


def ours(checkpoint: Checkpoint, precision: str, scratch: Path, float16: dict[str, list[str]]) -> Contestant:
    """Converted as prepare_model converts."""
    path, state, shape = scratch / f"{precision}.safetensors", checkpoint.image_state(), checkpoint.shape
    with torch.inference_mode():
        if precision == "int8":
            calibration = calibrate(image_stack(state, shape, drawn_pixels(CALIBRATION, shape.resolution)))
            stored = min(float16.values(), key=len, default=[])
            weights_write(path, int8_store(state, shape, calibration.scales, stored))
            wide = float16.get(kernel_of("int8"), stored)
        else:
            weights_write(path, image_tower_store(state, shape, precision))
            wide = []
        tower = ImageTower(WeightsFile(path), shape, precision, wide=wide)
    return Contestant(precision, torch_embed(tower), path.stat().st_size - HEADER)


def onnx_runtime(visual: torch.nn.Module, side: int, scratch: Path, threads: int) -> Iterator[Contestant]:
    """OpenAI's image tower exported, in float32 and quantised by ONNX Runtime's own tool, per channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # the exporter and the quantiser talk a lot
    full, small = scratch / "visual.onnx", scratch / "visual-int8.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (torch.zeros(2, 3, side, side),)
        batch = {"x": {0: torch.export.Dim("batch", min=1, max=64)}}
        torch.onnx.export(visual, example, full, dynamo=True, dynamic_shapes=batch, external_data=False, verbose=False)
        quantize_dynamic(
            full, small, per_channel=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True}
        )
    for name, path in (("ONNX Runtime fp32", full), (ONNX_INT8, small)):
        yield Contestant(name, onnx_embed(path, threads), path.stat().st_size)


def onnx_embed(path: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Else its threads go on spinning after their work, on the cores that the next contestant computes on.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels})[0]


def openvino(visual: torch.nn.Module, side: int, scratch: Path, threads: int) -> Iterator[Contestant]:
    """OpenAI's image tower, its weights as bytes and activations rounded when they come (OpenVINO's default for such
    weights), and quantised by NNCF, whose scales are fixed by the pictures that our own calibration sees."""
    import nncf
    from openvino import convert_model, save_model

    nncf.set_log_level(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example, size = torch.zeros(2, 3, side, side), [-1, 3, side, side]
        small = nncf.compress_weights(
            convert_model(visual, example_input=example, input=size), mode=nncf.CompressWeightsMode.INT8_SYM
        )
        pictures = nncf.Dataset([picture[None].numpy() for picture in drawn_pixels(CALIBRATION, side)])
        static = nncf.quantize(
            convert_model(visual, example_input=example, input=size), pictures, model_type=nncf.ModelType.TRANSFORMER
        )
    for name, model in ((OPENVINO_DYNAMIC, small), (OPENVINO_STATIC, static)):
        path = scratch / f"{name.replace(' ', '-')}.xml"
        save_model(model, path)
        yield Contestant(name, openvino_embed(path, threads), path.with_suffix(".bin").stat().st_size)


def openvino_embed(path: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    from openvino import Core

    settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    compiled = Core().compile_model(path, "CPU", settings)
    return lambda pixels: compiled(pixels)[0]
