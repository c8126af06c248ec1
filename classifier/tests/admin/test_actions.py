"""What staff can do with the uploads they selected."""

import csv
import io
import time
from unittest import mock

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from PIL import Image

from classifier.admin import actions
from classifier.errors import LabelSetNotReady, ModelUnavailable
from classifier.models import Classification, Prediction, Upload
from classifier.pictures.reading import picture_to_jpeg
from classifier.services import heads, label_sets, uploads
from classifier.tests import colour_engine
from classifier.tests.admin.test_uploads import AdminTests
from classifier.tests.services.test_uploads import png, serve
from classifier.tests.synthetic import fill, upload_done


class ActionTests(AdminTests):
    def make(self, *labels):
        jpeg = picture_to_jpeg(Image.new("RGB", (8, 6)))
        return [upload_done(label, image=jpeg) for label in labels]

    def test_classify_again_says_what_came_of_it(self):
        made = self.make("cup", "cup", "cup")
        fate = mock.Mock(side_effect=[None, RuntimeError("out of luck"), None])
        with serve("espresso", before=fate), self.assertLogs("classifier", "ERROR"):
            page = self.act("classify_again", *made)
        self.assertContains(page, "Classified again: 2.")
        self.assertContains(page, "Failed: 1. RuntimeError: out of luck")
        self.assertEqual(sorted(upload.top_label for upload in Upload.objects.all()), ["", "espresso", "espresso"])

    def test_classify_again_keeps_the_labels(self):
        with colour_engine.serve(colour_engine.ColourEngine()), self.captureOnCommitCallbacks(execute=True):
            green = label_sets.label_set_create(name="Greens", labels=("green", "black"), templates=("a {}",))
        own = heads.choice_of_labels(("yellow", "green", "white"), ("{} paint",))
        with colour_engine.serve(colour_engine.ColourEngine()):
            made = [
                uploads.upload_create(file=png(), name="a.png", owner="me", choice=choice)
                for choice in (heads.choice_of_set(green), own, heads.IMAGENET_CHOICE)
            ]
            self.act("classify_again", *made)
        for upload, labels in zip(
            made, [{"green", "black"}, {"yellow", "green", "white"}, {"red thing", "blue thing"}], strict=True
        ):
            newest, first = upload.classifications.all()
            self.assertEqual((newest.label_set, newest.templates), (first.label_set, first.templates))
            self.assertEqual({prediction.label for prediction in newest.predictions.all()}, labels)

    def test_classify_again_goes_on_where_one_set_is_not_ready(self):
        made = self.make("cup", "cup")
        refused = mock.patch("classifier.services.uploads.upload_classify", side_effect=LabelSetNotReady("Not ready."))
        with refused:
            self.assertContains(self.act("classify_again", *made), "Failed: 2. Not ready.")

    def test_classify_again_stops_without_a_model(self):
        made = self.make("cup", "cup")
        with mock.patch("classifier.services.engines.engine_get", side_effect=ModelUnavailable("Run prepare_model.")):
            page = self.act("classify_again", *made)
        self.assertContains(page, "Not classified again: 2, because Run prepare_model.")

    def test_classify_again_stops_in_time(self):
        made = self.make("cup", "cup", "cup")
        slow = serve("espresso", before=lambda: time.sleep(0.06))
        with slow, mock.patch.object(actions, "CLASSIFY_SECONDS", 0.05):
            page = self.act("classify_again", *made)
        self.assertContains(page, "Classified again: 1.")
        self.assertContains(page, "Not classified again: 2, because the 0.05 seconds of one go are over")

    def test_classify_again_takes_so_many_in_one_go(self):
        made = self.make("cup", "cup", "cup")
        with serve("espresso"), mock.patch.object(actions, "CLASSIFY_LIMIT", 2):
            page = self.act("classify_again", *made)
        self.assertContains(page, "Classified again: 2.")
        self.assertContains(page, "Not classified again: 1, because no more than 2 are in one go.")

    def export(self, *made):
        response = self.act("export_csv", *made)
        self.assertTrue(response.streaming)
        self.assertIn('attachment; filename="uploads-', response["Content-Disposition"])
        return list(csv.DictReader(io.StringIO(response.getvalue().decode("utf-8-sig"))))

    def test_the_selection_is_exported_with_its_predictions_and_feedback(self):
        chosen, _other = upload_done("cup", 0.5, name="Tasse ä.jpg"), upload_done("moped")
        uploads.feedback_create(upload=chosen, label="espresso")
        [row] = self.export(chosen)
        self.assertEqual((row["id"], row["file"], row["model"]), (str(chosen.pk), "Tasse ä.jpg", "ViT-B/32"))
        self.assertEqual((row["label_1"], row["score_1"], row["score_2"]), ("cup", "0.5", "0.25"))
        self.assertEqual(row["right_label"], "espresso")

    def test_no_cell_is_a_formula(self):
        names = ["=1+1", "+1", "-1", "@sum(a1)", "\t=1", " =1", "＝1+1"]
        made = [upload_done('=HYPERLINK("x")', name=name) for name in names] + [upload_done("", None, status="failed")]
        rows = self.export(*made)
        self.assertEqual(
            {row["file"] for row in rows}, {f"'{name}" for name in names if name != "\t=1"} | {"'\t'=1", "a.jpg"}
        )
        self.assertEqual({row["label_1"] for row in rows}, {'\'=HYPERLINK("x")', ""})

    def test_an_export_reads_no_picture_and_asks_no_more_for_more(self):
        def queries(*made):
            with CaptureQueriesContext(connection) as queries:
                self.export(*made)
            return [query["sql"] for query in queries]

        fill(30)
        one, thirty = queries(Upload.objects.first()), queries(*Upload.objects.all())
        self.assertEqual(len(one), len(thirty))
        self.assertFalse([sql for sql in thirty if '"image"' in sql])

    def test_delete_asks_first_and_goes_through_the_service(self):
        made = self.make("cup", "espresso")
        page = self.act("delete_selected", made[0])
        self.assertContains(page, "Are you sure")
        self.assertEqual(Upload.objects.count(), 2)
        some = mock.patch("classifier.services.uploads.uploads_delete", wraps=uploads.uploads_delete)
        one = mock.patch("classifier.services.uploads.upload_delete", wraps=uploads.upload_delete)
        with some as deleted_some, one as deleted_one:
            self.act("delete_selected", made[0], post="yes")
            self.client.post(reverse("admin:classifier_upload_delete", args=[made[1].pk]), {"post": "yes"})
        deleted_some.assert_called_once()
        deleted_one.assert_called_once()
        self.assertFalse(Upload.objects.exists() or Classification.objects.exists() or Prediction.objects.exists())

    def test_too_many_are_not_deleted(self):
        made = self.make("cup", "cup")
        with mock.patch.object(actions, "DELETE_LIMIT", 1):
            self.assertContains(self.act("delete_selected", *made, post="yes"), "Nothing was deleted")
        self.assertEqual(Upload.objects.count(), 2)

    def test_what_is_no_key_of_a_row_is_told(self):
        self.make("cup")
        for model, action in (("upload", "export_csv"), ("upload", "delete_selected"), ("labelset", "compute_again"),
                              ("labelset", "delete_selected"), ("apikey", "delete_selected")):  # fmt: skip
            for ticked in ("a\0b", "none"):
                with self.subTest(model=model, action=action, ticked=ticked):
                    page = self.client.post(
                        reverse(f"admin:classifier_{model}_changelist"),
                        {"action": action, "_selected_action": ticked},
                        follow=True,
                    )
                    self.assertContains(page, "choose rows of this list")
        self.assertEqual(Upload.objects.count(), 1)
