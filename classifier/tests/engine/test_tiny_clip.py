"""The committed tiny CLIP: what it can do, through the engine's own towers and through OpenAI's code."""

import numpy as np
import torch
from django.test import SimpleTestCase

from classifier.engine.checkpoint import checkpoint_open
from classifier.engine.image_tower import ImageTower, image_tower_store
from classifier.engine.imagenet import imagenet_templates
from classifier.engine.preprocess import picture_to_pixels
from classifier.engine.prompts import embed_texts, head_weights
from classifier.engine.text_tower import TextTower
from classifier.engine.tokenizer import Tokenizer
from classifier.tests import checkpoints, tiny_clip
from classifier.tests.tiny_clip import COLOURS, COUNTS, HELD_OUT, PLACES, SHAPES, caption, draw

PAIRS = [(colour, shape) for colour in COLOURS for shape in SHAPES]
SEED = 50_000  # pictures that training never drew


class TinyClipTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        opened = checkpoint_open(tiny_clip.checkpoint_path())
        cls.towers = {}
        for precision in ("fp32", "fp16", "int8"):
            weights = dict(image_tower_store(opened.image_state(), opened.shape, precision))
            cls.towers[precision] = ImageTower(weights, opened.shape, precision)
        cls.texts = TextTower(opened.text_state())
        cls.tokenizer = Tokenizer()

    def embed(self, pictures, precision="fp32"):
        pixels = torch.from_numpy(np.stack([picture_to_pixels(p, tiny_clip.SHAPE[1]) for p in pictures]))
        with torch.inference_mode():
            found = self.towers[precision](pixels).numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def cosines(self, pictures, texts, precision="fp32"):
        """(pictures, texts)"""
        return self.embed(pictures, precision) @ embed_texts(self.texts, self.tokenizer, texts).T

    def accuracy(self, pairs, each=10):
        """Top-1 of pictures of `pairs` among the labels of all 48."""
        pictures = [draw(*pair, seed=SEED + i) for pair in pairs for i in range(each)]
        chosen = self.cosines(pictures, [f"a photo of {caption(*pair)}." for pair in PAIRS]).argmax(axis=1)
        return np.mean(
            [PAIRS[k] == pair for k, pair in zip(chosen, [p for p in pairs for _ in range(each)], strict=True)]
        )

    def test_the_committed_file_is_small(self):
        self.assertLess(tiny_clip.WEIGHTS.stat().st_size, 1_500_000)

    def test_the_checkpoint_is_in_openais_format(self):
        state = torch.jit.load(str(tiny_clip.checkpoint_path()), map_location="cpu").state_dict()
        self.assertEqual(state["visual.conv1.weight"].dtype, torch.float16)
        self.assertEqual(state["token_embedding.weight"].shape, (49408, 64))
        self.assertEqual([int(state[n]) for n in ("input_resolution", "context_length", "vocab_size")], [48, 77, 49408])

    def test_openais_code_loads_it_and_computes_the_same(self):
        openai = checkpoints.reference(tiny_clip.checkpoint_path())
        pictures = [draw("red", "circle"), draw("blue", "square", count=2)]
        texts = ["a red circle", "two blue squares", "a word it never saw"]
        tokens = torch.zeros(3, 77, dtype=torch.int)
        for row, text in zip(tokens, texts, strict=True):
            encoded = self.tokenizer.encode(text)
            row[: len(encoded)] = torch.tensor(encoded)
        pixels = torch.from_numpy(np.stack([picture_to_pixels(p, 48) for p in pictures]))
        with torch.no_grad():
            images, words = openai.encode_image(pixels), openai.encode_text(tokens)
        images, words = (torch.nn.functional.normalize(x, dim=-1).numpy() for x in (images, words))
        np.testing.assert_allclose(self.cosines(pictures, texts), images @ words.T, atol=1e-5)

    def test_a_red_circle_is_no_blue_square_in_any_precision(self):
        pictures = [draw("red", "circle", seed=SEED + i, size=(320, 240)) for i in range(50)]
        for precision in self.towers:
            for texts in (["a red circle", "a blue square"], ["This is a photo of a red circle.", "blue square"]):
                with self.subTest(precision=precision, texts=texts):
                    cosines = self.cosines(pictures, texts, precision)
                    self.assertGreater((cosines[:, 0] - cosines[:, 1]).min(), 0.1)

    def test_it_knows_pictures_it_never_saw(self):
        self.assertGreater(self.accuracy([pair for pair in PAIRS if pair not in HELD_OUT], each=5), 0.8)

    def test_it_knows_pairs_of_colour_and_shape_it_never_saw(self):
        self.assertGreater(self.accuracy(HELD_OUT), 0.4)  # chance is 1 in 48

    def test_words_find_the_picture(self):
        """Search: of one new picture per seen pair, the one that is meant comes first, or nearly."""
        seen = [pair for pair in PAIRS if pair not in HELD_OUT]
        pictures = [draw(*pair, seed=SEED) for pair in seen]
        cosines = self.cosines(pictures, [caption(*pair) for pair in seen])
        ranks = [(cosines[:, k] > cosines[k, k]).sum() for k in range(len(seen))]
        self.assertGreater(np.mean([rank == 0 for rank in ranks]), 0.7)
        self.assertGreater(np.mean([rank < 3 for rank in ranks]), 0.9)

    def test_it_tells_colours_shapes_counts_and_places(self):
        seeds = range(SEED, SEED + 9)
        for texts, pictures in (
            ([f"something {c}" for c in COLOURS], [[draw(c, "square", seed=i) for i in seeds] for c in COLOURS]),
            ([caption(None, s) for s in SHAPES], [[draw("green", s, seed=i) for i in seeds] for s in SHAPES[:5]]),
            (
                [caption("red", "cross", n) for n in COUNTS],
                [[draw("red", "cross", count=n, seed=i) for i in seeds] for n in COUNTS],
            ),
            (
                [caption("blue", "heart", 1, p) for p in PLACES],
                [[draw("blue", "heart", place=p, seed=i) for i in seeds] for p in PLACES],
            ),
        ):
            right = [(self.cosines(some, texts).argmax(axis=1) == k).mean() for k, some in enumerate(pictures)]
            with self.subTest(texts=texts):
                self.assertGreater(np.mean(right), 0.5)

    def test_openais_templates_make_heads_that_work(self):
        labels = [f"{colour} {shape}" for colour, shape in PAIRS]
        head = head_weights(self.texts, self.tokenizer, labels, imagenet_templates())
        seen = [pair for pair in PAIRS if pair not in HELD_OUT]
        chosen = (self.embed([draw(*pair, seed=SEED) for pair in seen]) @ head.T).argmax(axis=1)
        self.assertGreater(np.mean([PAIRS[k] == pair for k, pair in zip(chosen, seen, strict=True)]), 0.7)
