"""The text tower and the head builder against OpenAI's own code."""

import random
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from django.test import SimpleTestCase

from classifier.engine import prompts
from classifier.engine.prefix_tree import PrefixTree
from classifier.engine.text_tower import TextTower
from classifier.engine.tokenizer import Tokenizer, clip_module
from classifier.errors import LabelError

LABELS = ["tench", "goldfish", "great white shark", "great grey owl", "tiger shark", "crane bird", "crane", "T-shirt",
          "ping-pong ball", "Petri dish", "t-shirt", "goldfish"]  # fmt: skip
TEMPLATES = ["a photo of a {}.", "a photo of the {}.", "{}", "itap of my {}.", "a {} in a video game.", "{}, {}!"]


class TextTests(SimpleTestCase):
    """A CLIP of OpenAI's own class with random weights, float16 as published, and the tower made from them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        torch.manual_seed(0)
        cls.clip = clip_module("model").CLIP(48, 32, 1, 64, 16, 77, 49408, 128, 2, 3).eval()
        clip_module("model").convert_weights(cls.clip)
        state = {name: value.clone() for name, value in cls.clip.state_dict().items()}
        cls.clip.float()
        cls.tower = TextTower(state)
        cls.tokenizer = Tokenizer()

    def plain(self, texts):
        """OpenAI's way: every text padded to 77 tokens (clip.tokenize), encode_text, normalised. (T, P)"""
        tokens = torch.zeros(len(texts), 77, dtype=torch.int)
        for row, text in zip(tokens, texts, strict=True):
            encoded = torch.tensor([49406, *self.tokenizer._bpe.encode(text), 49407])
            row[: len(encoded)] = encoded
        with torch.no_grad():
            found = self.clip.encode_text(tokens).double().numpy()
        return found / np.linalg.norm(found, axis=-1, keepdims=True)

    def plain_head(self, labels, templates):
        means = [self.plain([t.replace("{}", label) for t in templates]).mean(axis=0) for label in labels]
        return np.array([mean / np.linalg.norm(mean) for mean in means])

    def assertSame(self, mine, reference, tolerance=1e-6):
        self.assertEqual(mine.shape, reference.shape)
        self.assertEqual(mine.dtype, np.float32)
        np.testing.assert_allclose(np.linalg.norm(mine, axis=-1), 1, atol=1e-6)
        self.assertLess((1 - (mine * reference).sum(axis=-1)).max(), tolerance)

    def embed(self, texts):
        return prompts.embed_texts(self.tower, self.tokenizer, texts)

    def head(self, labels=LABELS, templates=TEMPLATES, **options):
        return prompts.head_weights(self.tower, self.tokenizer, labels, templates, **options)


class EmbedTextsTests(TextTests):
    def test_it_agrees_with_openai_on_texts_of_every_length(self):
        texts = ["", "a", "dog", "a photo of a dog.", "Ünïcödé & <b>tags</b>", "dog " * 75, "cat " * 74]
        self.assertSame(self.embed(texts), self.plain(texts))

    def test_it_keeps_the_order_and_answers_repeated_texts_each_time(self):
        texts = ["zebra", "ant", "zebra", "a zebra", "ant"]
        self.assertSame(self.embed(texts), self.plain(texts))

    def test_it_answers_no_texts_with_no_rows(self):
        self.assertEqual(self.embed([]).shape, (0, 48))

    def test_it_reads_up_to_the_first_end_of_text_as_clip_does(self):
        texts = ["a dog<|endoftext|> and a cat", "a dog"]
        self.assertSame(self.embed(texts), self.plain(texts))
        self.assertSame(self.embed(texts[:1]), self.plain(texts[1:]))

    def test_it_agrees_when_the_texts_take_many_chunks(self):
        texts = [f"a photo of {a} {b} dogs" for a in ["many", "several", "few", "no"] for b in range(40)] + ["a photo"]
        for chunk in (1, 7, 64, 100):
            with mock.patch.object(prompts, "CHUNK", chunk):
                self.assertSame(self.embed(texts), self.plain(texts))

    def test_it_refuses_a_text_longer_than_the_context(self):
        with self.assertRaisesMessage(LabelError, "is over 77 tokens; CLIP reads at most 77"):
            self.embed(["dog " * 76])


class HeadTests(TextTests):
    def test_it_agrees_with_openais_loop(self):
        self.assertSame(self.head(), self.plain_head(LABELS, TEMPLATES))

    def test_it_computes_each_distinct_prefix_once(self):
        encoded = {self.tokenizer.encode(t.replace("{}", label)) for label in LABELS for t in TEMPLATES}
        prefixes = {tokens[: length + 1] for tokens in encoded for length in range(len(tokens))}
        computed = []
        forward = self.tower.forward

        def count(chunk, carried):
            computed.append(len(chunk.tokens))
            return forward(chunk, carried)

        with mock.patch.object(self.tower, "forward", count), mock.patch.object(prompts, "CHUNK", 50):
            self.head()
        self.assertEqual(sum(computed), len(prefixes))
        self.assertLessEqual(max(computed), 50)

    def test_it_names_a_label_that_is_too_long(self):
        with self.assertRaisesMessage(LabelError, "The label “dog dog dog"):
            self.head(labels=["cat", "dog " * 74])

    def test_it_refuses_a_template_without_a_place_for_the_label(self):
        with self.assertRaisesMessage(LabelError, "“a photo” has no {}"):
            self.head(templates=["a photo"])
        with self.assertRaisesMessage(LabelError, "at least one prompt template"):
            self.head(templates=[])

    def test_it_reports_progress_up_to_the_last_prompt(self):
        seen = []
        with mock.patch.object(prompts, "CHUNK", 50):
            self.head(progress=lambda done, total: seen.append((done, total)))
        total = len(LABELS) * len(TEMPLATES)
        self.assertEqual(seen[-1], (total, total))
        self.assertEqual(seen, sorted(seen))
        self.assertGreater(len(seen), 3)


class ResumeTests(TextTests):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory())) / "cache"
        self.enterContext(mock.patch.multiple(prompts, CHUNK=40, SAVE_SECONDS=0))

    def build(self, stop_after=None, sha256="abc", **options):
        """The head and the progress calls; `stop_after` calls the build is interrupted."""
        seen = []

        def progress(done, total):
            seen.append(done)
            if len(seen) == stop_after:
                raise KeyboardInterrupt

        try:
            return self.head(cache_dir=self.folder, weights_sha256=sha256, progress=progress, **options), seen
        except KeyboardInterrupt:
            return None, seen

    def test_an_interrupted_build_goes_on_where_it_was(self):
        whole, all_calls = self.build()
        for stop_after in range(1, len(all_calls) + 1):
            _, before = self.build(stop_after)
            head, after = self.build()
            self.assertEqual(before + after, all_calls)
            np.testing.assert_allclose(head, whole, atol=1e-6)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_other_weights_labels_or_templates_begin_again(self):
        _, all_calls = self.build()
        self.build(2)
        self.assertEqual(self.build(1, sha256="def")[1][0], all_calls[0])
        self.assertEqual(self.build(1, labels=LABELS[::-1])[1][0], all_calls[0])
        self.assertEqual(self.build(1, templates=TEMPLATES[::-1])[1][0], all_calls[0])

    def test_a_damaged_file_is_not_used(self):
        whole, all_calls = self.build()
        self.build(2)
        (kept,) = self.folder.iterdir()
        kept.write_bytes(kept.read_bytes()[:-100])
        head, calls = self.build()
        self.assertEqual(calls, all_calls)
        np.testing.assert_array_equal(head, whole)


class TokenizerTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokenizer = Tokenizer()
        cls.openai = clip_module("simple_tokenizer").SimpleTokenizer()

    def test_import_clip_is_left_to_the_real_package(self):
        """In a process of its own: whatever reads text or runs a ResNet leaves nothing under that name."""
        code = (
            "import sys; from classifier.engine.tokenizer import Tokenizer, clip_module; Tokenizer().encode('é');"
            "clip_module('model').ModifiedResNet; import classifier.engine.resnet_tower;"
            "print([name for name in sys.modules if name.partition('.')[0] in ('clip', 'torchvision')])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))

    def assertTokens(self, text):
        expected = [49406, *self.openai.encode(text), 49407]
        self.assertEqual(list(self.tokenizer.encode(text)), expected[: expected.index(49407) + 1], repr(text))

    def test_it_agrees_with_openai_on_texts_of_all_kinds(self):
        texts = ["", " ", "A photo  of\ta dog.", "don't DON'T 's", "crème brûlée", "50%½ 3rd", "日本語 😀", "ﬁne’s “q”",
                 "&amp;amp;lt;b&gt; &", "Ã©", "a\x00\x1b[31mb\x85c\u200bd", "<|endoftext|>a", "İ ß"]  # fmt: skip
        for text in texts:
            self.assertTokens(text)

    def test_it_agrees_with_openai_on_random_characters(self):
        chance = random.Random(0)
        alphabet = "ab cDé\u00a0\u2003\t\n&;ampltquo'sT<|>endoftext3½ßİﬁ’“日😀\x1b\u200b\x85\ufeff.,-"
        for _ in range(2000):
            self.assertTokens("".join(chance.choices(alphabet, k=chance.randrange(24))))

    def test_it_does_not_grow_with_what_people_type(self):
        with mock.patch("classifier.engine.tokenizer.KEPT_BYTES", 3000):
            for number in range(100):
                self.assertTokens(f"word{number} a dog")
            self.assertLessEqual(len(self.tokenizer._words), 15)
            self.assertLess(self.tokenizer._held, 3000)

    def test_long_words_that_nobody_types_twice_leave_nothing(self):
        """A hundred labels of 200 characters in each of fifty requests, refused or not."""
        chance, tokenizer = random.Random(0), Tokenizer()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        tokenizer.encode("a dog")
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5000):
            tokenizer.encode("".join(chance.choices("abcdefgh0123", k=200)), 77)
        self.assertLess(tracemalloc.get_traced_memory()[0] - before, 300_000)

    def test_what_is_too_long_for_any_tokens_is_refused_unread(self):
        tower, tokenizer = mock.Mock(context_length=77), mock.Mock(spec=Tokenizer)
        with self.assertRaisesMessage(LabelError, "is over 77 tokens"):
            prompts.embed_texts(tower, tokenizer, ["x" * 3000])
        tokenizer.encode.assert_not_called()


class PrefixTreeTests(SimpleTestCase):
    def test_queries_attend_to_themselves_and_their_ancestors_alone(self):
        sequences = [(0, 1, 9), (0, 1, 2, 9), (0, 1, 2, 3, 9), (0, 4, 9), (5, 9)]
        tree = PrefixTree(sorted(sequences))
        self.assertEqual(len(tree), 11)
        carried = []  # prefixes, in the order of the carried rows
        for chunk in tree.chunks(3):
            rows = carried + [self.prefix(tree, chunk.stop - len(chunk.tokens) + i) for i in range(len(chunk.tokens))]
            for block, queries in enumerate(chunk.queries):
                for r, query in enumerate(queries):
                    prefix = rows[len(carried) + query]
                    attended = [rows[k] for k in chunk.keys[block][chunk.mask[block, r]]]
                    self.assertEqual(attended, [prefix[: i + 1] for i in range(len(prefix))])
            carried = [rows[row] for row in chunk.carry]

    def prefix(self, tree, node):
        return tuple(int(tree.tokens[n]) for n in [*tree.ancestors(node), node])
