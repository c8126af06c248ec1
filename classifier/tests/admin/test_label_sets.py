"""Label sets in the admin: checked as they are saved, computed, and deleted without losing what they found."""

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from classifier.models import Classification, LabelSet
from classifier.services import heads, label_sets, uploads
from classifier.tests.admin.test_uploads import AdminTests
from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.services.test_uploads import png

ADD, LIST = reverse("admin:classifier_labelset_add"), reverse("admin:classifier_labelset_changelist")


class LabelSetAdminTests(AdminTests):
    def setUp(self):
        super().setUp()
        heads.heads_forget()
        self.enterContext(serve(ColourEngine()))

    def post(self, address=ADD, **fields):
        with self.captureOnCommitCallbacks(execute=True):
            return self.client.post(address, {"name": "Colours", "labels": "red\ngreen", "templates": "", **fields})

    def assert_refused(self, text, **fields):
        self.assertContains(self.post(**fields), text)
        self.assertFalse(LabelSet.objects.exists())

    def test_a_pasted_set_is_saved_and_computed(self):
        self.assertRedirects(self.post(labels="red\ngreen\nsea_blue\n", templates="a photo of {}.\n{}"), LIST)
        label_set = LabelSet.objects.get()
        self.assertEqual(label_set.label_list, ["red", "green", "sea blue"])
        self.assertEqual(label_set.template_list, ["a photo of {}.", "{}"])
        self.assertTrue(label_sets.label_set_entry(label_set.pk).ready)
        page = self.client.get(LIST)
        self.assertContains(page, '<td class="field-number">3</td><td class="field-state">ready</td>')

    def test_a_file_replaces_the_labels(self):
        for name, data in [("plain", b"\xef\xbb\xbfblack\nwhite\n"), ("places", b"/a/airfield 0\n/a/alcove 1\n")]:
            self.post(name=name, file=SimpleUploadedFile("labels.txt", data))
        found = {label_set.name: label_set.label_list for label_set in LabelSet.objects.all()}
        self.assertEqual(found, {"plain": ["black", "white"], "places": ["airfield", "alcove"]})

    def test_what_is_wrong_is_told(self):
        self.assert_refused("there are 1", labels="red")
        self.assert_refused("has no {}", templates="a photo")
        self.assert_refused("is built in", name="imagenet")
        self.assert_refused("is not UTF-8 text", file=SimpleUploadedFile("labels.txt", b"\xff\xfe\x00"))
        self.assert_refused("red", labels="red\nred")

    def test_names_are_unique_whatever_their_case(self):
        self.post()
        self.assertContains(self.post(name="colours"), "There is a label set named “colours” already.")

    def test_a_changed_set_is_computed_anew(self):
        self.post()
        before = LabelSet.objects.get()
        address = reverse("admin:classifier_labelset_change", args=[before.pk])
        self.assertContains(self.client.get(address), "red\ngreen</textarea>")
        self.post(address, labels="blue\nwhite")
        after = LabelSet.objects.get()
        self.assertNotEqual(after.digest, before.digest)
        self.assertTrue(label_sets.label_set_entry(after.pk).ready)

    def test_a_deleted_set_keeps_its_classifications(self):
        self.post()
        label_set = LabelSet.objects.get()
        uploads.upload_create(file=png(), name="a.png", owner="me", choice=heads.choice_of_set(label_set))
        address = reverse("admin:classifier_labelset_delete", args=[label_set.pk])
        self.client.post(address, {"post": "yes"})
        self.assertFalse(LabelSet.objects.exists())
        run = Classification.objects.get()
        self.assertEqual((run.label_set, run.predictions.count()), ("Colours", 2))

    def test_the_list_takes_as_many_queries_with_many_as_with_one(self):
        self.post()
        one = self.queries(LIST)
        for number in range(5):
            self.post(name=f"Colours {number}")
        self.assertEqual(len(self.queries(LIST)), len(one))
