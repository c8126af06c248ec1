"""CLIP inference: torch, numpy and Pillow, no Django. Importing this package does not import torch.

`prepare` converts a checkpoint into an artifact on disk; `get_engine` loads it, once per process; an Engine embeds
pictures and texts and ranks labels. Every method may be called from several threads at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.errors import ModelError, ModelUnavailable

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from classifier.engine.adapter import Adapter
    from classifier.engine.checkpoint import Progress
    from classifier.engine.occlusion import Occlusion

# torch's OpenMP threads wait for each other by spinning, for milliseconds. Where processes share cores that starves the
# very threads they wait for: on a busy machine one inference took seconds, with a thousand turns 0.2 s; on an idle one
# both take 13 ms, and 100 turns 30 ms. libgomp reads this when torch is imported.
# https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
if not os.environ.get("OMP_WAIT_POLICY"):
    os.environ["GOMP_SPINCOUNT"] = os.environ.get("GOMP_SPINCOUNT") or "1000"
# NumPy's OpenBLAS starts a thread for every core, and they spin after each product, on the cores that decode and embed:
# the one small product of a classification then cost as much processor time as the whole image tower (an upload 75 ms
# and not 38). OpenBLAS reads this when NumPy is imported.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS") or "1"

PRECISIONS = ("auto", "fp32", "fp16", "int8")
STANDIN = "standin"

Manifest = dict[str, Any]  # what conversion writes down about an artifact, as JSON


@dataclass(frozen=True)
class Config:
    """Which model to use and how. `model` is an OpenAI name, a path to a checkpoint, or "standin"."""

    model: str
    model_dir: Path
    precision: str = "auto"
    threads: int = 2
    device: str = "auto"
    weights_url: str = "https://openaipublic.azureedge.net/clip/models"
    activation: str = "auto"  # "quickgelu" vouches for a file that does not say it
    memory: int = 0  # bytes that the server will have, where that is known: what cannot fit is not prepared
    slots: int = 1  # pictures that it will have under way at a time


@dataclass(frozen=True)
class ModelInfo:
    """What answers. `manifest` is everything written at conversion, its self-check included."""

    model: str
    precision: str
    weights_sha256: str
    dim: int | None
    input_resolution: int  # pixels
    standin: bool
    manifest: Manifest = field(hash=False)
    float16_layers: int = 0  # among int8's
    layers: int = 0

    @property
    def arithmetic(self) -> str:
        """The precision, for a person: "int8, 5 of 48 layers float16"."""
        mixed = f", {self.float16_layers} of {self.layers} layers float16" if self.float16_layers else ""
        return self.precision + mixed


@dataclass(frozen=True, eq=False)
class Head:
    """A zero-shot head: one L2-normalised row of `weights` (K, D) float32 per label."""

    name: str
    labels: tuple[str, ...]
    weights: np.ndarray
    indices: tuple[int | None, ...]  # ImageNet index per label, where there is one
    doubles: tuple[tuple[int, int], ...] = ()  # rows that are one text: the first answers for both
    adapter: Adapter | None = None  # what examples of the labels add


@dataclass(frozen=True)
class Ranked:
    """One label in an answer: softmax probability over all labels of the head, and cosine."""

    rank: int
    label: str
    index: int | None
    score: float
    similarity: float | None


@dataclass(frozen=True, eq=False)
class Answer:
    """The likeliest labels first, and the picture's embedding: (D,) float32, L2-normalised; None from the stand-in."""

    predictions: tuple[Ranked, ...]
    embedding: np.ndarray | None


class Engine:
    """A loaded model. ClipEngine and StandIn implement it."""

    info: ModelInfo
    imagenet: Head
    text_streamed: bool = False  # read the text tower a block at a time, for want of memory, from its next load on

    @staticmethod
    def open(
        model: str = "ViT-B/32",
        *,
        precision: str = "auto",
        device: str = "auto",
        model_dir: str | Path | None = None,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Engine:
        """The engine of an OpenAI name or a checkpoint's path, one per process, fetched and converted at the first use.

        Models are kept in `model_dir`, CLIP_MODEL_DIR or ~/.cache/heroku-clip. Progress goes to a bar on stderr where
        that is a terminal. Raises CheckpointError, DownloadError and ModelUnavailable.
        """
        from classifier.engine.opening import engine_open

        return engine_open(
            model, precision=precision, device=device, model_dir=model_dir, threads=threads, progress=progress
        )

    def seen(self, picture: Image.Image) -> Image.Image:
        """The part of an upright RGB picture that the model looks at, small: all methods answer the same for both."""
        return picture.copy()

    def embed_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Upright RGB pictures -> (B, D) float32, L2-normalised."""
        raise NotImplementedError

    def classify(self, picture: Image.Image, head: Head | None = None, top: int = 5) -> Answer:
        """Rank the labels of `head` (ImageNet's where None) for one upright RGB picture."""
        raise NotImplementedError

    def rank_embedding(self, embedding: np.ndarray, head: Head | None = None, top: int = 5) -> tuple[Ranked, ...]:
        """Rank the labels of `head` (ImageNet's where None) for a picture's embedding, (D,) float32, L2-normalised."""
        raise NotImplementedError

    def occlude(self, picture: Image.Image) -> Occlusion:
        """What the model answers to an upright RGB picture with each part of it covered in turn: see `explain`."""
        raise NotImplementedError

    def explain(self, occlusion: Occlusion, label: int, head: Head | None = None) -> np.ndarray:
        """How much each part of the picture speaks for a label of `head` (ImageNet's where None), by its place there.

        (grid, grid) float32 in logits, the model's patches in reading order; negative where a part speaks against it.
        """
        from classifier.engine.occlusion import heat_of

        return heat_of(self.occlusion_logits(occlusion, head or self.imagenet), label, occlusion.grid)

    def occlusion_logits(self, occlusion: Occlusion, head: Head) -> np.ndarray:
        """(1 + W, K)"""
        raise NotImplementedError

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> (T, D) float32, L2-normalised. Raises TextUnsupported, LabelError."""
        raise NotImplementedError

    def build_head(
        self, name: str, labels: Sequence[str], templates: Sequence[str], progress: Progress | None = None
    ) -> Head:
        """Per label the mean of its normalised prompt embeddings, normalised again. Raises like embed_texts."""
        raise NotImplementedError

    def unload_text(self) -> None:
        """Let the text tower and the tokenizer go; the next text loads them again."""
        raise NotImplementedError

    def rank(self, logits: np.ndarray, cosines: np.ndarray | None, head: Head, top: int) -> tuple[Ranked, ...]:
        """Softmax over (K,) logits and its `top` likeliest; equal ones in the head's order, doubles as one sum."""
        import numpy as np

        scores = np.exp(logits.astype(np.float64) - logits.max())
        scores /= scores.sum()
        for first, second in head.doubles:
            scores[first] += scores[second]
            scores[second] = -1  # after all others
        best = np.argsort(-scores, kind="stable")[: min(top, len(scores) - len(head.doubles))]
        return tuple(
            Ranked(
                rank=place,
                label=head.labels[k],
                index=head.indices[k],
                score=float(scores[k]),
                similarity=None if cosines is None else float(cosines[k]),
            )
            for place, k in enumerate(best, start=1)
        )


# --- One engine per process ------------------------------------------------------------------------------------------

_engines: dict[Config, Engine] = {}
_lock = threading.Lock()


def get_engine(config: Config) -> Engine:
    """The engine of this process, loaded at the first call. A failed load is tried again at the next call.

    Raises ModelUnavailable with one sentence that says what to do.
    """
    engine = _engines.get(config)
    if engine is not None:
        return engine
    with _lock:
        if config not in _engines:
            _engines[config] = load_engine(config)
        return _engines[config]


def load_engine(config: Config) -> Engine:
    """Load without caching; get_engine is what servers call."""
    try:
        if config.model == STANDIN:
            from classifier.engine.standin import StandIn

            return StandIn(config)
        from classifier.engine.clip_engine import ClipEngine

        return ClipEngine(config)
    except ModelUnavailable:
        raise
    except (ModelError, ImportError, MemoryError, OSError, RuntimeError) as error:
        raise ModelUnavailable(f"The model could not be loaded: {error}") from error


def prepare(
    config: Config, *, progress: Progress | None = None, download_only: bool = False, keep_checkpoint: bool = False
) -> Manifest:
    """Fetch, verify and convert what `config` names, unless a good artifact is there; return its manifest.

    A checkpoint that was downloaded is deleted once converted, unless `keep_checkpoint`. Raises CheckpointError,
    DownloadError, ModelUnavailable.
    """
    if config.model == STANDIN:
        from classifier.engine.standin import standin_manifest

        return standin_manifest()
    from classifier.engine.conversion import artifact_prepare
    from classifier.engine.native.build import library_build

    library_build()
    return artifact_prepare(config, progress=progress, download_only=download_only, keep_checkpoint=keep_checkpoint)
