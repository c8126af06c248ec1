"""Examples move a label where they help, and nowhere else; figures against plain arithmetic."""

import numpy as np
from django.test import SimpleTestCase

from classifier.engine.adapter import Adapter, learn


def rows(*angles):
    """(N, 2) float32, L2-normalised, from degrees."""
    turned = np.radians(angles)
    return np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)


class AdapterTests(SimpleTestCase):
    def test_what_examples_add(self):
        """Equations 3 to 6, with the mean over a label's examples."""
        adapter = Adapter(rows(0, 60, 90), np.array([0, 0, 2]), 3, alpha=0.5, beta=6.0)
        found = adapter.cosines(rows(0))[0]
        first = (np.exp(6 * (1 - 1)) + np.exp(6 * (np.cos(np.radians(60)) - 1))) / 2
        np.testing.assert_allclose(found, [0.5 * first, 0, 0.5 * np.exp(-6)], rtol=1e-5)

    def test_wrong_words_are_put_right_by_examples(self):
        """Text embeddings that lie by the other label's pictures."""
        keys, labels = rows(0, 2, 4, 6, 90, 92, 94, 96), np.array([0] * 4 + [1] * 4)
        learned = learn(keys, labels, rows(93, 3))
        self.assertEqual((learned.examples, learned.before, learned.after), (8, 0, 8))
        self.assertTrue(learned.helps)
        adapter = Adapter(keys, labels, 2, learned.alpha, learned.beta)
        new = rows(1, 95)
        self.assertEqual((new @ rows(93, 3).T + adapter.cosines(new)).argmax(axis=1).tolist(), [0, 1])

    def test_an_example_is_no_witness_for_itself(self):
        """Lone examples of labels at random: knowing each by itself would make all of them right."""
        chance = np.random.default_rng(0)
        keys = chance.standard_normal((40, 32)).astype(np.float32)
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        head = chance.standard_normal((40, 32)).astype(np.float32)
        head /= np.linalg.norm(head, axis=1, keepdims=True)
        learned = learn(keys, np.arange(40), head)
        self.assertLess(learned.after, 6)

    def test_what_is_right_already_is_left_alone(self):
        learned = learn(rows(0, 2, 4, 6, 90, 92, 94, 96), np.array([0] * 4 + [1] * 4), rows(3, 93))
        self.assertEqual((learned.before, learned.after, learned.alpha, learned.helps), (8, 8, 0, False))
