"""What staff see and do in the admin."""

from datetime import UTC, datetime

from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image

from classifier.models import Classification, Prediction, Upload
from classifier.pictures.reading import picture_to_jpeg
from classifier.services import uploads
from classifier.tests.services.test_uploads import serve
from classifier.tests.synthetic import fill, upload_done

LIST = reverse("admin:classifier_upload_changelist")


class AdminTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.staff = User.objects.create_superuser("staff")

    def setUp(self):
        self.client.force_login(self.staff)

    def queries(self, address):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            self.assertEqual(self.client.get(address).status_code, 200)
        return [query["sql"] for query in queries]

    def act(self, action, *uploads, **data):
        chosen = {"action": action, "_selected_action": [upload.pk for upload in uploads], **data}
        return self.client.post(LIST, chosen, follow=True)

    def limited(self, *permissions):
        """Log in somebody who may do no more than this."""
        user = User.objects.create_user("limited", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.client.force_login(user)


class ListTests(AdminTests):
    def test_it_shows_picture_label_score_model_and_date(self):
        upload = upload_done("espresso", 0.873, name="IMG_1.jpg", created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
        page = self.client.get(LIST)
        address = f"/uploads/{upload.pk}/"
        self.assertContains(page, f'<a href="{address}"><img class="thumbnail" src="{address}thumbnail"')
        for text in ["espresso", "87.3 %", "ViT-B/32", "IMG_1.jpg", "2026-03-04 05:06", 'loading="lazy"']:
            self.assertContains(page, text)

    def test_it_says_what_has_no_label(self):
        upload_done("", None, status="failed")
        self.assertContains(self.client.get(LIST), ">failed</a>")

    def test_a_page_takes_as_many_queries_with_thirty_uploads_as_with_one(self):
        fill(1)
        one = self.queries(LIST)
        fill(29)
        thirty = self.queries(LIST)
        self.assertEqual(len(one), len(thirty))
        self.assertLessEqual(len(thirty), 9)

    def test_picture_bytes_are_never_loaded(self):
        fill(3)
        upload = Upload.objects.first()
        for address in [LIST, f"{LIST}?q=img", reverse("admin:classifier_upload_change", args=[upload.pk])]:
            for sql in self.queries(address):
                self.assertNotIn('"image"', sql)

    def test_search_finds_label_and_file_name(self):
        upload_done("Egyptian cat", name="IMG_7.jpg")
        upload_done("espresso", name="holiday.png")
        for text, found in [
            ("egypt", "IMG_7.jpg"),
            ("holi", "holiday.png"),
            ("img7", "IMG_7.jpg"),
            ("png espr", "holiday.png"),
        ]:
            with self.subTest(text):
                result = self.client.get(LIST, {"q": text}).context["cl"].result_list
                self.assertEqual([upload.name for upload in result], [found])
        self.assertEqual(len(self.client.get(LIST, {"q": "%"}).context["cl"].result_list), 0)

    def test_filters_offer_what_is_there_and_filter(self):
        upload_done("espresso", model="RN50")
        upload_done("espresso", model="ViT-B/32", label_set="my set")
        upload_done("", None, status="failed", model="ViT-B/32")
        page = self.client.get(LIST)
        for text in ["?model=RN50", "?model=ViT-B%2F32", "?label_set=my+set", "?status__exact=failed"]:
            self.assertContains(page, text)
        for query, number in [({"model": "RN50"}, 1), ({"status__exact": "failed"}, 1), ({"label_set": "my set"}, 1)]:
            with self.subTest(query):
                self.assertEqual(len(self.client.get(LIST, query).context["cl"].result_list), number)

    def test_it_filters_by_score(self):
        for score in (0.95, 0.9, 0.899, 0.5, 0.2, 0.19, None):
            upload_done("cup" if score else "", score, status="done" if score else "failed")
        page = self.client.get(LIST)
        for words in ("90 % and more", "50 to 90 %", "20 to 50 %", "under 20 %"):
            self.assertContains(page, words)
        for band, scores in (("90", [0.95, 0.9]), ("50", [0.899, 0.5]), ("20", [0.2]), ("0", [0.19])):
            with self.subTest(band):
                found = self.client.get(LIST, {"score": band}).context["cl"].result_list
                self.assertCountEqual([upload.top_score for upload in found], scores)
        self.assertEqual(len(self.client.get(LIST, {"score": "nonsense"}).context["cl"].result_list), 7)

    def test_the_index_lists_what_staff_work_with(self):
        page = self.client.get(reverse("admin:index"))
        self.assertContains(page, "Uploads")
        self.assertNotContains(page, "Task")

    def test_the_contact_sheet_searches_by_what_is_in_the_pictures(self):
        upload_done("cup")
        page = self.client.get(LIST, {"sheet": "1"})
        self.assertContains(page, f'action="{reverse("admin:classifier_upload_words")}"')
        self.assertContains(page, "What the pictures show")

    def test_what_visitors_said_is_shown_and_found(self):
        upload, _other = upload_done("cup", name="a.jpg"), upload_done("cup", name="b.jpg")
        uploads.feedback_create(upload=upload, label="espresso")
        self.assertContains(self.client.get(LIST), "espresso")
        self.assertEqual(list(self.client.get(LIST, {"feedback": "wrong"}).context["cl"].result_list), [upload])
        page = self.client.get(reverse("admin:classifier_upload_change", args=[upload.pk]))
        self.assertContains(page, "espresso")

    def test_the_calendar_leads_from_years_to_days(self):
        for created in [
            datetime(2025, 11, 30, tzinfo=UTC),
            datetime(2026, 2, 1, tzinfo=UTC),
            datetime(2026, 2, 3, tzinfo=UTC),
        ]:
            upload_done("espresso", created=created)

        def titles(**period):
            page = self.client.get(LIST, {f"created__{part}": number for part, number in period.items()})
            shown = page.context["cl"]
            return [choice["title"] for choice in shown.calendar["choices"]], len(shown.result_list)

        self.assertEqual(titles(), (["2025", "2026"], 3))
        self.assertEqual(titles(year=2025), (["November 2025", "December 2025"], 1))
        self.assertEqual(titles(year=2026), (["January 2026", "February 2026"], 2))
        self.assertEqual(titles(year=2026, month=2), (["February 1", "February 2", "February 3"], 2))
        self.assertEqual(titles(year=2026, month=2, day=3), (["February 3"], 1))
        self.assertEqual(self.client.get(LIST, {"created__year": "then"}).status_code, 302)

    def test_it_is_for_staff_who_may_see_uploads(self):
        self.limited()
        self.assertEqual(self.client.get(LIST).status_code, 403)
        self.assertEqual(self.client.get(reverse("admin:classifier_upload_summary")).status_code, 403)


class UploadPageTests(AdminTests):
    def test_it_shows_every_run_with_its_predictions(self):
        upload = upload_done("espresso", 0.873)
        failed = Classification.objects.create(upload=upload, status="failed", reason="Out of luck", model="RN50")
        page = self.client.get(reverse("admin:classifier_upload_change", args=[upload.pk]))
        for text in ["1. <strong>espresso</strong> 87.3 %, cosine 0.300", "Out of luck", failed.model]:
            self.assertContains(page, text)
        self.assertNotContains(page, 'name="_save"')
        self.assertNotContains(page, "<select")

    def test_a_run_with_many_labels_shows_the_likeliest(self):
        upload = upload_done("cup")
        Prediction.objects.bulk_create(
            Prediction(classification=upload.latest, rank=rank, label=f"label {rank}", score=0) for rank in range(6, 31)
        )
        page = self.client.get(reverse("admin:classifier_upload_change", args=[upload.pk]))
        self.assertContains(page, "10. <strong>label 10</strong> 0.0 %<br>and 20 more")

    def test_it_takes_as_many_queries_with_ten_runs_as_with_one(self):
        upload = upload_done("espresso")
        address = reverse("admin:classifier_upload_change", args=[upload.pk])
        one = self.queries(address)
        for _ in range(9):
            run = Classification.objects.create(upload=upload, status="done")
            Prediction.objects.create(classification=run, rank=1, label="cup", score=0.5)
        self.assertEqual(len(self.queries(address)), len(one))

    def test_it_classifies_again(self):
        upload = upload_done("cup", image=picture_to_jpeg(Image.new("RGB", (8, 6))))
        with serve("espresso"):
            page = self.client.post(reverse("admin:classifier_upload_classify", args=[upload.pk]), follow=True)
        self.assertContains(page, "Classified again: 1.")
        self.assertEqual(Upload.objects.get().top_label, "espresso")

    def test_only_who_may_change_uploads_classifies(self):
        upload = upload_done("cup")
        address = reverse("admin:classifier_upload_classify", args=[upload.pk])
        self.assertEqual(self.client.get(address).status_code, 405)
        self.limited("view_upload")
        self.assertEqual(self.client.post(address).status_code, 403)
        self.assertNotContains(self.client.get(LIST), "classify_again")
