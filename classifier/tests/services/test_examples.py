"""Sets that learn, with a real tiny CLIP and words that it has never read."""

import io

from django.test import TestCase

from classifier.errors import LabelError
from classifier.models import LabelAdapter, LabelExample, Upload
from classifier.services import examples, heads, label_sets, uploads
from classifier.services.heads import choice_of_set
from classifier.tests.tiny_clip import SHAPES, draw
from classifier.tests.tiny_server import tiny_server

WORDS = ("zorp", "blick", "quax", "fnord", "wibble", "grue")  # for the six shapes


class ExampleTests(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(tiny_server())

    def setUp(self):
        with self.captureOnCommitCallbacks(execute=True):
            self.set = label_sets.label_set_create(name="made up", labels=WORDS, templates=["a photo of a {}."])

    def upload(self, shape, seed):
        stream = io.BytesIO()
        draw("red", shape, seed=seed).save(stream, "PNG")
        stream.seek(0)
        made = uploads.upload_create(file=stream, name="a.png", owner="me", choice=choice_of_set(self.set))
        return Upload.objects.with_latest().get(pk=made.pk)

    def teach(self, each, first=90_000):
        with self.captureOnCommitCallbacks(execute=False):
            for word, shape in zip(WORDS, SHAPES, strict=True):
                for seed in range(first, first + each):
                    examples.example_add(label_set=self.set, upload=self.upload(shape, seed), label=word)
        examples.learn(label_set=self.set)

    def accuracy(self):
        """Over five new pictures of each shape."""
        right = [
            self.upload(shape, seed).top_label == word
            for word, shape in zip(WORDS, SHAPES, strict=True)
            for seed in range(200_000, 200_005)
        ]
        return sum(right) / len(right)

    def test_four_examples_of_each_teach_new_words(self):
        """From 17 % to 87 % of 150 pictures when it was measured."""
        before = self.accuracy()
        self.teach(4)
        row = LabelAdapter.objects.get()
        self.assertEqual(row.examples, 24)
        self.assertGreater(row.after, row.before + 8)
        self.assertGreater(self.accuracy(), before + 0.3)

    def test_fewer_than_four_change_nothing(self):
        self.teach(3)
        self.assertFalse(LabelAdapter.objects.exists())

    def test_examples_go_with_their_pictures_and_their_labels(self):
        self.teach(4)
        Upload.objects.filter(examples__label="zorp").first().delete()
        examples.learn(label_set=self.set)
        self.assertEqual(LabelAdapter.objects.get().examples, 20)  # three are too few
        with self.captureOnCommitCallbacks(execute=True):
            label_sets.label_set_update(
                label_set=self.set, name="made up", labels=WORDS[1:], templates=["a photo of a {}."]
            )
        head, _ = heads.head_obtain(self.engine(), choice_of_set(self.set), lambda function, *a: function(*a))
        self.assertIsNone(head.adapter)  # learnt with other labels
        examples.labels_learn()
        self.assertEqual(LabelAdapter.objects.get().digest, self.set.digest)

    def engine(self):
        from classifier.services import engines

        return engines.engine_get()

    def test_a_label_must_be_one_of_the_set(self):
        with self.assertRaisesMessage(LabelError, "“cat” is not a label of the set “made up”."):
            examples.example_add(label_set=self.set, upload=self.upload("circle", 1), label="cat")

    def test_what_visitors_say_counts_only_where_the_set_learns_from_them(self):
        upload = self.upload("circle", 1)
        uploads.feedback_create(upload=upload, label="zorp")
        self.assertFalse(LabelExample.objects.exists())
        self.set.learns = True
        self.set.save()
        upload = Upload.objects.with_latest().get(pk=upload.pk)
        uploads.feedback_create(upload=upload, label="zorp")
        self.assertEqual(LabelExample.objects.get().label, "zorp")
        uploads.feedback_create(upload=upload, label="blick")
        self.assertEqual(LabelExample.objects.get().label, "blick")
        uploads.feedback_create(upload=upload, label="")  # none of them
        self.assertFalse(LabelExample.objects.exists())
