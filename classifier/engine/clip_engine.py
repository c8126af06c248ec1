"""The Engine that runs CLIP from an artifact."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from PIL import Image

from classifier.engine import Answer, Config, Engine, Head, ModelInfo, Ranked
from classifier.engine.artifact import (
    TEXT,
    float16_layers,
    head_read,
    image_file,
    manifest_read,
    shape_read,
    weights_read,
)
from classifier.engine.checkpoint import Progress, ResNetShape, VitShape
from classifier.engine.device import device_of, kernel_on
from classifier.engine.image_tower import BATCH_GPU, ImageTower
from classifier.engine.linear import kernel_of
from classifier.engine.memory import returning_temporaries
from classifier.engine.norm import normalised
from classifier.engine.occlusion import STEPS, Occlusion, patches_kept, pixels_covered
from classifier.engine.preprocess import picture_crop, picture_to_pixels
from classifier.engine.prompts import embed_texts, head_weights
from classifier.engine.resnet_tower import ResNetTower
from classifier.engine.text_tower import TextTower
from classifier.engine.tokenizer import Tokenizer

BATCH = 16  # pictures at a time; more gains nothing on a CPU and costs memory


class ClipEngine(Engine):
    """Loads the image tower at once and the text tower when the first text comes."""

    @torch.inference_mode()
    def __init__(self, config: Config) -> None:
        torch.set_num_threads(config.threads)
        manifest = manifest_read(config)
        self.config, self.text_lock = config, threading.Lock()
        self.text: tuple[TextTower, Tokenizer] | None = None
        shape, precision = shape_read(manifest), manifest["precision"]
        self.shape = shape
        self.device = device_of(config)
        with returning_temporaries():
            weights = weights_read(config, manifest, image_file(precision))
            kernel = kernel_on(self.device, precision, config.precision)
            wide = float16_layers(manifest, kernel)
            self.tower = tower_load(weights, shape, precision, kernel, wide, self.device)
            self.imagenet = head_read(config, manifest)
            self.tower(
                torch.zeros(1, 3, shape.resolution, shape.resolution, device=self.device)
            )  # kernels are made now
        self.logit_scale = manifest["logit_scale"]
        self.info = ModelInfo(
            model=manifest["model"],
            precision=precision,
            weights_sha256=manifest["source"]["sha256"],
            dim=shape.embed_dim,
            input_resolution=shape.resolution,
            standin=False,
            manifest=manifest,
            float16_layers=len(wide),
            layers=manifest["tried"][-1]["layers"],
        )

    def seen(self, picture: Image.Image) -> Image.Image:
        """What the tower looks at, in its resolution: all methods answer the same for both."""
        return picture_crop(picture, self.info.input_resolution)

    def embed_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Upright RGB pictures -> (B, D) float32, L2-normalised."""
        size = BATCH if self.device == "cpu" else BATCH_GPU
        batches = [self.embed_batch(pictures[start : start + size]) for start in range(0, len(pictures), size)]
        return np.concatenate(batches) if batches else np.zeros((0, self.shape.embed_dim), np.float32)

    def embed_batch(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        pixels = np.stack([picture_to_pixels(picture, self.info.input_resolution) for picture in pictures])
        with torch.inference_mode():
            embeddings = self.tower(torch.from_numpy(pixels).to(self.device)).cpu().numpy()
        return normalised(embeddings)

    def classify(self, picture: Image.Image, head: Head | None = None, top: int = 5) -> Answer:
        """Rank the labels of `head` (ImageNet's where None) for one upright RGB picture."""
        embedding = self.embed_images([picture])[0]
        return Answer(self.rank_embedding(embedding, head, top), embedding)

    def rank_embedding(self, embedding: np.ndarray, head: Head | None = None, top: int = 5) -> tuple[Ranked, ...]:
        """Rank the labels of `head` (ImageNet's where None) for a picture's embedding, (D,) float32, L2-normalised."""
        head = head or self.imagenet
        cosines = head.weights @ embedding  # (K,)
        learned = 0 if head.adapter is None else head.adapter.cosines(embedding[None])[0]
        return self.rank((cosines + learned) * self.logit_scale, cosines, head, top)

    def occlude(self, picture: Image.Image) -> Occlusion:
        """A Vision Transformer goes without the covered patches; a ResNet sees the mean of OpenAI's pictures there."""
        pixels = torch.from_numpy(picture_to_pixels(picture, self.info.input_resolution)[None])
        with torch.inference_mode():
            if isinstance(self.tower, ImageTower) and isinstance(self.shape, VitShape):
                grid = self.info.input_resolution // self.shape.patch
                kept = torch.from_numpy(patches_kept(grid))
                covered = self.tower.partial(pixels.to(self.device), kept.to(self.device))
            else:
                grid = STEPS
                covered = torch.cat([self.tower(batch.to(self.device)) for batch in pixels_covered(pixels, grid)])
            rows = torch.cat([self.tower(pixels.to(self.device)), covered]).cpu().numpy()
        return Occlusion(grid, normalised(rows))

    def occlusion_logits(self, occlusion: Occlusion, head: Head) -> np.ndarray:
        logits: np.ndarray = self.logit_scale * occlusion.responses @ head.weights.T
        return logits

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> (T, D) float32, L2-normalised. Raises LabelError for a text longer than the context."""
        return embed_texts(*self.load_text(), texts)

    def build_head(
        self, name: str, labels: Sequence[str], templates: Sequence[str], progress: Progress | None = None
    ) -> Head:
        """Per label the mean of its normalised prompt embeddings, normalised again. Raises LabelError."""
        report = (lambda done, total: progress(f"building the head {name}", done, total)) if progress else None
        weights = head_weights(*self.load_text(), labels, templates, progress=report)
        return Head(name, tuple(labels), weights, (None,) * len(labels))

    def load_text(self) -> tuple[TextTower, Tokenizer]:
        with self.text_lock:
            if self.text is None:
                with returning_temporaries():
                    weights = weights_read(self.config, self.info.manifest, TEXT)
                    kernel = kernel_of(self.info.manifest["text_tried"][-1]["precision"])
                    wide = float16_layers(self.info.manifest, kernel, "text_tried")
                    self.text = TextTower(weights, kernel, wide, self.text_streamed), Tokenizer()
                    weights.forget()
            return self.text

    def unload_text(self) -> None:
        """Let the text tower and the tokenizer go; the next text loads them again."""
        with self.text_lock, returning_temporaries():
            self.text = None


def tower_load(
    weights: Mapping[str, torch.Tensor],
    shape: VitShape | ResNetShape,
    precision: str,
    kernel: str,
    wide: Collection[str],
    device: str,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The image tower on its device. A GPU takes larger batches, and all layers in one kernel."""
    options: dict[str, int] = {}
    if device != "cpu":
        weights, wide = {name: tensor.to(device) for name, tensor in weights.items()}, ()
        options = {"batch": BATCH_GPU}
    if isinstance(shape, VitShape):
        return ImageTower(weights, shape, precision, kernel, wide, **options)
    return ResNetTower(weights, shape, kernel, **options)
