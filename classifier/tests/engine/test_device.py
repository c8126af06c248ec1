"""What a GPU is given, by what can be seen without one.

The layers of a GPU run here on the processor, in float16, against OpenAI's network. That nothing stays behind on the
processor is told by torch's device "meta", where tensors have shapes and no values, and meet no other device's.
"""

from unittest import mock

import torch
from django.test import SimpleTestCase
from PIL import Image

from classifier.engine import Config, clip_engine, load_engine, prepare
from classifier.engine.checkpoint import VitShape, checkpoint_open
from classifier.engine.clip_engine import tower_load
from classifier.engine.device import kernel_on
from classifier.engine.image_tower import BATCH_GPU, image_tower_store
from classifier.engine.linear import FLOAT16, Float16Products, kernel_of
from classifier.engine.resnet_tower import resnet_store
from classifier.tests import checkpoints, tiny_clip
from classifier.tests.engine.test_tower import photo_pixels

MODELS = (("tiny", "fp16"), ("tiny", "int8"), ("tiny-resnet", "fp32"))


def weights_of(shape: str, precision: str):
    opened = checkpoint_open(checkpoints.checkpoint(shape))
    state = opened.image_state()
    stored = (
        image_tower_store(state, opened.shape, precision) if isinstance(opened.shape, VitShape) else resnet_store(state)
    )
    return dict(stored), opened.shape


class KernelTests(SimpleTestCase):
    def test_a_gpu_computes_in_float16_unless_float32_is_asked_for(self):
        for precision in ("int8", "fp16", "fp32"):
            with self.subTest(precision=precision):
                self.assertEqual(kernel_on("cuda", precision, "auto"), FLOAT16)
                self.assertEqual(kernel_on("cuda", precision, "fp32"), "float32")
                self.assertEqual(kernel_on("cpu", precision, "auto"), kernel_of(precision))

    def test_weights_and_activations_are_float16(self):
        stored = {"weight": torch.full((8, 16), 0.5), "bias": torch.ones(8)}
        layer = Float16Products(stored, gain=2.0)
        self.assertEqual((layer.weight.dtype, layer.bias.dtype), (torch.float16, torch.float16))
        found = layer(torch.ones(3, 16))
        self.assertEqual(found.dtype, torch.float16)
        self.assertTrue((found == 18).all())


class TowerTests(checkpoints.OneThreadTestCase):
    @torch.inference_mode()
    def test_it_agrees_with_openais_network(self):
        pixels = photo_pixels(64, 5)
        for shape, precision in MODELS:
            with self.subTest(shape=shape, precision=precision):
                theirs = checkpoints.reference(checkpoints.checkpoint(shape)).encode_image(pixels)
                ours = tower_load(*weights_of(shape, precision), precision, FLOAT16, (), "cpu")(pixels)
                self.assertEqual(ours.dtype, torch.float32)
                cosine = torch.cosine_similarity(ours, theirs).min().item()
                self.assertGreater(cosine, 0.999 if precision == "int8" else 0.9999)
                self.assertFalse(torch.allclose(ours, theirs, rtol=1e-6))  # float32 would be nearer

    @torch.inference_mode()
    def test_all_of_it_is_moved_and_batches_grow(self):
        pixels = torch.zeros(BATCH_GPU + 1, 3, 64, 64, device="meta")
        for shape, precision in MODELS:
            with self.subTest(shape=shape, precision=precision):
                tower = tower_load(*weights_of(shape, precision), precision, FLOAT16, (), "meta")
                seen, network = [], tower.network
                tower.network = lambda batch, network=network, seen=seen: seen.append(len(batch)) or network(batch)
                found = tower(pixels)
                self.assertEqual((found.device.type, found.dtype), ("meta", torch.float32))
                self.assertEqual((found.shape, seen), ((BATCH_GPU + 1, 64), [BATCH_GPU, 1]))

    @torch.inference_mode()
    def test_the_heat_map_is_computed_there_too(self):
        tower = tower_load(*weights_of("tiny", "fp16"), "fp16", FLOAT16, (), "meta")
        kept = torch.zeros(5, 3, dtype=torch.long, device="meta")
        found = tower.partial(torch.zeros(1, 3, 64, 64, device="meta"), kept)
        self.assertEqual((found.shape, found.dtype), ((5, 64), torch.float32))


class EngineTests(checkpoints.OneThreadTestCase):
    def test_an_engine_whose_device_is_a_gpu_answers_as_on_the_processor(self):
        """The whole way of a picture, with the processor in the place of the card."""
        directory = checkpoints.scratch() / "device"
        config = Config(str(tiny_clip.checkpoint_path()), directory, threads=1, device="cpu")
        prepare(config)
        pictures = [tiny_clip.draw("red", "circle"), tiny_clip.draw("blue", "square"), Image.new("RGB", (80, 60))]
        plain = load_engine(config).embed_images(pictures)
        with mock.patch.object(
            clip_engine, "kernel_on", side_effect=lambda _, *more: kernel_on("cuda", *more)
        ) as kernel:
            halves = load_engine(config).embed_images(pictures)
        kernel.assert_called_once_with("cpu", mock.ANY, "auto")
        self.assertGreater((plain * halves).sum(axis=1).min(), 0.9995)
        self.assertGreater(abs(plain - halves).max(), 1e-6)
