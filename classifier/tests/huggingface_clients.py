"""Clients of Hugging Face that others have installed; `script/huggingface-clients` runs this.

They say the same thing in four ways: `image` for `inputs` (0.23), both of them (0.26), JSON that is not called JSON
(0.29 to 0.34), JSON (from 1 on).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from classifier.tests import tiny_clip
from classifier.tests.serving import ServerTestCase
from classifier.tests.tiny_server import FEW_PROMPTS, prepared

LABELS = ["a blue square", "a red circle", "a green star"]

# What runs in the client's own environment: each way of asking, and what came back. Prints JSON.
ASK = """
import asyncio, json, sys, warnings
warnings.simplefilter("ignore")
import huggingface_hub
from huggingface_hub import AsyncInferenceClient, InferenceClient

address, path, labels = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
data = open(path, "rb").read()
listed = lambda answer: [[each.label, each.score] for each in answer]
client, later = InferenceClient(model=address), AsyncInferenceClient(model=address)
answers = {
    "zero-shot, a file": lambda: client.zero_shot_image_classification(path, labels),
    "zero-shot, bytes": lambda: client.zero_shot_image_classification(data, labels),
    "zero-shot, asyncio": lambda: asyncio.run(later.zero_shot_image_classification(data, labels)),
    "ImageNet, bytes": lambda: client.image_classification(data),
    "ImageNet, a file": lambda: client.image_classification(path),
}
if tuple(map(int, huggingface_hub.__version__.split(".")[:2])) >= (0, 25):
    template = {"hypothesis_template": "a picture of {}"}
    answers["zero-shot, a template"] = lambda: client.zero_shot_image_classification(data, labels, **template)
    answers["ImageNet, seven"] = lambda: client.image_classification(data, top_k=7)
print(json.dumps({"version": huggingface_hub.__version__, **{name: listed(ask()) for name, ask in answers.items()}}))
"""


class ClientTests(ServerTestCase):
    """Against gunicorn: Django's test server calls text what comes without a type."""

    @classmethod
    def setUpClass(cls):
        with FEW_PROMPTS:
            cls.server_environment = {name: str(value) for name, value in prepared("fp32").items()}
        super().setUpClass()

    def environment_make(self, version: str) -> Path:
        """A new environment with that version; its Python."""
        directory = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="huggingface-")))
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        package = "huggingface_hub" if version == "latest" else f"huggingface_hub=={version}"
        python = directory / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", package, "aiohttp", "requests"], check=True)
        return python

    def test_each_version_gets_the_answer_to_its_question(self):
        picture = Path(self.enterContext(tempfile.TemporaryDirectory())) / "circle.png"
        tiny_clip.draw("red", "circle").save(picture)
        address = f"http://127.0.0.1:{self.server.port}/api/v1/zero-shot-image-classification"
        for version in os.environ["HUGGINGFACE_VERSIONS"].split():
            with self.subTest(version):
                command = [self.environment_make(version), "-c", ASK, address, picture, json.dumps(LABELS)]
                environment = {**os.environ, "HF_TOKEN": "hf_somebodys_own", "HF_HUB_OFFLINE": "0"}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
                self.assertEqual(done.returncode, 0, done.stderr[-2000:])
                answers = json.loads(done.stdout)
                name = answers.pop("version")
                for question, answer in answers.items():
                    with self.subTest(question):
                        self.assertAnswers(question, answer)
                print(f"huggingface_hub {name}: {len(answers)} questions answered", file=sys.stderr)

    def assertAnswers(self, question: str, answer: list) -> None:
        labels = [label for label, _ in answer]
        if question.startswith("zero-shot"):
            self.assertEqual((labels[0], sorted(labels)), ("a red circle", sorted(LABELS)))
            self.assertGreater(answer[0][1], 0.9)
        else:
            self.assertEqual(len(answer), 7 if "seven" in question else 5)
            self.assertNotIn("a red circle", labels)
