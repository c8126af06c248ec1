"""Memory of a process that does nothing but embed photos: this project's int8 beside faster-clip.

faster-clip (Rust, int8 weights widened as they are used) reads Hugging Face's names from a cache of its own, into which
the checkpoint's image tower is written, and takes files rather than pixels: so both read and shrink the photos here.
https://pypi.org/project/faster-clip/
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from classifier.benchmark.offline import row_cosines
from classifier.engine import Config
from classifier.engine.checkpoint import Checkpoint

OURS, FASTER_CLIP = "Heroku CLIP int8", "faster-clip"
CACHED = "sentence-transformers__clip-ViT-B-32/0_CLIPModel/model.safetensors"  # the only model that it knows
ANSWER = """
import json, sys, time
photos = [open(path, "rb").read() for path in sys.argv[1:]]
embed(photos)
turns = []
for _ in range(15):
    started = time.process_time()
    embeddings = embed(photos)
    turns.append((time.process_time() - started) / len(photos))
lines = [line.split() for line in open("/proc/self/smaps_rollup") if line.endswith("kB\\n")]
memory = {name.strip(":"): int(kilobytes) for name, kilobytes, _ in lines}
rows = [list(map(float, embedding)) for embedding in embeddings]
print(json.dumps([memory["Pss"] / 1e3, memory["Anonymous"] / 1e3, 1e3 * sorted(turns)[7], rows]))
"""
EMBED = {
    OURS: """
import io, os
from pathlib import Path
from PIL import Image
from classifier.engine import Config, get_engine
engine = get_engine(Config(os.environ["MODEL"], Path(os.environ["MODEL_DIR"]), precision="int8", threads=1))
def embed(photos):
    return [engine.embed_images([Image.open(io.BytesIO(photo)).convert("RGB")])[0] for photo in photos]
""",
    FASTER_CLIP: """
from faster_clip import ClipModel
model = ClipModel()
def embed(photos):
    return [model.encode_image([photo])[0] for photo in photos]
""",
}


def resident(checkpoint: Checkpoint, config: Config, photos: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """A figure and its value for each; nothing without faster-clip, or of another shape than it knows."""
    shape = checkpoint.shape
    if importlib.util.find_spec("faster_clip") is None or (shape.width, shape.layers, shape.patch) != (768, 12, 32):
        return
    with tempfile.TemporaryDirectory(prefix="faster-clip-") as cache:
        path = Path(cache) / CACHED
        path.parent.mkdir(parents=True)
        save_file(huggingface_state(checkpoint), path)
        environment = {
            **os.environ, "FASTER_CLIP_CACHE": cache, "MODEL": config.model, "MODEL_DIR": str(config.model_dir),
            "RAYON_NUM_THREADS": "1",
        }  # fmt: skip
        found = []
        for name, code in EMBED.items():
            command = [sys.executable, "-c", code + ANSWER, *map(str, photos)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            pss, anonymous, milliseconds, embeddings = json.loads(done.stdout.splitlines()[-1])
            found.append(np.array(embeddings, np.float32))
            yield (
                f"a process that embeds photos, {name}",
                f"{pss:.0f} MB PSS, {anonymous:.0f} MB anonymous, {milliseconds:.1f} ms of processor time a photo",
            )
        yield "faster-clip, cosine to ours", f"{row_cosines(*found).min():.5f} (minimum)"


def huggingface_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The image tower by the names of Hugging Face's CLIPModel, float32."""
    names = {
        "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
        "conv1.weight": "embeddings.patch_embedding.weight",
        "ln_pre": "pre_layrnorm",
        "ln_post": "post_layernorm",
        "transformer.resblocks": "encoder.layers",
        "attn.out_proj": "self_attn.out_proj",
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    state: dict[str, Tensor] = {}
    for name, tensor in checkpoint.image_state().items():
        tensor = tensor.float()
        if name == "proj":
            state["visual_projection.weight"] = tensor.T.contiguous()
            continue
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        if "attn.in_proj_" in name:
            prefix, kind = name.split("attn.in_proj_")
            for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
                state[f"vision_model.{prefix}self_attn.{letter}_proj.{kind}"] = piece.contiguous()
        else:
            state[f"vision_model.{name}"] = tensor.contiguous()
    return state
