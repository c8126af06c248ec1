"""The running API against its own description, with requests that schemathesis makes up, sound ones and others."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.test import LiveServerTestCase, override_settings

from classifier.models import ApiKey
from classifier.services.archives import Given
from classifier.services.batches import batch_create
from classifier.services.keys import api_key_issue
from classifier.services.label_sets import label_set_create
from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.photos import plain
from classifier.tests.services.test_search import coloured

OPTIONS = [
    "--checks=all",
    # JSON Schema cannot say that bytes must be a picture, so there are sound requests that are refused.
    "--exclude-checks=positive_data_acceptance",
    "--max-examples=15",
    "--seed=1",
    "--generation-database=none",
    "--request-timeout=10",
    "--suppress-health-check=all",
    "--no-color",
    "--report=json",
]


@override_settings(RATE_LIMIT_PER_MINUTE=0, RATE_LIMIT_KEY_PER_MINUTE=0)
class SchemaTests(LiveServerTestCase):
    def test_no_answer_is_a_5xx_or_differs_from_the_description(self):
        api_key = ApiKey(name="schemathesis")
        token = api_key_issue(api_key=api_key)
        upload = coloured("red", owner="", api_key=api_key)
        label_set = label_set_create(name="Colours", labels=("red", "blue"), templates=("{}",), api_key=api_key)
        batch = batch_create(pictures=[Given("red.png", plain("PNG"))], owner="", api_key=api_key)
        with serve(ColourEngine()), tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "report.json"
            command = [sys.executable, "-m", "schemathesis.cli", "run", f"{self.live_server_url}/api/v1/openapi.json"]
            run = subprocess.run(
                [*command, *OPTIONS, f"--report-json-path={report}", f"--header=Authorization:Bearer {token}"],
                env={
                    **os.environ,
                    "SCHEMATHESIS_HOOKS": "classifier.tests.schemathesis_hooks",
                    "PYTHONPATH": str(settings.BASE_DIR),
                    "KNOWN_IDS": json.dumps(
                        {"upload_id": str(upload.pk), "label_set_id": label_set.pk, "batch_id": str(batch.pk)}
                    ),
                },
                cwd=directory,  # where it keeps notes of its own
                capture_output=True,
                text=True,
                timeout=300,
            )
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            rates = json.loads(report.read_text())["valid_rates"]
        # It got through to the work itself, and not only to refusals.
        self.assertEqual(len(rates), 19)
        for operation, rate in rates.items():
            self.assertGreater(rate["fuzzing"]["accepted"], 0, operation)
