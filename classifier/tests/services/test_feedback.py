"""What an owner said is repeated on the upload for the labels it was said of, and for no others."""

from importlib import import_module

from django.apps import apps
from django.test import TestCase

from classifier.models import Feedback, Upload
from classifier.services import label_sets, uploads
from classifier.services.heads import IMAGENET_CHOICE, choice_of_set
from classifier.services.label_sets import choice_make
from classifier.tests.colour_engine import ColourEngineMixin
from classifier.tests.services.test_search import coloured
from classifier.tests.synthetic import upload_done


class FeedbackTests(ColourEngineMixin, TestCase):
    """The colour engine's ImageNet has a red thing and a blue thing."""

    def setUp(self):
        super().setUp()
        self.upload = coloured("red")

    def say(self, label):
        uploads.feedback_create(upload=Upload.objects.get(pk=self.upload.pk), label=label)
        return self.now()

    def now(self):
        row = Upload.objects.get(pk=self.upload.pk)
        return row.verdict, row.right_label

    def relabel(self, choice):
        uploads.upload_relabel(upload=Upload.objects.with_latest().get(pk=self.upload.pk), choice=choice)
        return self.now()

    def found(self, words):
        return Upload.objects.filter(words__begin=words).exists()

    def test_right_wrong_and_which(self):
        self.assertEqual(self.now(), ("", ""))
        self.assertEqual(self.say("red thing"), ("right", "red thing"))
        self.assertEqual(self.say(""), ("wrong", ""))
        self.assertFalse(self.found("blue"))
        self.assertEqual(self.say("blue thing"), ("wrong", "blue thing"))
        self.assertTrue(self.found("blue") and self.found("red"))
        said = Feedback.objects.get()
        self.assertEqual((said.predicted, said.label_set, said.model), ("red thing", "imagenet", "colours"))

    def test_it_holds_for_these_labels_and_comes_back_with_them(self):
        self.say("blue thing")
        other = choice_make(labels=("green", "yellow"), template="", label_set="")
        self.assertEqual(self.relabel(other), ("", ""))
        self.assertFalse(self.found("blue"))
        self.assertEqual(self.relabel(IMAGENET_CHOICE), ("wrong", "blue thing"))
        self.assertTrue(self.found("blue"))

    def test_labels_for_one_picture_are_not_those_for_another(self):
        first = choice_make(labels=("red", "yellow"), template="", label_set="")
        self.relabel(first)
        self.assertEqual(self.say("yellow"), ("wrong", "yellow"))
        self.assertEqual(self.relabel(first), ("wrong", "yellow"))
        self.assertEqual(self.relabel(choice_make(labels=("green", "blue"), template="", label_set="")), ("", ""))

    def test_a_saved_set_keeps_its_own(self):
        with self.captureOnCommitCallbacks(execute=True):
            saved = label_sets.label_set_create(name="two", labels=("red", "blue"), templates=["a {}"])
        self.relabel(choice_of_set(saved))
        self.assertEqual(self.say("blue"), ("wrong", "blue"))
        self.assertEqual(self.relabel(IMAGENET_CHOICE), ("", ""))


class MigrationTests(TestCase):
    def test_what_was_said_before_is_shown(self):
        wrong, right, neither = upload_done("cup"), upload_done("cup"), upload_done("cup")
        for upload, label in ((wrong, "espresso"), (right, "cup"), (neither, "")):
            Feedback.objects.create(upload=upload, label=label)
        import_module("classifier.migrations.0013_say_what_was_right").repeat(apps, None)
        rows = [
            (row.verdict, row.right_label)
            for row in (Upload.objects.get(pk=each.pk) for each in (wrong, right, neither))
        ]
        self.assertEqual(rows, [("wrong", "espresso"), ("right", "cup"), ("wrong", "")])
        self.assertEqual(set(Feedback.objects.values_list("predicted", "model")), {("cup", "ViT-B/32")})
        self.assertEqual(list(Upload.objects.filter(words__begin="espresso")), [wrong])
