"""The line of relevance of a search by words, with a real tiny CLIP and pictures it knows."""

import numpy as np
from django.test import SimpleTestCase, TestCase

from classifier.services import engines, search
from classifier.services.relevance import BEATEN, is_match
from classifier.tests import tiny_clip
from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.services.test_search import coloured
from classifier.tests.tiny_server import tiny_server

EACH = 3  # pictures of each pair


class TinyClipTests(SimpleTestCase):
    def test_the_line_parts_what_words_describe_from_what_shares_nothing_with_them(self):
        pairs = [(c, s) for c in tiny_clip.COLOURS for s in tiny_clip.SHAPES if (c, s) not in tiny_clip.HELD_OUT]
        with tiny_server():
            loaded = engines.engine_get()
            shown = [pair for pair in pairs for _ in range(EACH)]
            drawn = [tiny_clip.draw(*pair, seed=900 + place) for place, pair in enumerate(shown)]
            pictures = loaded.embed_images(drawn)
            words = loaded.embed_texts([tiny_clip.caption(*pair) for pair in pairs])
        names = np.sort(pictures @ loaded.imagenet.weights.T)
        cosines = pictures @ words.T
        beaten = np.stack([np.searchsorted(n, c) / len(n) for n, c in zip(names, cosines, strict=True)])
        same = np.array([[a == b for b in pairs] for a in shown])
        apart = np.array([[a[0] != b[0] and a[1] != b[1] for b in pairs] for a in shown])
        self.assertGreaterEqual((beaten[same] >= BEATEN).mean(), 0.98)  # 1.0 when this was written
        self.assertLessEqual((beaten[apart] >= BEATEN).mean(), 0.01)  # 0.002


class RuleTests(SimpleTestCase):
    def test_of_vit_b_32_a_low_cosine_is_no_match_whatever_it_beats(self):
        self.assertFalse(is_match(model="ViT-B/32", similarity=0.19, beaten=1.0))
        self.assertTrue(is_match(model="ViT-B/32", similarity=0.21, beaten=0.9))
        self.assertTrue(is_match(model="RN50", similarity=0.12, beaten=0.9))
        self.assertFalse(is_match(model="RN50", similarity=0.4, beaten=0.89))


class MatchesTests(TestCase):
    def test_what_matches_comes_apart_from_what_does_not(self):
        red, blue, theirs = coloured("red"), coloured("blue"), coloured("red", owner="you")
        with serve(ColourEngine()):
            found = search.uploads_matching(words="red", owner="me")
            everybodys = search.uploads_matching(words="red", owner=None)
            nobodys = search.uploads_matching(words="red", owner="")
        self.assertEqual([hit.upload for hit in found.beyond], [blue])
        self.assertEqual((nobodys.matching, nobodys.beyond), ([], []))
        self.assertEqual([hit.upload for hit in found.matching], [red])
        self.assertEqual({hit.upload for hit in everybodys.matching}, {red, theirs})
