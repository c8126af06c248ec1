"""manage.py prepare_model on checkpoints with outliers: how many layers stay float16, and where int8 is given up."""

import json
from unittest import mock

import torch
from django.test import override_settings
from safetensors.torch import load_file

from classifier.engine import load_engine
from classifier.engine.artifact import float16_layers
from classifier.engine.stack import layer_names
from classifier.engine.tokenizer import Tokenizer
from classifier.services.engines import engine_config
from classifier.tests import checkpoints, tiny_clip
from classifier.tests.engine.test_prepare_model import PrepareTestCase
from classifier.tests.engine.test_tower import photo_pixels


class NormOutlierTests(PrepareTestCase):
    """A few channels that LayerNorms let through large: the kind that ruins int8 alone."""

    outliers = "norm"

    def manifest(self):
        return json.loads((self.directory / "manifest.json").read_text())

    def test_int8_keeps_the_layers_in_float16_that_carry_the_loss(self):
        printed = self.prepare()
        self.assertRegex(printed, r"int8: cosine 0\.\d+ on average, 0\.\d+ at least .*; refused, the average is below")
        self.assertRegex(printed, r"int8, \d of 8 layers float16 \(\d\.\d MB more.*; taken\n")
        self.assertIn("is ready (int8)", printed)
        self.assert_answers("int8")

        plain, mixed = self.manifest()["tried"]
        self.assertFalse(plain["taken"])
        self.assertEqual(set(map(len, plain["float16"].values())), {0})
        self.assertTrue(mixed["taken"])
        for kernel, finding in mixed["findings"].items():
            self.assertTrue(finding["passed"] and finding["calibration"]["passed"], finding)
            self.assertIn(len(mixed["float16"][kernel]), range(1, 8))
        losses = list(mixed["losses"].values())
        self.assertGreater(max(losses[:2]), 3 * sum(losses[4:]) / 4)  # and why: in the order of gain per byte

    def test_the_file_holds_them_in_float16_and_the_server_computes_with_them(self):
        self.prepare()
        kept = min(self.manifest()["tried"][-1]["float16"].values(), key=len)
        self.assertTrue(kept)
        tensors = load_file(self.directory / "image-int8.safetensors")
        for name in layer_names(2):
            self.assertEqual(f"{name}.scale" in tensors, name not in kept, name)
            self.assertEqual(tensors[f"{name}.weight"].dtype, torch.float16 if name in kept else torch.int8)
        engine = load_engine(engine_config())
        self.assertRegex(engine.info.arithmetic, r"^int8, \d of 8 layers float16$")
        with torch.inference_mode():
            pixels = photo_pixels(64)
            theirs = checkpoints.reference(self.path).encode_image(pixels)
            least = torch.cosine_similarity(engine.tower(pixels), theirs).min().item()
        self.assertGreater(least, 0.99)  # all int8 comes to 0.97 on photos

    def test_beyond_the_budget_it_falls_back_to_fp16(self):
        with mock.patch("classifier.engine.image_conversion.BUDGET", 0.02):
            printed = self.prepare()
        self.assertRegex(printed, r"int8: .*; refused.*\nint8.*; refused.*\nfp16: .*; taken\n")
        self.assert_answers("fp16")
        self.assertEqual([entry["taken"] for entry in self.manifest()["tried"]], [False, False, True])

    def test_int8_can_be_demanded_all_the_same(self):
        with (
            override_settings(CLIP_PRECISION="int8"),
            mock.patch("classifier.engine.image_conversion.BUDGET", 0.02),
            self.assertLogs("classifier.engine", "WARNING") as logs,
        ):
            self.prepare()
            self.assert_answers("int8")
        self.assertIn("did not pass its self-check", logs.output[0])

    def test_a_machine_without_the_kernel_that_was_judged_takes_the_cautious_choice(self):
        kept = {"onednn-int8": ["blocks.1.qkv"], "fbgemm-int8": ["blocks.1.qkv", "blocks.0.fc"]}
        manifest = {"tried": [{"float16": kept}]}
        self.assertEqual(float16_layers(manifest, "onednn-int8"), ["blocks.1.qkv"])
        self.assertEqual(float16_layers(manifest, "another"), ["blocks.1.qkv", "blocks.0.fc"])


class TextTowerTests(PrepareTestCase):
    def embeddings(self, path):
        texts = [
            f"a {colour} {thing}" for colour in ("red", "blue", "old", "striped") for thing in ("dog", "tin", "sea")
        ]
        ours = load_engine(engine_config()).embed_texts(texts)
        tokens = torch.zeros(len(texts), 77, dtype=torch.long)
        for row, text in zip(tokens, texts, strict=True):
            encoded = Tokenizer().encode(text)
            row[: len(encoded)] = torch.tensor(encoded)
        with torch.inference_mode():
            theirs = checkpoints.reference(path).encode_text(tokens)
        return torch.from_numpy(ours), theirs

    def test_it_is_int8_where_it_agrees(self):
        """A trained one: random weights so narrow as these tests' do not agree."""
        path = tiny_clip.checkpoint_path()
        self.use(CLIP_MODEL=str(path))
        printed = self.prepare()
        self.assertRegex(printed, r"text tower int8.*: cosine 0\.999\d+ on average.* on 1000 texts by .*; taken\n")
        file = load_file(self.directory / "text.safetensors")
        self.assertIn(file["token_embedding.weight"].dtype, (torch.int8, torch.float16))
        linears = [tensor.dtype for name, tensor in file.items() if name.endswith(("proj_weight", "proj.weight"))]
        self.assertIn(torch.int8, linears)
        ours, theirs = self.embeddings(path)
        least = torch.cosine_similarity(ours, theirs).min().item()
        self.assertTrue(0.999 < least < 0.9999999, least)  # near, and not the published one

    def test_where_it_does_not_agree_it_stays_as_published(self):
        with mock.patch("classifier.engine.selfcheck.TEXT_COSINE_MIN", 1.0):
            printed = self.prepare()
        self.assertRegex(printed, r"text tower int8: .*; refused, the least is not above 1\.0")
        self.assertRegex(printed, r"text tower int8, token embedding float16.*; refused")
        self.assertIn("text tower as published; taken", printed)
        file = load_file(self.directory / "text.safetensors")
        self.assertEqual(file["token_embedding.weight"].dtype, torch.float32)
        ours, theirs = self.embeddings(self.path)
        self.assertGreater(torch.cosine_similarity(ours, theirs).min().item(), 0.999999)

    def test_a_block_at_a_time_it_answers_the_same(self):
        self.prepare()
        whole, streamed = load_engine(engine_config()), load_engine(engine_config())
        streamed.text_streamed = True
        texts = ["a red dog", "an old tin", "a red tin"]
        self.assertTrue((whole.embed_texts(texts) == streamed.embed_texts(texts)).all())
        self.assertEqual((len(whole.text[0].blocks), len(streamed.text[0].blocks)), (2, 0))

    def test_float_precisions_leave_it_as_published(self):
        for precision in ("fp16", "fp32"):
            with override_settings(CLIP_PRECISION=precision):
                self.assertNotIn("text tower", self.prepare())
                file = load_file(self.directory / "text.safetensors")
                self.assertEqual(file["token_embedding.weight"].dtype, torch.float32)


class HiddenOutlierTests(PrepareTestCase):
    """Neurons that answer large, before proj, where no scale can be moved away."""

    outliers, gain = "hidden", 100.0

    def test_it_is_proj_that_is_kept(self):
        self.assertRegex(self.prepare(), r"int8, 1 of 8 layers float16 .*; taken\n")
        mixed = json.loads((self.directory / "manifest.json").read_text())["tried"][-1]
        self.assertEqual({tuple(names) for names in mixed["float16"].values()}, {("blocks.1.proj",)})
        self.assert_answers("int8")


class ResidualOutlierTests(PrepareTestCase):
    """Huge channels of the class token: a scale of its own and smoothing are enough."""

    outliers, gain = "residual", 100.0

    def test_no_layer_has_to_be_kept(self):
        self.assertRegex(self.prepare(), r"^int8: cosine (0\.999\d+|1\.0+) on average.*; taken\n")
        (only,) = json.loads((self.directory / "manifest.json").read_text())["tried"]
        self.assertEqual(set(map(len, only["float16"].values())), {0})
        self.assert_answers("int8")
