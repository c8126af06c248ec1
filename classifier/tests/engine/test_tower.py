"""The image tower in every precision against OpenAI's own network, and the preprocessing against OpenAI's pipeline."""

import numpy as np
import torch
from django.test import SimpleTestCase
from PIL import Image

from classifier.engine import linear
from classifier.engine.checkpoint import checkpoint_open
from classifier.engine.image_tower import ImageTower, image_tower_store
from classifier.engine.preprocess import picture_crop, picture_to_pixels
from classifier.engine.resnet_tower import ResNetTower, resnet_store
from classifier.engine.weights_file import WeightsFile, weights_write
from classifier.tests import checkpoints
from classifier.tests.photos import photo

NAMES = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def photo_pixels(side: int, count: int = len(NAMES)) -> torch.Tensor:
    return torch.from_numpy(np.stack([picture_to_pixels(photo(name), side) for name in NAMES[:count]]))


def openai_pixels(picture: Image.Image, side: int) -> torch.Tensor:
    """OpenAI's `_transform`, with torchvision's documented arithmetic written out.

    Resize: the longer side is int(size * long / short). CenterCrop: offsets round((side - size) / 2.0). ToTensor:
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

    def test_what_is_seen_of_a_picture_stands_for_it(self):
        for size in ((600, 400), (400, 600), (224, 224), (101, 97), (900, 225), (1, 1)):
            with self.subTest(size=size):
                picture = photo("coffee.png").resize(size)
                seen = picture_crop(picture, 224)
                self.assertEqual(seen.size, (224, 224))
                self.assertTrue(np.array_equal(picture_to_pixels(seen, 224), picture_to_pixels(picture, 224)))


class ParityTests(checkpoints.OneThreadTestCase):
    """Against `encode_image` of the `clip` package on the same tensors."""

    def tower(self, path, precision, kernel=None):
        opened, file = checkpoint_open(path), checkpoints.scratch() / f"{path.stem}-{precision}.safetensors"
        if not file.exists():
            weights_write(file, image_tower_store(opened.image_state(), opened.shape, precision))
        return ImageTower(WeightsFile(file), opened.shape, precision, kernel), opened.shape.resolution

    def errors(self, path, precision, batches, kernel=None):
        """Per batch size the largest relative error, and the smallest cosine, over real photos."""
        (tower, side), openai = self.tower(path, precision, kernel), checkpoints.reference(path)
        with torch.inference_mode():
            for batch in batches:
                pixels = photo_pixels(side, batch)
                ours, theirs = tower(pixels), openai.encode_image(pixels)
                error = (ours - theirs).norm(dim=1) / theirs.norm(dim=1)
                yield error.max().item(), torch.cosine_similarity(ours, theirs).min().item()

    def test_float_precisions_agree_with_openais_network_by_every_kernel(self):
        for precision in ("fp32", "fp16"):
            for path in (checkpoints.checkpoint("tiny"), checkpoints.checkpoint("tiny", outliers="norm")):
                for kernel in {*linear.kernels_of(precision), "float32"}:
                    with self.subTest(precision=precision, path=path.name, kernel=kernel):
                        for error, _ in self.errors(path, precision, (1, 2, 5), kernel):
                            self.assertLess(error, 1e-4)

    def test_vit_b_32_agrees_with_openais_network_in_every_precision(self):
        path = checkpoints.checkpoint("ViT-B/32")
        for precision, limit, least in (("fp32", 1e-4, 0.999999), ("fp16", 1e-4, 0.99999), ("int8", 0.05, 0.999)):
            with self.subTest(precision=precision):
                for error, cosine in self.errors(path, precision, (1, 5)):
                    self.assertLess(error, limit)
                    self.assertGreater(cosine, least)

    def test_int8_agrees_by_every_kernel(self):
        for kernel in ("onednn-int8", "fbgemm-int8", "float32"):
            if kernel == "onednn-int8" and not linear.bytes_multiply_exactly():
                continue
            with self.subTest(kernel=kernel):
                for _, cosine in self.errors(checkpoints.checkpoint("tiny"), "int8", (1, 5), kernel):
                    self.assertGreater(cosine, 0.999)

    def test_a_resnet_agrees_with_openais_network(self):
        path = checkpoints.checkpoint("tiny-resnet")
        opened, pixels = checkpoint_open(path), photo_pixels(64, 5)
        with torch.inference_mode():
            theirs = checkpoints.reference(path).encode_image(pixels)
            ours = ResNetTower(dict(resnet_store(opened.image_state())), opened.shape)(pixels)
        self.assertLess(((ours - theirs).norm() / theirs.norm()).item(), 1e-4)
