"""Text that is none: NUL, which PostgreSQL refuses, and lone surrogates, which UTF-8 cannot spell."""

import json

from django.contrib.auth import get_user_model
from django.test import Client

from classifier.errors import LabelError
from classifier.models import Classification
from classifier.services import search
from classifier.tests.api.calls import UPLOADS, ZERO_SHOT, bearer, issue, small_jpeg
from classifier.tests.concurrency import ConcurrencyTestCase
from classifier.tests.people import staff
from classifier.tests.services.test_search import coloured

NOT_TEXT = ("a\0b", "a\ud800b", "\0", "\udfff")
SETS = "/api/v1/label-sets"


class NotTextTests(ConcurrencyTestCase):
    def setUp(self):
        super().setUp()
        api_key, token = issue()
        self.client = Client(headers=bearer(token), raise_request_exception=False)
        self.upload = coloured("red", api_key=api_key)
        self.made = self.send("post", SETS, {"name": "Colours", "labels": ["red", "blue"]}, 201)["id"]

    def send(self, method, path, body, status=422):
        sent = json.dumps(body)  # surrogates as \\ud800, which is JSON
        answer = getattr(self.client, method)(path, sent, content_type="application/json")
        self.assertEqual(answer.status_code, status, (path, body, answer.content[:300]))
        return answer.json()

    def test_labels_templates_and_names(self):
        relabel = f"{UPLOADS}/{self.upload.pk}/classifications"
        runs = Classification.objects.count()
        for bad in NOT_TEXT:
            with self.subTest(bad=bad):
                for labels in (["red", bad], f"red, {bad}"):
                    self.send("post", relabel, {"candidate_labels": labels})
                    self.send("post", SETS, {"name": "New", "labels": labels})
                    self.send("put", f"{SETS}/{self.made}", {"name": "Colours", "labels": labels})
                    parameters = {"candidate_labels": labels}
                    self.send("post", ZERO_SHOT, {"inputs": "AAAA", "parameters": parameters})
                own = {"candidate_labels": ["red", "blue"]}
                for template in (f"{{}} {bad}", bad):
                    self.send("post", relabel, {**own, "hypothesis_template": template})
                    self.send("post", SETS, {"name": "New", "labels": ["a", "b"], "templates": [template]})
                self.send("post", relabel, {"label_set": bad})
                self.send("post", SETS, {"name": bad, "labels": ["a", "b"]})
        self.assertEqual(Classification.objects.count(), runs)

    def test_fields_of_forms(self):
        for name in ("candidate_labels", "hypothesis_template", "label_set"):
            self.assertEqual(self.client.post(UPLOADS, {name: "a\0b", "image": b""}).status_code, 422)
        visitor = Client(raise_request_exception=False)
        for name in ("labels", "template", "label_set", "image"):
            self.assertEqual(visitor.post("/", {name: "a\0b"}).status_code, 422)

    def test_filters_and_searches_in_addresses(self):
        self.client = Client(raise_request_exception=False)
        user = staff("view_upload")
        get_user_model().objects.filter(pk=user.pk).update(is_superuser=True)
        self.client.force_login(user)
        for path in (
            "/history/?label=%00", "/history/search?q=a%00", "/?label_set=%00", "/?labels=%00",
            "/api/v1/search?q=%00", "/api/v1/uploads?cursor=%00", "/admin/classifier/upload/?q=%00",
            "/admin/classifier/upload/?model=%00", "/admin/classifier/labelset/?q=%00", "/admin/auth/user/?q=%00",
        ):  # fmt: skip
            answer = self.client.get(path)
            self.assertEqual(answer.status_code, 422, path)
            self.assertIn("NUL", answer.content.decode())

    def test_a_file_name(self):
        for name in ("a\0b.jpg", "\ud800.jpg"):
            with self.subTest(name=name):
                part = f'--x\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
                body = part.encode("utf-8", "surrogatepass") + small_jpeg() + b"\r\n--x--\r\n"
                answer = self.client.post(UPLOADS, body, content_type="multipart/form-data; boundary=x")
                self.assertIn(answer.status_code, (201, 422), answer.content)

    def test_what_a_command_is_given(self):
        for bad in NOT_TEXT:
            with self.assertRaises(LabelError):
                search.uploads_by_words(words=f"red {bad}", owner="me")
