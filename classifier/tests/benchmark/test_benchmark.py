"""manage.py benchmark on a tiny checkpoint: every contestant has its row, and they agree."""

import re
import tempfile
import unittest
from io import StringIO
from unittest import mock

import torch
from django.core.management import call_command
from django.test import SimpleTestCase, override_settings

from classifier.benchmark.contestants import OPENVINO_DYNAMIC, OPENVINO_STATIC, installed, openais_network, openvino
from classifier.benchmark.offline import row_cosines
from classifier.benchmark.resident import huggingface_state, resident
from classifier.engine import Config
from classifier.engine.checkpoint import checkpoint_open
from classifier.tests import checkpoints
from classifier.tests.engine.test_tower import photo_pixels


class BenchmarkTests(SimpleTestCase):
    def run_benchmark(self):
        output = StringIO()
        path = str(checkpoints.checkpoint("tiny"))
        with (
            tempfile.TemporaryDirectory() as directory,
            override_settings(CLIP_MODEL_DIR=checkpoints.Path(directory)),
            mock.patch("classifier.benchmark.contestants.installed", return_value=False),
        ):
            call_command("benchmark", "--checkpoint", path, "--repeats", "1", "--threads", "1", stdout=output)
        return output.getvalue()

    def test_it_compares_every_precision_with_openais_code(self):
        output = self.run_benchmark()
        cosines = {}
        for name in ("OpenAI's code", "fp32", "fp16", "int8"):
            row = re.search(rf"^{name} .*?(\d+\.\d) MB +([\d.]+), ([\d.]+)$", output, re.MULTILINE)
            self.assertIsNotNone(row, output)
            cosines[name] = float(row[2])
        self.assertGreater(cosines["fp32"], 0.99999)
        self.assertGreater(cosines["fp16"], 0.99999)
        self.assertGreater(cosines["int8"], 0.999)
        self.assertLess(cosines["int8"], cosines["fp32"])
        self.assertRegex(output, r"head build, this project +\d+ ms a name .*times faster")
        self.assertRegex(output, r"head build, cosine to the plain loop +(1\.0|0\.99999)")
        self.assertRegex(output, r"process start to first prediction +\d+\.\d s \(int8\)")

    @unittest.skipUnless(installed("openvino", "nncf"), "requirements-benchmark.txt is not installed")
    def test_openvino_embeds_the_same_pictures(self):
        checkpoint = checkpoint_open(checkpoints.checkpoint("tiny"))
        visual, pixels = openais_network(checkpoint).visual, photo_pixels(64).numpy()
        with tempfile.TemporaryDirectory() as directory, torch.inference_mode():
            theirs = visual(torch.from_numpy(pixels)).numpy()
            found = {one.name: one for one in openvino(visual, 64, checkpoints.Path(directory), 1)}
            self.assertEqual(list(found), [OPENVINO_DYNAMIC, OPENVINO_STATIC])
            for contestant in found.values():
                cosines = row_cosines(contestant.embed(pixels), theirs)
                self.assertGreater(cosines.min(), 0.99)
                self.assertLess(cosines.min(), 0.999999)  # something was rounded
                self.assertGreater(contestant.weights, 100_000)

    def test_faster_clip_is_given_the_tower_by_hugging_faces_names(self):
        checkpoint = checkpoint_open(checkpoints.checkpoint("tiny"))
        state, ours = huggingface_state(checkpoint), checkpoint.image_state()
        layers = checkpoint.shape.layers
        self.assertEqual(len(state), 8 + 16 * layers)
        layer = "vision_model.encoder.layers.0."
        for piece, letter in zip(ours["transformer.resblocks.0.attn.in_proj_weight"].chunk(3), "qkv", strict=True):
            self.assertTrue(torch.equal(state[f"{layer}self_attn.{letter}_proj.weight"], piece.float()))
        for name in ("layer_norm1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "self_attn.out_proj.weight"):
            self.assertIn(f"{layer}{name}", state)
        self.assertEqual(state["visual_projection.weight"].shape, ours["proj"].T.shape)

    def test_without_faster_clip_or_for_another_shape_its_row_is_left_out(self):
        checkpoint = checkpoint_open(checkpoints.checkpoint("tiny"))
        self.assertEqual(list(resident(checkpoint, Config("tiny", checkpoints.Path()), [])), [])
