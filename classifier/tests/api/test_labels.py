"""Other labels and label sets through the API. The model is not the point: an engine of colours answers."""

import base64
import json
import uuid

from django.core.files.uploadedfile import SimpleUploadedFile

from classifier.models import Classification, LabelHead, LabelSet, Upload
from classifier.services import label_sets
from classifier.tests.api.calls import UPLOADS, ZERO_SHOT, bearer, issue, small_jpeg
from classifier.tests.colour_engine import MODEL, ColourTestCase

LABEL_SETS, SEARCH = "/api/v1/label-sets", "/api/v1/search"


class LabelsTestCase(ColourTestCase):
    def setUp(self):
        super().setUp()
        self.api_key, token = issue()
        self.headers = bearer(token)

    def send(self, method, path, body=None, status=200, headers=None):
        """A JSON request with the API key; the answer's JSON."""
        with self.captureOnCommitCallbacks(execute=True):
            response = getattr(self.client, method)(
                path,
                *([json.dumps(body)] if body is not None else []),
                content_type="application/json",
                headers=self.headers if headers is None else headers,
            )
        self.assertEqual(response.status_code, status, response.content)
        return response.json() if response.content else None

    def upload(self, colour="red", status=201, headers=None, **fields):
        file = SimpleUploadedFile("a.jpg", small_jpeg(colour))
        response = self.client.post(
            UPLOADS, {"image": file, **fields}, headers=self.headers if headers is None else headers
        )
        self.assertEqual(response.status_code, status, response.content)
        return response.json()

    def save_set(self, name="Colours", labels=("red", "blue", "white")):
        with self.captureOnCommitCallbacks(execute=True):
            return label_sets.label_set_create(name=name, labels=labels, templates=("{}",))


class UploadTests(LabelsTestCase):
    def test_labels_come_with_the_picture(self):
        for given in ("blue, red,white", "blue\nred\nwhite", ["blue", "red", "white"]):
            with self.subTest(given=given):
                record = self.upload(candidate_labels=given, hypothesis_template="one {} thing")
                self.assertEqual(record["label_set"], "custom")
                self.assertEqual(record["predictions"][0]["label"], "red")
                self.assertEqual(len(record["predictions"]), 3)
                self.assertAlmostEqual(sum(p["score"] for p in record["predictions"]), 1, places=5)
                self.assertEqual(Classification.objects.first().templates, "one {} thing")
        self.assertIn("one red thing", self.engine.texts_seen)

    def test_without_a_template_hugging_faces_is_filled(self):
        self.upload(candidate_labels="blue,red")
        self.assertEqual(self.engine.texts_seen, ["This is a photo of blue.", "This is a photo of red."])

    def test_a_saved_set_is_named(self):
        self.save_set()
        record = self.upload(label_set="colours")
        self.assertEqual((record["label_set"], record["predictions"][0]["label"]), ("Colours", "red"))
        self.assertEqual(self.upload(label_set="imagenet")["predictions"][0]["label"], "red thing")

    def test_labels_that_cannot_be_used_are_refused_and_nothing_is_stored(self):
        cases = [
            ({"candidate_labels": "red"}, "Give 2 to 100 labels; there are 1."),
            ({"candidate_labels": "red,red"}, "Label 2 (“red”) repeats label 1."),
            ({"candidate_labels": "red,blue", "hypothesis_template": "x"}, "has no {}"),
            ({"candidate_labels": "red,blue", "label_set": "Colours"}, "not both"),
            ({"hypothesis_template": "{}"}, "needs labels of your own"),
            ({"label_set": "nothing"}, "There is no label set named “nothing”."),
        ]
        for fields, detail in cases:
            with self.subTest(fields=fields):
                problem = self.upload(status=422, **fields)
                self.assertEqual(problem["type"], "/api/v1/docs#bad-labels")
                self.assertIn(detail, problem["detail"])
        self.assertFalse(Upload.objects.exists())

    def test_a_set_that_is_not_ready_says_how_far_it_is(self):
        label_set = self.save_set()
        LabelHead.objects.update(state="building", done=1, total=4, digest=label_set.digest)
        problem = self.upload(status=409, label_set="Colours")
        self.assertEqual(problem["type"], "/api/v1/docs#label-set-not-ready")
        self.assertIn("25 % done", problem["detail"])
        self.assertFalse(Upload.objects.exists())

    def test_other_labels_are_another_request_to_an_idempotency_key(self):
        headers = {**self.headers, "Idempotency-Key": "k"}
        first = self.upload(headers=headers, candidate_labels="red,blue")
        self.assertEqual(self.upload(headers=headers, candidate_labels="red,blue")["id"], first["id"])
        self.upload(status=422, headers=headers, candidate_labels="red,white")


class HuggingFaceTests(LabelsTestCase):
    def classify(self, parameters, status=200):
        body = {"inputs": base64.b64encode(small_jpeg("blue")).decode(), "parameters": parameters}
        return self.send("post", ZERO_SHOT, body, status)

    def test_it_ranks_every_candidate_label(self):
        for given in (["red", "blue", "a, b"], "red, blue,a"):
            answer = self.classify({"candidate_labels": given})
            self.assertEqual((answer[0]["label"], len(answer)), ("blue", 3))
            self.assertAlmostEqual(sum(each["score"] for each in answer), 1, places=5)
        self.assertFalse(Upload.objects.exists())

    def test_it_fills_the_hypothesis_template(self):
        self.classify({"candidate_labels": ["red", "blue"], "hypothesis_template": "art of {}"})
        self.assertEqual(self.engine.texts_seen, ["art of red", "art of blue"])

    def test_what_is_wrong_with_labels_is_told(self):
        problem = self.classify({"candidate_labels": ["red"]}, 422)
        self.assertIn("Give 2 to 100 labels", problem["detail"])
        self.classify({"candidate_labels": ["red", 3]}, 422)


class RelabelTests(LabelsTestCase):
    def setUp(self):
        super().setUp()
        self.record = self.upload()
        self.path = f"{UPLOADS}/{self.record['id']}/classifications"

    def test_other_labels_are_tried_without_sending_the_picture_again(self):
        seen = self.engine.pictures_seen
        record = self.send("post", self.path, {"candidate_labels": ["blue", "red"]}, 201)
        self.assertEqual((record["id"], record["label_set"]), (self.record["id"], "custom"))
        self.assertEqual(record["predictions"][0]["label"], "red")
        self.assertEqual(self.engine.pictures_seen, seen)

    def test_the_secret_may_and_others_may_not(self):
        body = {"candidate_labels": "blue,red"}
        self.send("post", self.path, body, 201, headers=bearer(self.record["secret"]))
        self.send("post", self.path, body, 401, headers={})
        self.send("post", self.path, body, 403, headers=bearer(issue("other")[1]))
        self.send("post", f"{UPLOADS}/{uuid.uuid4()}/classifications", body, 404)

    def test_what_is_wrong_is_told(self):
        self.assertIn("there are 1", self.send("post", self.path, {"candidate_labels": ["x"]}, 422)["detail"])
        for body in ({"candidate_labels": 3}, [None, None], "red,blue", 3):
            self.send("post", self.path, body, 422)
        self.assertEqual(Classification.objects.count(), 1)


class LabelSetTests(LabelsTestCase):
    BODY = {"name": "Colours", "labels": ["red", "blue"], "templates": ["a {}", "one {}"]}

    def test_it_is_made_read_changed_and_deleted(self):
        made = self.send("post", LABEL_SETS, self.BODY, 201)
        self.assertEqual(made["labels"], ["red", "blue"])
        path = f"{LABEL_SETS}/{made['id']}"
        read = self.send("get", path, headers={})
        self.assertEqual((read["state"], read["done"], read["total"]), ("ready", 4, 4))
        changed = self.send("put", path, {**self.BODY, "labels": "red\nblue\nwhite"})
        self.assertEqual((changed["labels"], changed["id"]), (["red", "blue", "white"], made["id"]))
        (listed,) = self.send("get", LABEL_SETS, headers={})["items"]
        self.assertEqual((listed["name"], listed["state"], listed["total"]), ("Colours", "ready", 6))
        self.assertNotIn("labels", listed)
        self.send("delete", path, status=204)
        self.send("get", path, status=404)

    def test_templates_may_be_left_out(self):
        made = self.send("post", LABEL_SETS, {"name": "x", "labels": "red, blue"}, 201)
        self.assertEqual((made["labels"], made["templates"]), (["red", "blue"], ["This is a photo of {}."]))

    def test_it_takes_a_key_to_change_one(self):
        made = self.send("post", LABEL_SETS, self.BODY, 201)
        path = f"{LABEL_SETS}/{made['id']}"
        self.send("post", LABEL_SETS, {**self.BODY, "name": "y"}, 401, headers={})
        self.send("put", path, self.BODY, 401, headers={})
        self.send("delete", path, status=401, headers={})
        self.assertEqual(LabelSet.objects.count(), 1)

    def test_what_is_wrong_is_told(self):
        for wrong, detail in (
            ({"labels": ["red", "red"]}, "repeats"),
            ({"labels": ["red"]}, "Give 2 to 5,000 labels"),
            ({"templates": ["none"]}, "has no {}"),
            ({"name": "ImageNet"}, "built in"),
            ({"name": ""}, "Give the label set a name"),
        ):
            with self.subTest(wrong=wrong):
                problem = self.send("post", LABEL_SETS, {**self.BODY, **wrong}, 422)
                self.assertEqual(problem["type"], "/api/v1/docs#bad-labels")
                self.assertIn(detail, problem["detail"])
        self.send("put", f"{LABEL_SETS}/{2**70}", self.BODY, 404)

    def test_a_key_changes_the_sets_that_it_made_and_no_others(self):
        made = self.send("post", LABEL_SETS, self.BODY, 201)
        theirs = label_sets.label_set_create(name="Staff's", labels=("red", "blue"), templates=("{}",))
        other = bearer(issue("other")[1])
        for headers, pk in ((other, made["id"]), (self.headers, theirs.pk)):
            path = f"{LABEL_SETS}/{pk}"
            for answer in (
                self.client.delete(path, headers=headers),
                self.client.put(path, self.BODY, content_type="application/json", headers=headers),
            ):
                self.assertEqual(answer.status_code, 403, answer.content)
        self.assertEqual(LabelSet.objects.count(), 2)
        self.assertEqual(self.client.get(f"{LABEL_SETS}/{theirs.pk}", headers=other).status_code, 200)
        self.assertEqual(self.client.delete(f"{LABEL_SETS}/{made['id']}", headers=self.headers).status_code, 204)

    def test_every_label_set_is_one_model_s(self):
        self.send("post", LABEL_SETS, self.BODY, 201)
        self.assertEqual(LabelHead.objects.get().weights_sha256, MODEL.weights_sha256)


class SquareTests(LabelsTestCase):
    def test_a_square_is_ranked_kept_and_listed(self):
        made = self.upload("red")
        self.assertIsNone(made["square"])
        path = f"{UPLOADS}/{made['id']}/classifications"
        body = {"candidate_labels": ["red", "blue"], "square": {"x": -5, "y": 0, "side": 10}}
        record = self.send("post", path, body, status=201)
        self.assertEqual(record["square"], {"x": 0, "y": 0, "side": 10})
        self.assertEqual(self.send("get", f"{UPLOADS}/{made['id']}")["square"], record["square"])
        runs = self.send("get", path)["items"]
        self.assertEqual([run["square"] for run in runs], [record["square"], None])
        self.assertEqual([len(run["predictions"]) for run in runs], [2, 2])
        self.assertEqual([run["label_set"] for run in runs], ["custom", "imagenet"])

    def test_what_is_no_square_is_refused(self):
        path = f"{UPLOADS}/{self.upload('red')['id']}/classifications"
        wrong = [{"x": x, "y": 0, "side": 5} for x in ("a", True, 1.5, None)]
        for square in ({"x": 0, "y": 0}, {"x": 0, "y": 0, "side": 0}, *wrong, [0, 0, 5]):
            with self.subTest(square):
                self.send("post", path, {"candidate_labels": "red, blue", "square": square}, status=422)

    def test_rankings_are_for_whoever_made_the_upload(self):
        made = self.upload("red")
        path = f"{UPLOADS}/{made['id']}/classifications"
        self.send("get", path, status=401, headers={})
        self.send("get", path, status=403, headers=bearer(issue("other")[1]))
        self.assertEqual(len(self.send("get", path, headers=bearer(made["secret"]))["items"]), 1)
        self.send("get", f"{UPLOADS}/{uuid.uuid4()}/classifications", status=404)
