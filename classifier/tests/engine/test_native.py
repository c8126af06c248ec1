"""The C kernels against arithmetic written out in NumPy and OpenAI's network, and life without a compiler."""

import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from django.test import SimpleTestCase

from classifier.engine import Config, conversion, linear, prepare
from classifier.engine.checkpoint import checkpoint_open
from classifier.engine.image_tower import GELU, LINEARS, ImageTower, image_tower_store
from classifier.engine.native import build
from classifier.engine.native import library as native
from classifier.engine.native.network import TOGETHER, NativeNetwork
from classifier.engine.weights_file import WeightsFile, weights_write
from classifier.tests import checkpoints
from classifier.tests.engine.test_tower import photo_pixels


class NativeTestCase(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not build.library_build() or not native.library():
            raise unittest.SkipTest("no C compiler here, or no processor with AVX-512 and VNNI")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        cls.addClassCleanup(torch.set_num_threads, threads)


class LayerTests(NativeTestCase):
    def stored(self, outputs=96, inputs=64, precision="int8"):
        torch.manual_seed(0)
        weight, bias = torch.randn(outputs, inputs) * 0.05, torch.randn(outputs)
        return linear.linear_store(precision, weight, bias)

    def expected(self, tensors, x):
        """What the layer is to compute: each token rounded by its own scale, times the rounded weights, in float64."""
        weight, scale, bias = (tensors[name].double().numpy() for name in ("weight", "scale", "bias"))
        largest = np.abs(x).max(axis=1, keepdims=True)
        steps = np.rint(x * (np.float32(127) / largest)).astype(np.float64)  # in float32, for the sake of halves
        return steps @ weight.T * scale * (largest.astype(np.float64) / 127) + bias

    def test_bytes_are_multiplied_exactly_whatever_the_number_of_rows(self):
        for outputs, inputs in ((32, 16), (96, 64), (64, 3072)):
            tensors = self.stored(outputs, inputs)
            layer = native.NativeLinear(tensors)
            for rows in (*range(1, 32), 50, 197):
                with self.subTest(outputs=outputs, inputs=inputs, rows=rows):
                    x = torch.randn(rows, inputs)
                    expected = self.expected(tensors, x.numpy())
                    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-4, atol=1e-4)

    def test_the_largest_sums_do_not_overflow(self):
        tensors = {
            "weight": torch.full((32, 4096), 127, dtype=torch.int8),
            "scale": torch.ones(32),
            "bias": torch.zeros(32),
        }
        tensors["weight"][::2] = -127
        x = torch.ones(14, 4096)
        x[::3] = -1
        expected = self.expected(tensors, x.numpy())
        np.testing.assert_allclose(native.NativeLinear(tensors)(x).numpy(), expected, rtol=1e-6)

    def test_inputs_of_two_bytes_lose_next_to_nothing(self):
        tensors, x = self.stored(), torch.randn(50, 64)
        x[:, 3] *= 100  # an outlier, which leaves one byte little for the rest
        exact = x.double() @ (tensors["weight"].double() * tensors["scale"][:, None]).T + tensors["bias"]
        errors = [
            ((native.NativeLinear(tensors, wide=wide)(x) - exact).norm() / exact.norm()).item()
            for wide in (False, True)
        ]
        self.assertLess(errors[1], 2e-4)
        self.assertGreater(errors[0], 100 * errors[1])

    def test_float16_weights_are_taken_as_they_are(self):
        tensors, x = self.stored(precision="fp16"), torch.randn(23, 64)
        exact = x.double() @ tensors["weight"].double().T + tensors["bias"]
        self.assertLess(((native.NativeLinear(tensors)(x) - exact).norm() / exact.norm()).item(), 1e-6)

    def test_a_shape_that_it_cannot_compute_is_refused(self):
        with self.assertRaisesMessage(ValueError, "no layer of 64 inputs and 40 outputs"):
            native.NativeLinear(self.stored(40, 64))


class NetworkTests(NativeTestCase):
    def networks(self, shape="tiny", outliers="", wide=()):
        """The C network, the same weights by torch in float32, OpenAI's network, and the resolution."""
        path = checkpoints.checkpoint(shape, outliers=outliers)
        opened, file = checkpoint_open(path), checkpoints.scratch() / f"native-{path.stem}.safetensors"
        weights_write(file, image_tower_store(opened.image_state(), opened.shape, "int8"))
        ours = NativeNetwork(WeightsFile(file), opened.shape, GELU, wide)
        return ours, ImageTower(WeightsFile(file), opened.shape, "int8", "float32"), opened.shape, path

    def least_cosine(self, left, right):
        return torch.cosine_similarity(left, right).min().item()

    def test_it_agrees_with_openais_network(self):
        for shape, least in (("tiny", 0.999), ("ViT-B/32", 0.999)):
            ours, _, found, path = self.networks(shape)
            openai = checkpoints.reference(path)
            for pictures in (1, 2, 5):
                with self.subTest(shape=shape, pictures=pictures), torch.inference_mode():
                    pixels = photo_pixels(found.resolution, pictures)
                    self.assertGreater(self.least_cosine(ours(pixels), openai.encode_image(pixels)), least)

    def test_with_inputs_of_two_bytes_only_the_weights_are_rounded(self):
        wide = [f"blocks.{layer}.{name}" for layer in range(2) for name in LINEARS]
        with torch.inference_mode():
            plain, floats, shape, _ = self.networks(outliers="norm")
            ours, pixels = self.networks(outliers="norm", wide=wide)[0], photo_pixels(shape.resolution)
            errors = [(network(pixels) - floats(pixels)).norm().item() for network in (plain, ours)]
            self.assertLess(errors[1], 1e-3 * floats(pixels).norm().item())
            self.assertGreater(errors[0], 20 * errors[1])

    def test_it_goes_without_the_patches_that_are_covered(self):
        with torch.inference_mode():
            ours, floats, shape, _ = self.networks()
            pixels, kept = photo_pixels(shape.resolution, 1), torch.tensor([[0, 3, 5], [1, 2, 15], [4, 6, 9]])
            self.assertGreater(self.least_cosine(ours.partial(pixels, kept), floats.partial(pixels, kept)), 0.999)

    def test_threads_share_one_picture_and_pictures_share_the_network(self):
        """With helpers or alone, one after the other or at once: the same numbers to the bit."""
        ours, _, shape, _ = self.networks("ViT-B/32")
        pixels = photo_pixels(shape.resolution, TOGETHER + 1)
        with torch.inference_mode():
            alone, found = ours(pixels), {}
            torch.set_num_threads(3)
            self.addCleanup(torch.set_num_threads, 1)

            def run(number):
                with torch.inference_mode():
                    found[number] = [ours(pixels) for _ in range(5)]

            threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(len(found), 4)
        for answers in found.values():
            for answer in answers:
                self.assertTrue(torch.equal(answer, alone))


class BuildTests(SimpleTestCase):
    def setUp(self):
        self.built = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(mock.patch.object(build, "BUILT", self.built))
        self.enterContext(mock.patch.object(native, "_loaded", None))
        build.library_path.cache_clear()
        self.addCleanup(build.library_path.cache_clear)

    def test_without_a_compiler_torchs_kernels_do_it(self):
        with mock.patch.dict("os.environ", {"PATH": "", "CC": ""}):
            self.assertFalse(build.library_build())
        self.assertNotIn(linear.NATIVE, linear.kernels_of("int8"))
        self.assertEqual(list(self.built.iterdir()), [])

    def test_a_compiler_that_fails_is_reported_and_leaves_nothing(self):
        with (
            mock.patch.object(build, "FLAGS", (*build.FLAGS, "--no-such-flag")),
            self.assertLogs("classifier.engine.native.build", "WARNING") as logs,
        ):
            if build.platform.machine() != "x86_64":
                self.skipTest("nothing is compiled here")
            self.assertFalse(build.library_build())
        self.assertIn("--no-such-flag", logs.output[0])
        self.assertEqual(list(self.built.iterdir()), [])

    def test_a_processor_without_vnni_does_not_load_it(self):
        build.library_build()
        with mock.patch.object(native, "processor_flags", return_value=native.FLAGS - {"avx512_vnni"}):
            self.assertIsNone(native.library())

    def test_preparing_a_model_compiles_it_once(self):
        if not any(map(build.shutil.which, build.COMPILERS)) or build.platform.machine() != "x86_64":
            self.skipTest("nothing is compiled here")
        old = self.built / "native-of-older-sources.so"
        old.touch()
        with mock.patch.object(conversion, "artifact_prepare", return_value={}):
            prepare(Config("some.pt", self.built))
            with mock.patch.object(build, "compile_by", side_effect=AssertionError("compiled again")):
                prepare(Config("some.pt", self.built))
        self.assertEqual([*self.built.iterdir()], [build.library_path()])
