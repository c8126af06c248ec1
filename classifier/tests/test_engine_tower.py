"""The image tower against OpenAI's own network, and the preprocessing against OpenAI's pipeline."""

from pathlib import Path

import numpy as np
import skimage
import torch
from django.test import SimpleTestCase
from PIL import Image

from classifier.engine.checkpoint import checkpoint_open
from classifier.engine.image_tower import ImageTower, image_tower_convert
from classifier.engine.preprocess import picture_to_pixels

from . import checkpoints

PHOTOS = Path(skimage.__file__).parent / "data"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def photo(name: str) -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def photo_pixels(side: int, count: int = 4) -> torch.Tensor:
    names = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png")[:count]
    return torch.from_numpy(np.stack([picture_to_pixels(photo(name), side) for name in names]))


def openai_pixels(picture: Image.Image, side: int) -> torch.Tensor:
    """OpenAI's `_transform`, with torchvision's documented arithmetic written out.

    Resize: the longer side is int(size * long / short). CenterCrop: offsets int(round((side - size) / 2.0)). ToTensor:
    uint8 to float32, divided by 255. Normalize: subtract the mean, divide by the deviation.
    """
    width, height = picture.size
    if width <= height:
        picture = picture.resize((side, int(side * height / width)), Image.Resampling.BICUBIC)
    else:
        picture = picture.resize((int(side * width / height), side), Image.Resampling.BICUBIC)
    top, left = round((picture.height - side) / 2.0), round((picture.width - side) / 2.0)
    picture = picture.crop((left, top, left + side, top + side)).convert("RGB")
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).to(torch.float32).div(255)
    mean, std = (torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (MEAN, STD))
    return tensor.sub_(mean).div_(std)


class PreprocessTests(SimpleTestCase):
    def test_it_equals_openais_pipeline_to_the_bit(self):
        for name in ("coffee.png", "rocket.jpg", "astronaut.png"):
            for size in (None, (341, 224), (224, 224), (101, 97), (225, 900), (640, 227), (1, 1)):
                with self.subTest(name=name, size=size):
                    picture = photo(name) if size is None else photo(name).resize(size)
                    ours = torch.from_numpy(picture_to_pixels(picture, 224))
                    self.assertTrue(torch.equal(ours, openai_pixels(picture, 224)))


class ParityTests(SimpleTestCase):
    def assert_parity(self, path, batches):
        opened = checkpoint_open(path)
        tensors = image_tower_convert(opened.image_state(), opened.shape, "fp32")
        tower, openai = ImageTower(tensors, opened.shape, "fp32"), checkpoints.reference(path)
        with torch.inference_mode():
            for batch in batches:
                pixels = photo_pixels(opened.shape.resolution, batch)
                expected = openai.encode_image(pixels)
                error = (tower(pixels) - expected).norm(dim=1) / expected.norm(dim=1)
                self.assertLess(error.max().item(), 1e-4)

    def test_fp32_agrees_with_openais_network_on_vit_b_32(self):
        self.assert_parity(checkpoints.checkpoint("ViT-B/32"), (1, 5))

    def test_fp32_agrees_with_openais_network_on_a_tiny_one(self):
        self.assert_parity(checkpoints.checkpoint("tiny"), (1, 2, 4))

    def test_fp32_agrees_with_openais_network_where_channels_stand_out(self):
        self.assert_parity(checkpoints.checkpoint("tiny", outliers=True), (1, 4))
