"""Staff go from an upload to those like it, whoever sent them."""

from django.urls import reverse

from classifier.tests.admin.test_uploads import AdminTests
from classifier.tests.services.test_search import coloured


class SimilarTests(AdminTests):
    def test_the_most_similar_uploads_of_everybody_are_linked(self):
        red, theirs = coloured("red"), coloured("red", owner="you", sha256="1" * 64)
        copy = coloured("crimson", owner="them")
        page = self.client.get(reverse("admin:classifier_upload_change", args=[red.pk]))
        for upload in (theirs, copy):
            self.assertContains(page, reverse("admin:classifier_upload_change", args=[upload.pk]))
        self.assertContains(page, "cosine 1.000")

    def test_the_same_file_is_marked(self):
        red, _again = coloured("red"), coloured("red", owner="you")
        page = self.client.get(reverse("admin:classifier_upload_change", args=[red.pk]))
        self.assertContains(page, "the same file")
