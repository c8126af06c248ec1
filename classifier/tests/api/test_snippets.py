"""The code that the documentation shows for each operation, run as it stands; only ids, keys and the photo differ."""

import json
import sys
import tempfile
import zipfile
from pathlib import Path

from django.test import LiveServerTestCase
from django.urls import reverse

from classifier.api.docs import operations_of
from classifier.api.v1 import api
from classifier.models import ApiKey, LabelSet, Upload
from classifier.services.keys import api_key_issue
from classifier.services.label_sets import label_set_create
from classifier.tests.api.calls import code_run
from classifier.tests.photos import encoded, photo
from classifier.tests.tiny_server import tiny_server

# Language -> how to run it, and the file name it needs.
RUNNERS = {
    "curl": (["bash", "-eu", "-o", "pipefail"], "example.sh"),
    "Python": ([sys.executable], "example.py"),
    "JavaScript": (["node"], "example.mjs"),
}


class SnippetTests(LiveServerTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(tiny_server())

    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.directory / "photo.jpg").write_bytes(encoded(photo("coffee.png"), "JPEG"))
        with zipfile.ZipFile(self.directory / "photos.zip", "w") as archive:
            archive.write(self.directory / "photo.jpg", "photo.jpg")
        self.api_key = ApiKey(name="robot")
        self.token = api_key_issue(api_key=self.api_key)

    def send(self, path: str, field: str, name: str) -> dict:
        with open(self.directory / name, "rb") as file:
            headers = {"Authorization": f"Bearer {self.token}"}
            return self.client.post(f"/api/v1/{path}", {field: file}, headers=headers).json()

    def code_of(self, operation: dict, language: str) -> str:
        """With what it names in place: something new each time, for it may be deleted."""
        code = next(each["code"] for each in operation["snippets"] if each["language"] == language)
        if "{upload_id}" in operation["path"]:
            upload = self.send("uploads", "image", "photo.jpg")
            code = code.replace("/ID", f"/{upload['id']}").replace("SECRET", upload["secret"])
        elif "{batch_id}" in operation["path"]:
            code = code.replace("/ID", f"/{self.send('batches', 'images', 'photo.jpg')['id']}")
        LabelSet.objects.all().delete()
        if "{label_set_id}" in operation["path"]:
            made = label_set_create(name="Old", labels=("cat", "dog"), templates=("{}",), api_key=self.api_key)
            code = code.replace("/ID", f"/{made.pk}")
        return code.replace("Bearer KEY", f"Bearer {self.token}")

    def run_code(self, language: str, code: str) -> str:
        command, name = RUNNERS[language]
        return code_run(self, command, self.directory / name, code)

    def check(self, language: str) -> None:
        request = self.client.get(reverse("api:openapi-json")).wsgi_request
        request.META.update(SERVER_NAME=self.server_thread.host, SERVER_PORT=str(self.server_thread.port))
        operations = operations_of(request, api.get_openapi_schema())
        self.assertGreater(len(operations), 15)
        for operation in operations:
            code = self.code_of(operation, language)
            with self.subTest(operation["id"], code=code):
                told = self.run_code(language, code)
                self.assertNotRegex(told, r"problem|about:blank|status.{1,4}[45]\d\d|\b[45]\d\d\b.?$")
                if operation["method"] == "DELETE":
                    self.assertEqual(told.strip(), "" if language == "curl" else "204")
                elif language == "curl":
                    json.loads(told)
                else:
                    self.assertGreater(len(told), 10)

    def test_curl(self):
        self.check("curl")

    def test_python(self):
        self.check("Python")

    def test_javascript(self):
        self.check("JavaScript")

    def test_what_is_deleted_is_gone(self):
        request = self.client.get("/").wsgi_request
        request.META.update(SERVER_NAME=self.server_thread.host, SERVER_PORT=str(self.server_thread.port))
        operations = {each["id"]: each for each in operations_of(request, api.get_openapi_schema())}
        self.run_code("curl", self.code_of(operations["upload_delete"], "curl"))
        self.assertFalse(Upload.objects.exists())
