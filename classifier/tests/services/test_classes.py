"""Which class a folder's name stands for."""

import numpy as np
from django.test import SimpleTestCase

from classifier.engine import Head
from classifier.engine.imagenet import imagenet_doubles, imagenet_labels
from classifier.errors import LabelError
from classifier.services.classes import Names, head_of_these

IMAGENET = Head(
    "imagenet", imagenet_labels(), np.eye(1000, dtype=np.float32), tuple(range(1000)), doubles=imagenet_doubles()
)


class NamesTests(SimpleTestCase):
    def setUp(self):
        self.names = Names(IMAGENET, imagenet=True)

    def test_names_as_data_sets_spell_them(self):
        for name, place in {
            "n01440764": 0,
            "n01440764_tench": 0,
            "n01440764-tench": 0,
            "000": 0,
            "281": 281,
            "Great_White_Shark": 2,
            "great white shark": 2,
            "Carcharodon carcharias": 2,  # another lemma of the synset
            "Tinca_tinca": 0,
            "crane bird": 134,  # OpenAI's name, where the lemma stands for two
        }.items():
            with self.subTest(name=name):
                self.assertEqual(self.names.place(name), place)

    def test_an_exact_label_wins_over_what_the_prompts_call_another(self):
        self.assertEqual(self.names.place("missile"), 657)
        self.assertEqual(self.names.place("sunglasses"), 836)
        self.assertEqual(self.names.place("n04008634"), 744)
        self.assertEqual(self.names.place("dark glasses"), 837)

    def test_a_name_that_stands_for_two_classes_is_refused_with_both(self):
        for name, ids in {
            "crane": ("n02012849 (class 134)", "n03126707 (class 517)"),
            "maillot": ("n03710637 (class 638)", "n03710721 (class 639)"),
        }.items():
            with self.assertRaises(LabelError) as caught:
                self.names.place(name)
            for each in ids:
                self.assertIn(each, str(caught.exception))

    def test_names_that_stand_for_none_are_told(self):
        for name in ("gizmo", "n99999999", "1000"):
            self.assertIsNone(self.names.place(name))
        with self.assertRaisesMessage(LabelError, "2 of 3 names do not stand for an ImageNet label"):
            self.names.places(["tench", "gizmo", "gadget"])

    def test_names_of_other_labels(self):
        head = Head("own", ("a_b", "7", "Cat"), np.eye(3, dtype=np.float32), (None,) * 3)
        names = Names(head, imagenet=False)
        self.assertEqual(names.places(["A b", "cat", "7", "0"]), {"A b": 0, "cat": 2, "7": 1, "0": 0})
        self.assertIsNone(names.place("n01440764"))

    def test_a_head_of_some_classes_alone(self):
        head, moved = head_of_these(IMAGENET, [744, 5, 657, 5])
        self.assertEqual(head.labels, tuple(imagenet_labels()[k] for k in (5, 657, 744)))
        self.assertEqual((head.indices, head.doubles), ((5, 657, 744), ((1, 2),)))
        self.assertEqual(moved, {5: 0, 657: 1, 744: 2})
        self.assertEqual(head_of_these(IMAGENET, [744, 5])[0].doubles, ())
