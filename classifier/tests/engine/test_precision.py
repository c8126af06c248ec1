"""What each layer costs in int8, and how many are kept for it."""

import torch
from django.test import SimpleTestCase

from classifier.engine.checkpoint import checkpoint_open
from classifier.engine.image_conversion import drawn_pixels
from classifier.engine.image_tower import block_tensors, embed_with_openais_weights
from classifier.engine.precision import affordable, by_gain, fewest, float16_layers
from classifier.engine.probes import CALIBRATION
from classifier.engine.quantise import WATCHED, block_smoothed, calibrate, rounded
from classifier.engine.sensitivity import layer_losses
from classifier.engine.stack import image_stack, layer_names, layer_sizes, plainly
from classifier.tests import checkpoints


class SensitivityTests(SimpleTestCase):
    """Against the plain way: round one layer, run the tower, compare embeddings."""

    def losses(self, outliers, gain):
        opened = checkpoint_open(checkpoints.checkpoint("tiny", outliers, gain))
        state, shape = opened.image_state(), opened.shape
        with torch.inference_mode():
            pixels = drawn_pixels(CALIBRATION, 64)
            stack = image_stack(state, shape, pixels)
            calibration = calibrate(stack)
            originals = embed_with_openais_weights(state, shape, pixels)
            self.assertGreater(torch.cosine_similarity(calibration.embeddings, originals).min().item(), 0.999999)
            plain = {name: self.loss_of(stack, calibration, name) for name in layer_names(shape.layers)}
            return layer_losses(stack, calibration), plain, layer_sizes(state, shape.layers)

    def loss_of(self, stack, calibration, rounded_layer):
        def apply(name, x, weight, bias):
            if f"blocks.{layer}.{name}" == rounded_layer:
                x, weight = rounded(x), rounded(weight)
            return plainly(name, x, weight, bias)

        x = calibration.inputs[0]
        for layer in range(stack.layers):
            tensors = block_smoothed(block_tensors(stack.state, layer), calibration.scales[layer])
            x = stack.block(tensors, x, WATCHED, apply)
        return (1 - torch.cosine_similarity(stack.finish(x).double(), calibration.embeddings[:WATCHED].double())).mean()

    def test_it_finds_what_trying_layer_by_layer_finds(self):
        for outliers, gain in (("", 0), ("hidden", 100.0)):
            with self.subTest(outliers=outliers):
                estimated, plain, _ = self.losses(outliers, gain)
                self.assertEqual(estimated.keys(), plain.keys())
                for name, loss in plain.items():
                    ratio = (estimated[name].mean() / loss).item()
                    self.assertTrue(0.4 < ratio < 2.5, f"{name}: {loss:.2e}, {ratio:.2f} times that estimated")

    def test_the_costliest_layers_come_first(self):
        for outliers, gain in (("norm", 40.0), ("hidden", 100.0)):
            with self.subTest(outliers=outliers):
                estimated, plain, sizes = self.losses(outliers, gain)
                self.assertEqual(by_gain(estimated, sizes)[0], by_gain(plain, sizes)[0])

    def test_the_same_checkpoint_gives_the_same_choice(self):
        once, again = self.losses("norm", 40.0)[0], self.losses("norm", 40.0)[0]
        self.assertTrue(all(torch.equal(once[name], again[name]) for name in once))


class ChoiceTests(SimpleTestCase):
    sizes = {"a": 4, "b": 1, "c": 2, "d": 3}

    def test_agreement_per_byte_decides(self):
        losses = {
            "a": torch.tensor([8.0]),
            "b": torch.tensor([3.0]),
            "c": torch.tensor([2.0]),
            "d": torch.tensor([9.0]),
        }
        self.assertEqual(by_gain(losses, self.sizes), ["b", "d", "a", "c"])

    def test_the_budget_ends_the_list(self):
        order = ["b", "d", "a", "c"]
        shares = (0, 0.1, 0.3, 0.4, 0.9, 1)
        self.assertEqual([affordable(order, self.sizes, share) for share in shares], [0, 1, 1, 2, 3, 4])

    def test_bisection_finds_the_fewest(self):
        for wanted in range(21):
            tried = []

            def passes(count, wanted=wanted, tried=tried):
                tried.append(count)
                return count >= wanted

            self.assertEqual(fewest(passes, 0, 20), wanted)
            self.assertLessEqual(len(tried), 7)
        self.assertIsNone(fewest(lambda count: False, 0, 20))

    def test_a_slower_kernel_may_need_more_than_the_file_holds(self):
        needs = {"fast": 1, "slow": 3}
        chosen = float16_layers(list("bdac"), 4, list(needs), lambda kernel, stored, wide: len(wide) >= needs[kernel])
        self.assertEqual(chosen, {"fast": ["b"], "slow": ["b", "d", "a"]})

    def test_where_rounded_weights_are_too_much_the_file_holds_more(self):
        chosen = float16_layers(
            list("bdac"), 4, ["fast", "slow"], lambda kernel, stored, wide: kernel == "fast" or len(stored) >= 2
        )
        self.assertEqual(chosen, {"fast": ["b", "d"], "slow": ["b", "d"]})

    def test_a_kernel_that_cannot_agree_gets_what_the_budget_allows(self):
        chosen = float16_layers(list("bdac"), 3, ["fast", "slow"], lambda kernel, *_: kernel == "fast")
        self.assertEqual(chosen["slow"], ["b", "d", "a"])
