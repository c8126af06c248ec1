"""The linear layer in each precision and by each kernel, the files it is stored in, and what rounding costs."""

import os
import subprocess
import sys
from unittest import mock

import numpy as np
import torch
from django.test import SimpleTestCase
from safetensors.torch import load_file

from classifier.engine import linear
from classifier.engine.checkpoint import checkpoint_open
from classifier.engine.image_conversion import drawn_pixels
from classifier.engine.image_tower import ImageTower, embed_with_openais_weights, image_tower_store
from classifier.engine.probes import CALIBRATION, PROBES, pictures_draw
from classifier.engine.quantise import calibrate, int8_store
from classifier.engine.selfcheck import self_check
from classifier.engine.stack import image_stack
from classifier.engine.weights_file import WeightsFile, weights_write
from classifier.tests import checkpoints


def layer(outputs=96, inputs=64):
    torch.manual_seed(0)
    weight = (torch.randn(outputs, inputs) * 0.05).half()
    return weight, torch.randn(outputs).half().float(), torch.randn(10, inputs)


class KernelTests(SimpleTestCase):
    def relative_error(self, precision, kernel, gain=1.0):
        weight, bias, x = layer()
        with torch.inference_mode():
            ours = linear.linear_load(linear.linear_store(precision, weight, bias), kernel, gain)(x)
            theirs = torch.nn.functional.linear(x, weight.float(), bias) * gain
        return ((ours - theirs).norm() / theirs.norm()).item()

    def test_every_kernel_computes_the_layer(self):
        limits = {"fp32": 1e-6, "fp16": 1e-6, "int8": 0.02}
        for precision, limit in limits.items():
            for kernel in [*linear.kernels_of(precision), "float32"]:
                for gain in (1.0, 1.702):
                    with self.subTest(precision=precision, kernel=kernel, gain=gain):
                        self.assertLess(self.relative_error(precision, kernel, gain), limit)

    def test_a_token_of_zeros_gives_the_bias(self):
        weight, bias, _ = layer()
        for kernel in linear.kernels_of("int8"):
            with self.subTest(kernel=kernel), torch.inference_mode():
                y = linear.linear_load(linear.linear_store("int8", weight, bias), kernel)(torch.zeros(3, 64))
                self.assertTrue(torch.allclose(y, bias.expand(3, -1), atol=1e-6))

    def test_one_loud_token_does_not_blur_the_others(self):
        weight, bias, x = layer()
        x[0] *= 1000
        for kernel in linear.kernels_of("int8"):
            with self.subTest(kernel=kernel), torch.inference_mode():
                y = linear.linear_load(linear.linear_store("int8", weight, bias), kernel)(x)[1:]
                exact = torch.nn.functional.linear(x, weight.float(), bias)[1:]
                self.assertLess(((y - exact).norm() / exact.norm()).item(), 0.03)

    def test_without_fbgemm_it_falls_back_and_says_so(self):
        with (
            mock.patch.object(linear, "has_native", return_value=False),
            mock.patch.object(linear, "has_fbgemm", return_value=False),
            mock.patch.object(linear, "bytes_multiply_exactly", return_value=False),
        ):
            for precision in ("fp16", "int8"):
                with self.assertLogs("classifier.engine.linear", "WARNING") as logs:
                    self.assertEqual(linear.kernel_of(precision), "float32")
                self.assertIn(f"no {precision} kernel", logs.output[0])

    def test_a_torch_without_onednn_is_not_asked_for_it(self):
        """As on macOS, where TorchScript would stumble over the operator's very name."""
        code = (
            "import torch; torch.backends.mkldnn.is_available = lambda: False\n"
            "from classifier.engine.linear import kernels_of, linear_load, linear_store\n"
            "assert 'onednn-int8' not in kernels_of('int8')\n"
            "weight, bias, x = torch.randn(8, 4), torch.randn(8), torch.randn(3, 4)\n"
            "layer = torch.jit.script(linear_load(linear_store('fp32', weight, bias), 'float32'))\n"
            "assert torch.allclose(layer(x), torch.nn.functional.linear(x, weight, bias), atol=1e-6)\n"
            "print(layer.inlined_graph)"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        self.assertIn("aten::linear", answer.stdout)
        self.assertNotIn("mkldnn", answer.stdout)

    def test_a_processor_that_multiplies_bytes_inexactly_is_found_out(self):
        """oneDNN told to use AVX2 only overflows as processors without VNNI do; fbgemm's seven bits stay right."""
        code = "from classifier.engine.linear import kernels_of; print(kernels_of('int8'))"
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
        answer = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        self.assertNotIn("onednn-int8", answer.stdout)


class WeightsFileTests(SimpleTestCase):
    def test_it_is_a_safetensors_file_like_any_other(self):
        path = checkpoints.scratch() / "some.safetensors"
        tensors = {
            "a": torch.randn(3, 5),
            "b.half": torch.randn(7).half(),
            "c.bytes": torch.randint(-128, 128, (4, 6), dtype=torch.int8),
            "d.scalar": torch.tensor(1.5),
        }
        weights_write(path, tensors.items())
        theirs, ours = load_file(path), WeightsFile(path)
        self.assertEqual(set(theirs), set(ours), set(tensors))
        for name, tensor in tensors.items():
            self.assertTrue(torch.equal(theirs[name], tensor))
            self.assertTrue(torch.equal(ours[name], tensor))

    def test_what_is_forgotten_is_read_again(self):
        path = checkpoints.scratch() / "other.safetensors"
        tensor = torch.randn(100, 100)
        weights_write(path, [("t", tensor)])
        file = WeightsFile(path)
        view = file["t"]
        file.forget()
        self.assertTrue(torch.equal(view, tensor))


def smoothed(state, shape):
    calibration = calibrate(image_stack(state, shape, drawn_pixels(CALIBRATION, 64)))
    return int8_store(state, shape, calibration.scales)


class QuantisationTests(checkpoints.OneThreadTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.probes = drawn_pixels(PROBES, 64)

    def cosines(self, path, store):
        opened, file = checkpoint_open(path), checkpoints.scratch() / "quantised.safetensors"
        with torch.inference_mode():
            weights_write(file, store(opened.image_state(), opened.shape))
            ours = ImageTower(WeightsFile(file), opened.shape, "int8")(self.probes)
            theirs = embed_with_openais_weights(opened.image_state(), opened.shape, self.probes)
        return torch.cosine_similarity(ours, theirs)

    def test_moving_outliers_into_the_weights_brings_int8_nearer(self):
        path = checkpoints.checkpoint("tiny", outliers="norm")
        plain = self.cosines(path, lambda state, shape: image_tower_store(state, shape, "int8"))
        smooth = self.cosines(path, smoothed)
        self.assertLess((1 - smooth).mean().item(), 0.5 * (1 - plain).mean().item())

    def test_it_does_not_harm_where_there_are_no_outliers(self):
        smooth = self.cosines(checkpoints.checkpoint("tiny"), smoothed)
        self.assertGreater(smooth.min().item(), 0.9995)

    def test_calibration_and_probes_share_no_picture_and_stay_the_same(self):
        drawn = [picture.tobytes() for picture in (*pictures_draw(CALIBRATION), *pictures_draw(PROBES))]
        self.assertEqual(drawn[:2], [picture.tobytes() for picture in pictures_draw(range(2))])
        flat = {one for one in drawn if len(set(one)) <= 3}  # black, white, one colour
        rest = [one for one in drawn if one not in flat]
        self.assertEqual(len(rest), len(set(rest)))


class SelfCheckTests(SimpleTestCase):
    def check(self, noise):
        random = np.random.default_rng(0)
        head = random.normal(size=(100, 512))
        head /= np.linalg.norm(head, axis=1, keepdims=True)
        originals = random.normal(size=(24, 512))
        return self_check(originals + noise * random.normal(size=(24, 512)), originals, head, 100.0)

    def test_what_agrees_passes(self):
        found = self.check(0.005)
        self.assertTrue(found["passed"], found)
        self.assertEqual(found["pictures"], 24)
        self.assertGreater(found["cosine_min"], 0.9999)

    def test_what_drifts_does_not(self):
        found = self.check(0.1)
        self.assertFalse(found["passed"])
        self.assertLess(found["cosine_mean"], 0.999)

    def test_a_label_that_intrudes_is_enough_to_fail(self):
        """One direction of the head is exaggerated: the cosine stays high, one label jumps into the top five."""
        originals, axes = np.eye(512)[[0] * 24], np.eye(512)
        head = [0.81 * axes[0] + 0.586 * axes[1 + label] for label in range(5)]
        head.append(0.80 * axes[0] + 0.6 * axes[50])  # by the original a whole logit below the fifth
        ours = originals + 0.04 * axes[50]
        found = self_check(ours, originals, np.stack(head), 100.0)
        self.assertGreater(found["cosine_mean"], 0.999)
        self.assertGreater(found["intruder_logits"], 0.9)
        self.assertFalse(found["passed"])

    def test_what_is_not_a_number_fails(self):
        embeddings = np.ones((24, 8))
        broken = embeddings.copy()
        broken[3] = np.nan
        self.assertFalse(self_check(broken, embeddings, np.eye(8), 100.0)["passed"])
