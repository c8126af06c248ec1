"""Hugging Face's way of asking; nothing is stored."""

import base64
import json
from unittest import mock

from django.test import override_settings

from classifier.models import Upload
from classifier.services import engines
from classifier.services.keys import KEY_PREFIX
from classifier.tests.api.calls import ZERO_SHOT, ApiTestCase, bearer, issue
from classifier.tests.photos import PHOTOS


@override_settings(CLIP_MODEL="standin")
class ZeroShotTests(ApiTestCase):
    def post(self, body: object, content_type: str = "application/json", **headers):
        return self.client.post(ZERO_SHOT, body, content_type=content_type, headers=headers)

    def assertEspresso(self, response, count: int = 5):
        self.assertEqual(response.status_code, 200, response.content)
        scores = response.json()
        self.assertEqual((len(scores), scores[0]["label"]), (count, "espresso"))
        self.assertEqual(set(scores[0]), {"label", "score"})

    def setUp(self):
        self.photo = (PHOTOS / "coffee.png").read_bytes()
        self.base64 = base64.b64encode(self.photo).decode()

    def test_base64(self):
        self.assertEspresso(self.post({"inputs": self.base64}))

    def test_nothing_is_stored(self):
        self.post({"inputs": self.base64})
        self.assertFalse(Upload.objects.exists())

    def test_a_data_url(self):
        self.assertEspresso(self.post({"inputs": f"data:image/png;base64,{self.base64}"}))

    def test_bytes(self):
        for kind in ("image/png", "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", ""):
            with self.subTest(kind):
                self.assertEspresso(self.post(self.photo, kind))

    def test_as_many_labels_as_asked_for(self):
        self.assertEspresso(self.post({"inputs": self.base64, "parameters": {"top_k": 12}}), 12)
        self.assertProblem(self.post({"inputs": "", "parameters": {"top_k": 0}}), 422, "invalid", "parameters.top_k")

    def test_hugging_faces_own_switches_mean_nothing_here(self):
        self.assertEspresso(self.post({"options": {"wait_for_model": True}, "inputs": self.base64, "parameters": {}}))

    def test_a_member_that_nobody_knows_is_refused_by_name(self):
        for name, body in (
            ("parameters.unheard_of", {"parameters": {"unheard_of": 1}}),
            ("labels", {"labels": ["cat", "dog"]}),
            ("parameters.candidate_label", {"parameters": {"candidate_label": "cat, dog"}}),
        ):
            with self.subTest(name):
                response = self.post({"inputs": self.base64, **body})
                self.assertProblem(response, 422, "invalid", f"{name}: no such member. Known are candidate_labels,")

    def test_a_query_parameter_that_nobody_knows_is_refused_by_name(self):
        response = self.client.post(f"{ZERO_SHOT}?candidate_labels=cat,dog", self.photo, content_type="image/png")
        self.assertProblem(response, 422, "invalid", "candidate_labels: no such query parameter.")
        response = self.client.get("/api/v1/uploads?limits=3", headers=bearer(issue()[1]))
        self.assertProblem(response, 422, "invalid", "limits: no such query parameter. Known are all, cursor, limit.")

    def test_labels_are_found_wherever_a_client_writes_them(self):
        for body in (
            {"inputs": self.base64, "parameters": {"candidate_labels": "cat, dog"}},
            {"image": self.base64, "parameters": {"candidate_labels": "cat,dog"}},
            {"inputs": {"image": self.base64, "candidateLabels": "cat,dog"}, "parameters": {}},
            {"inputs": self.base64, "candidate_labels": ["cat", "dog"]},
            {"candidateLabels": ["cat", "dog"], "image": self.base64},
        ):
            with self.subTest([*body]):  # which the stand-in has no text tower for
                self.assertProblem(self.post(body), 422, "text-unsupported", "need CLIP")

    def test_what_is_said_twice_is_refused(self):
        twice = {"candidate_labels": ["cat", "dog"]}
        response = self.post({"inputs": self.base64, **twice, "parameters": twice})
        self.assertProblem(response, 422, "invalid", "candidate_labels: this was said already, as parameters.candidate")
        response = self.post({"inputs": self.base64, "image": self.base64})
        self.assertEqual(response.status_code, 422)

    def test_json_that_does_not_say_so(self):
        body = json.dumps({"inputs": self.base64, "parameters": {"top_k": 7}})
        for kind in ("", "application/octet-stream", "application/x-www-form-urlencoded"):
            for text in (body, f"\n  {body}"):
                with self.subTest(kind):
                    self.assertEspresso(self.post(text, kind), 7)

    def test_labels_of_ones_own_need_clip(self):
        body = {"inputs": self.base64, "parameters": {"candidate_labels": ["cat", "dog"]}}
        self.assertProblem(self.post(body), 422, "text-unsupported", "need CLIP")

    def test_nothing_that_is_wrong_with_the_json_breaks_it(self):
        cases = [
            (b"", 422, "no-image"),  # taken for bytes, since the test client names no type then
            (b" ", 400, "bad-request"),
            (b"{", 400, "bad-request"),
            (b'{"inputs": "AAAA', 400, "bad-request"),
            (b'{"inputs": "AAAA" x}', 400, "bad-request"),
            (b'{"inputs": "AA\\q="}', 400, "bad-request"),
            (b"\xff\xfe", 400, "bad-request"),
            (b"[" * 100_000, 400, "bad-request"),
            (b"[]", 422, "invalid"),
            (b"null", 422, "invalid"),
            (b"{}", 422, "invalid"),
            (b'{"inputs": 1}', 422, "invalid"),
            (b'{"inputs": {"image": "AAAA"}}', 415, "unsupported-image"),
            (b'{"inputs": {"picture": "AAAA"}}', 422, "invalid"),
            (b'{"parameters": {"image": "AAAA"}, "inputs": ""}', 422, "invalid"),
            (b'{"parameters": {"inputs": "AAAA"}}', 422, "invalid"),
            (b'{"parameters": {"inputs": "AAAA"}, "inputs": "AAAA"}', 422, "invalid"),
            (b'{"inputs": "AAAA", "parameters": []}', 422, "invalid"),
            (b'{"inputs": "A=AA"}', 422, "invalid"),
            (b'{"inputs": "A"}', 422, "invalid"),
            ('{"inputs": "é"}'.encode(), 422, "invalid"),
            (b'{"inputs": "https://example.com/cat.jpg"}', 422, "invalid"),
            (b'{"inputs": "data:image/png,AAAA"}', 422, "invalid"),
            (b'{"inputs": ""}', 422, "no-image"),
            (b'{"inputs": "SGVsbG8gd29ybGQ="}', 415, "unsupported-image"),
            (b'{"x": "' + b"y" * 1_100_000 + b'"}', 413, "too-large"),
            (b'{"inputs": "AAAA", "x": "' + b"y" * 1_100_000 + b'"}', 413, "too-large"),
        ]
        for body, status, code in cases:
            with self.subTest(body[:80]):
                self.assertProblem(self.post(body), status, code)

    def test_other_content_types(self):
        for kind in ("text/plain", "multipart/form-data; boundary=b", "video/mp4"):
            self.assertProblem(self.post(b"x", kind), 415, "unsupported-media-type")

    @override_settings(MAX_UPLOAD_MB=0.1)
    def test_the_same_limit_counts_for_what_the_base64_holds(self):
        self.assertProblem(self.post({"inputs": self.base64}), 413, "too-large", "the limit is 0.1 MB")
        self.assertProblem(self.post(self.photo, "image/png"), 413, "too-large", "the limit is 0.1 MB")

    def test_hugging_faces_own_tokens_count_as_none(self):
        self.assertEspresso(self.post({"inputs": self.base64}, **bearer("hf_abcdef")))
        self.assertProblem(self.post({"inputs": self.base64}, **bearer(KEY_PREFIX)), 401, "unauthorized")
        self.assertEspresso(self.post({"inputs": self.base64}, **bearer(issue()[1])))

    def test_it_takes_one_query(self):
        engines.engine_get()
        with mock.patch("classifier.http.ratelimits.random.random", return_value=1.0), self.assertNumQueries(1):
            self.post({"inputs": self.base64})
