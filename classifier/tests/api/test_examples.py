"""The examples of docs/api.md, run word for word against a server; only its address, the key and the photo differ."""

import re
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.test import LiveServerTestCase, override_settings
from PIL import Image

from classifier.models import ApiKey, Upload
from classifier.services.keys import api_key_issue
from classifier.tests.api.calls import code_run
from classifier.tests.photos import PHOTOS

# Language of a fenced block -> how to run it, and the file name it needs.
RUNNERS = {
    "sh": (["bash", "-eu", "-o", "pipefail"], "example.sh"),
    "python": ([sys.executable], "example.py"),
    "js": (["node"], "example.mjs"),
}


@override_settings(CLIP_MODEL="standin")
class ExampleTests(LiveServerTestCase):
    def setUp(self):
        self.directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        with Image.open(PHOTOS / "coffee.png") as photo:
            photo.save(self.directory / "photo.jpg")
        self.api_key = ApiKey(name="example")
        self.token = api_key_issue(api_key=self.api_key)

    def examples(self) -> list[tuple[str, str]]:
        text = (settings.BASE_DIR / "docs" / "api.md").read_text()
        text = text.replace("http://127.0.0.1:8000", self.live_server_url).replace("clip_key_...", self.token)
        return re.findall(r"```(sh|python|js)\n(.*?)```", text, re.DOTALL)

    def run_example(self, language: str, code: str) -> str:
        command, name = RUNNERS[language]
        return code_run(self, command, self.directory / name, code)

    def test_each_runs_and_tells_what_is_in_the_photo(self):
        Upload.objects.create(api_key=self.api_key, name="a.jpg", format="JPEG", width=1, height=1, image=b"")
        examples = self.examples()
        self.assertEqual([language for language, _ in examples], ["sh", "sh", "sh", "python", "python", "js", "python"])
        for language, code in examples:
            with self.subTest(code):
                output = self.run_example(language, code)
                if "DELETE" in code:
                    self.assertEqual(output, "")
                else:
                    self.assertIn("/uploads/" if self.token in code else "espresso", output)
        # One each from curl, Python and JavaScript; the third of curl's was deleted again.
        self.assertEqual(Upload.objects.exclude(api_key=self.api_key).count(), 3)
