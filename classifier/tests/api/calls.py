"""What the tests of the REST API call it with."""

import shutil
import subprocess
from pathlib import Path

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, TestCase

from classifier.models import ApiKey
from classifier.services.keys import api_key_issue
from classifier.tests.photos import PHOTOS, plain
from classifier.tests.services.test_uploads import use_engine

UPLOADS = "/api/v1/uploads"
ZERO_SHOT = "/api/v1/zero-shot-image-classification"


def photo(name: str = "coffee.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, (PHOTOS / name).read_bytes(), content_type="image/png")


def small_jpeg(colour: str = "red") -> bytes:
    return plain("JPEG", colour)


def bearer(token: str) -> dict:
    return {"Authorization": f"Bearer {token}"}


def issue(name: str = "robot", **fields) -> tuple[ApiKey, str]:
    api_key = ApiKey(name=name, **fields)
    return api_key, api_key_issue(api_key=api_key)


class ApiTestCase(TestCase):
    """A fixed answer from the model, except where real labels are the point."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not cls._overridden_settings:
            cls.enterClassContext(use_engine())

    def create(self, *, client: Client | None = None, file=None, status: int = 201, **headers) -> dict:
        response = (client or self.client).post(
            UPLOADS, {"image": file or SimpleUploadedFile("a.jpg", small_jpeg())}, headers=headers
        )
        self.assertEqual(response.status_code, status, response.content)
        return response.json()

    def assertProblem(self, response, status: int, code: str, detail: str = "") -> dict:
        self.assertEqual(response.status_code, status, response.content)
        self.assertEqual(response["Content-Type"], "application/problem+json")
        problem = response.json()
        self.assertEqual((problem["status"], problem["type"]), (status, f"/api/v1/docs#{code}"))
        self.assertTrue(problem["title"])
        self.assertIn(detail, problem["detail"])
        return problem


def code_run(test: TestCase, command: list[str], path: Path, code: str) -> str:
    """What code that is shown to people prints; it has to end well. Skips the test where nothing can run it."""
    if shutil.which(command[0]) is None:
        test.skipTest(f"{command[0]} is not installed")
    path.write_text(code)
    run = subprocess.run([*command, path.name], cwd=path.parent, capture_output=True, text=True, timeout=60)
    test.assertEqual(run.returncode, 0, f"{code}\n{run.stdout}\n{run.stderr}")
    return run.stdout
