"""The pages' label fields, relabelling and search, where the model is not the point: an engine of colours answers."""

from types import SimpleNamespace
from unittest import mock

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from classifier.errors import Busy
from classifier.models import Classification, LabelHead, Upload
from classifier.services.label_sets import label_set_create
from classifier.tests.api.calls import small_jpeg
from classifier.tests.colour_engine import ColourTestCase, serve
from classifier.tests.people import staff
from classifier.tests.services.test_search import coloured


class LabelPagesTestCase(ColourTestCase):
    def own(self, owner="me"):
        session = self.client.session
        session["owner"] = owner
        session.save()

    def save_set(self):
        with self.captureOnCommitCallbacks(execute=True):
            return label_set_create(name="Colours", labels=("red", "blue", "white"), templates=("{}",))

    def send(self, status=302, **fields):
        response = self.client.post("/", {"image": SimpleUploadedFile("a.jpg", small_jpeg("red")), **fields})
        self.assertEqual(response.status_code, status)
        return response


class UploadFormTests(LabelPagesTestCase):
    def test_labels_of_ones_own(self):
        self.send(labels="blue\nred", template="one {}")
        run = Classification.objects.get()
        self.assertEqual((run.label_set, run.templates, run.predictions.first().label), ("custom", "one {}", "red"))

    def test_a_saved_set(self):
        label_set = self.save_set()
        self.assertContains(self.client.get("/"), '<option value="Colours">Colours</option>', html=True)
        self.send(label_set="Colours")
        self.assertEqual(Classification.objects.get().saved_set, label_set)

    def test_a_set_that_is_not_ready_cannot_be_chosen(self):
        self.save_set()
        LabelHead.objects.update(state="building", done=1, total=2)
        self.assertContains(self.client.get("/"), "Colours (being computed, 50 %)")
        response = self.send(status=409, label_set="Colours")
        self.assertContains(response, "still being computed", status_code=409)
        self.assertFalse(Upload.objects.exists())

    def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(self):
        for fields, error, text in (
            ({"labels": "cat"}, "choose-labels-error", "Give 2 to 100 labels"),
            ({"labels": "cat, dog", "template": "x"}, "choose-template-error", "has no {}"),
            ({"labels": "cat, dog", "label_set": "x"}, "choose-labels-error", "not both"),
            ({"label_set": "x"}, "choose-labels-error", "no label set named"),
            ({"template": "{}!"}, "choose-labels-error", "needs labels of your own"),
        ):
            with self.subTest(fields=fields):
                response = self.send(status=422, **fields)
                self.assertContains(response, f'id="{error}"', status_code=422)
                self.assertContains(response, text, status_code=422)
                self.assertContains(response, '<details class="labels-choice" open>', status_code=422)
                self.assertContains(response, fields.get("labels") or fields.get("template") or "", status_code=422)
        self.assertFalse(Upload.objects.exists())

    def test_a_script_is_told_what_is_wrong(self):
        file = SimpleUploadedFile("a.jpg", small_jpeg("red"))
        response = self.client.post("/", {"image": file, "labels": "cat"}, headers={"Accept": "application/json"})
        self.assertEqual(response.status_code, 422)
        self.assertEqual(response.json()["type"], "/api/v1/docs#bad-labels")

    @override_settings(CLIP_MODEL="standin")
    def test_the_stand_in_says_that_labels_need_clip(self):
        with self.assertNumQueries(0):
            self.assertContains(self.client.get("/"), "Labels of your own need CLIP")
        with serve(SimpleNamespace(info=SimpleNamespace(standin=True, weights_sha256="0" * 64))):
            response = self.send(status=422, labels="cat, dog")
        self.assertContains(response, "need CLIP", status_code=422)


class RelabelTests(LabelPagesTestCase):
    def setUp(self):
        super().setUp()
        self.upload = coloured("red")
        self.own()
        self.address = f"{self.upload.get_absolute_url()}relabel"

    def test_the_newest_labels_are_shown(self):
        page = self.client.post(self.address, {"labels": "something blue, something red"}, follow=True)
        self.assertContains(page, "<h1>something red</h1>")
        page = self.client.post(self.address, {"imagenet": "1", "labels": "typed and not meant"}, follow=True)
        self.assertContains(page, "<h1>red thing</h1>")
        self.assertEqual(self.engine.pictures_seen, 0)

    def test_more_than_ten_are_folded(self):
        page = self.client.post(self.address, {"labels": ",".join(f"thing {n}" for n in range(13))}, follow=True)
        self.assertContains(page, "3 more labels")
        self.assertContains(page, '<span class="label">thing', count=13)

    def test_what_is_wrong_is_told_on_the_page(self):
        for fields, text in (({}, "Give labels of your own, or choose a label set."), ({"labels": "x"}, "there are 1")):
            page = self.client.post(self.address, fields)
            self.assertContains(page, text, status_code=422)
            self.assertContains(page, 'id="other-labels-error"', status_code=422)
        self.assertEqual(Classification.objects.count(), 1)

    def test_it_is_the_owners_alone(self):
        self.own("you")
        self.assertEqual(self.client.post(self.address, {"labels": "a, b"}).status_code, 403)
        self.assertNotContains(self.client.get(self.upload.get_absolute_url()), "Try other labels")

    def test_a_busy_server_says_so(self):
        with mock.patch("classifier.capacity.admission.Admission.slot", side_effect=Busy("Many are waiting.")):
            page = self.client.post(self.address, {"labels": "a, b"})
        self.assertContains(page, "Many are waiting.", status_code=503)


class SimilarTests(LabelPagesTestCase):
    def setUp(self):
        super().setUp()
        self.red, self.crimson, self.blue = coloured("red"), coloured("crimson"), coloured("blue")
        self.theirs = coloured("red", owner="you")

    def test_a_result_leads_to_ones_own_most_similar_pictures(self):
        self.own()
        page = self.client.get(self.red.get_absolute_url())
        self.assertEqual([hit.upload for hit in page.context["hits"]], [self.crimson, self.blue])
        self.assertContains(page, "Your most similar pictures")
        self.assertContains(page, f'href="{self.crimson.get_absolute_url()}"')

    def test_on_anothers_result_they_are_ones_own_too(self):
        self.own()
        page = self.client.get(self.theirs.get_absolute_url())
        self.assertEqual([hit.upload for hit in page.context["hits"]], [self.red, self.crimson, self.blue])

    def test_the_same_file_is_marked(self):
        coloured("red", sha256=self.red.sha256)
        self.own()
        self.assertContains(self.client.get(self.red.get_absolute_url()), "the same file")

    def test_a_stranger_sees_none(self):
        self.assertNotContains(self.client.get(self.red.get_absolute_url()), "most similar pictures")


class SearchTests(LabelPagesTestCase):
    def setUp(self):
        super().setUp()
        self.red, self.blue, self.theirs = coloured("red"), coloured("blue"), coloured("blue", owner="you")
        self.own()

    def search(self, words, status=200):
        response = self.client.get("/history/search", {"q": words})
        self.assertEqual(response.status_code, status)
        return response

    def test_the_box_stands_on_the_history(self):
        self.assertContains(self.client.get("/history/"), 'action="/history/search"')

    def test_words_find_ones_own(self):
        page = self.search("something  blue")
        self.assertEqual([hit.upload for hit in page.context["hits"]], [self.blue])
        self.assertContains(page, 'value="something blue"')

    def test_staff_may_search_everybodys_and_others_may_not(self):
        self.assertNotContains(self.client.get("/history/search?q=blue&all=1"), self.theirs.get_absolute_url())
        self.client.force_login(staff("view_upload"))
        page = self.client.get("/history/search?q=blue&all=1")
        self.assertContains(page, self.theirs.get_absolute_url())
        self.assertContains(page, "Among everybody")

    def test_no_words_ask_for_some(self):
        self.assertContains(self.search(" "), "Search your pictures")

    def test_too_many_words_are_told(self):
        self.assertContains(self.search("x" * 201, 422), "200 are the most", status_code=422)

    def test_words_are_shown_as_they_are(self):
        self.assertContains(self.search("<b>blue"), "“&lt;b&gt;blue”")

    def test_a_visitor_without_pictures_is_led_to_the_form(self):
        self.own("nobody")
        self.assertContains(self.search("blue"), "There is nothing to search among yet.")

    @override_settings(CLIP_MODEL="standin")
    def test_the_stand_in_says_that_search_needs_clip(self):
        self.assertContains(self.client.get("/history/"), "Searching by words needs CLIP")
        with serve(SimpleNamespace(info=SimpleNamespace(standin=True))):
            self.assertContains(self.search("blue", 422), "searching by words need CLIP", status_code=422)
