"""The page of a saved set: what it has learnt, and giving it examples."""

from django.test import TestCase
from django.urls import reverse

from classifier.models import LabelExample, LabelSet
from classifier.services import label_sets
from classifier.tests.people import staff
from classifier.tests.services.test_examples import WORDS
from classifier.tests.tiny_clip import SHAPES
from classifier.tests.tiny_server import tiny_server
from classifier.tests.web.test_any_labels import drawn_as


class LabelSetPageTests(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(tiny_server())

    def setUp(self):
        with self.captureOnCommitCallbacks(execute=True):
            self.set = label_sets.label_set_create(name="made up", labels=WORDS, templates=["a photo of a {}."])
        self.address = reverse("label_set", args=[self.set.pk])

    def teach(self, word, shape, seeds):
        files = [drawn_as("red", shape, seed) for seed in seeds]
        return self.client.post(f"{self.address}examples", {"label": word, "image": files})

    def test_visitors_see_what_is_in_it_and_no_examples(self):
        page = self.client.get(self.address)
        self.assertContains(page, "6 labels, in the sentence “a photo of a {}.”")
        self.assertContains(page, "Nothing yet")
        self.assertNotContains(page, "Give examples")
        self.assertEqual(self.teach("zorp", "circle", [1]).status_code, 403)
        self.assertFalse(LabelExample.objects.exists())

    def test_staff_teach_it(self):
        self.client.force_login(staff("change_labelset", "view_labelset"))
        for word, shape in zip(WORDS, SHAPES, strict=True):
            with self.captureOnCommitCallbacks(execute=True):
                self.assertRedirects(self.teach(word, shape, range(90_000, 90_004)), self.address)
        page = self.client.get(self.address)
        self.assertContains(page, "with 24 examples: they are used.")
        self.assertContains(page, "right by the words alone")
        self.assertContains(self.client.get(reverse("admin:classifier_labelset_changelist")), "they are used")
        example = LabelExample.objects.first()
        with self.captureOnCommitCallbacks(execute=True):
            self.client.post(f"{self.address}examples/{example.upload_id}/remove")
        self.assertEqual(LabelExample.objects.count(), 23)
        self.assertContains(self.client.get(self.address), "with 20 examples")

    def test_what_is_wrong_is_told(self):
        self.client.force_login(staff("change_labelset"))
        self.assertContains(self.teach("cat", "circle", [1]), "is not a label of the set", status_code=422)
        page = self.client.post(f"{self.address}examples", {"label": "zorp"})
        self.assertContains(page, "Choose 1 to 20 pictures.", status_code=422)
        self.assertEqual(self.client.get(reverse("label_set", args=[0])).status_code, 404)

    def test_the_switch_in_the_admin(self):
        self.client.force_login(staff("change_labelset", "view_labelset"))
        fields = {"name": "made up", "labels": "\n".join(WORDS), "templates": "a photo of a {}.", "learns": "on"}
        self.client.post(reverse("admin:classifier_labelset_change", args=[self.set.pk]), fields)
        self.assertTrue(LabelSet.objects.get().learns)
