"""ImageNet's classes that share a name: one line with the sum of their scores, which says so."""

import io
from unittest import mock

import numpy as np
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import SimpleTestCase, TestCase
from PIL import Image

from classifier.engine import Engine, Head
from classifier.engine.imagenet import imagenet_doubles, imagenet_index, imagenet_labels, imagenet_together
from classifier.models import Feedback
from classifier.services.evaluation import Grades
from classifier.tests.colour_engine import ColourEngine, serve

MISSILE, SUNGLASSES = "missile (both ImageNet classes)", "sunglasses (both ImageNet classes)"


def head() -> Head:
    """ImageNet's, as `head_read` labels it, over random rows; those of one name are equal."""
    weights = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    for first, second in imagenet_doubles():
        weights[second] = weights[first]
    labels = tuple(map(imagenet_together, imagenet_labels()))
    return Head("imagenet", labels, weights, tuple(range(1000)), doubles=imagenet_doubles())


class DoubleNameTests(SimpleTestCase):
    def rank(self, top=1000):
        cosines = head().weights @ np.array([1, -1, 0.5, 0], np.float32)
        return Engine().rank(2 * cosines, cosines, head(), top), cosines

    def test_there_are_two_pairs_in_openais_list(self):
        self.assertEqual(imagenet_doubles(), ((657, 744), (836, 837)))

    def test_each_pair_is_one_line_with_the_sum(self):
        ranked, cosines = self.rank()
        softmax = np.exp(2 * cosines.astype(float)) / np.exp(2 * cosines.astype(float)).sum()
        found = {line.label: line for line in ranked}
        self.assertEqual((len(ranked), len(found)), (998, 998))
        self.assertAlmostEqual(found[MISSILE].score, softmax[657] + softmax[744], places=12)
        self.assertAlmostEqual(found[SUNGLASSES].score, softmax[836] + softmax[837], places=12)
        self.assertAlmostEqual(sum(line.score for line in ranked), 1, places=9)
        self.assertEqual([line.score for line in ranked], sorted((line.score for line in ranked), reverse=True))
        self.assertEqual((found[MISSILE].index, found[SUNGLASSES].index), (657, 836))
        self.assertFalse({"missile", "missile (projectile)", "sunglasses"} & set(found))

    def test_a_pair_that_is_first_by_its_sum_alone_is_first(self):
        scores = np.zeros(1000)
        scores[[657, 744]], scores[5] = 0.3, 0.4
        first, second = Engine().rank(np.log(scores + 1e-9), scores, head(), 2)
        self.assertEqual((first.label, second.index), (MISSILE, 5))
        self.assertAlmostEqual(first.score, 0.6, places=5)

    def test_labels_of_any_other_kind_are_left_alone(self):
        same = Head("custom", ("a", "b"), np.ones((2, 4), np.float32), (None, None))
        ranked = Engine().rank(np.ones(2), np.ones(2), same, 5)
        self.assertEqual([(line.label, line.score) for line in ranked], [("a", 0.5), ("b", 0.5)])

    def test_a_label_for_both_has_the_first_number(self):
        numbers = [imagenet_index(label) for label in ("missile", "missile (projectile)", MISSILE, SUNGLASSES)]
        self.assertEqual(numbers, [657, 744, 657, 836])

    def test_both_folders_of_a_pair_are_right_with_the_one_line(self):
        grades, answer = Grades(head()), mock.Mock(predictions=self.rank()[0], embedding=head().weights[657])
        answer.predictions = sorted(answer.predictions, key=lambda line: line.label != MISSILE)
        for place in (657, 744):
            grades.add(mock.Mock(value=answer), place)
        self.assertEqual((grades.count, grades.right(1)), (2, 2))


class EveryInterfaceTests(TestCase):
    """A model that takes every red picture for a missile."""

    def setUp(self):
        loaded = ColourEngine()
        loaded.imagenet = head()
        loaded.imagenet.weights[[657, 744]] = loaded.embed(["red"])  # which no random row is as near to
        self.enterContext(serve(loaded))
        png = io.BytesIO()
        Image.new("RGB", (32, 24), "red").save(png, "PNG")
        self.file = SimpleUploadedFile("red.png", png.getvalue())

    def test_the_page_has_one_line_and_takes_it_for_the_right_label(self):
        address = self.client.post("/", {"image": self.file})["Location"]
        page = self.client.get(address)
        self.assertContains(page, f"<h1>{MISSILE}</h1>")
        self.assertContains(page, '<span class="label">missile', 1)
        self.client.post(f"{address}feedback", {"label": MISSILE})
        self.assertEqual(list(Feedback.objects.values_list("label", "index")), [(MISSILE, 657)])

    def test_programs_are_answered_one_line(self):
        record = self.client.post("/api/v1/uploads", {"image": self.file}).json()
        self.assertEqual((record["predictions"][0]["label"], record["predictions"][0]["index"]), (MISSILE, 657))
        self.assertEqual(sum("missile" in line["label"] for line in record["predictions"]), 1)
        self.file.seek(0)
        path = "/api/v1/zero-shot-image-classification"
        scores = self.client.post(path, self.file.read(), content_type="image/png").json()
        self.assertEqual(scores[0]["label"], MISSILE)
        self.assertAlmostEqual(scores[0]["score"], record["predictions"][0]["score"], places=6)
