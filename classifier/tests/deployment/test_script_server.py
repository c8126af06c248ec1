"""script/server, with all that it calls replaced: what it does where CLIP cannot be fetched."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.test import SimpleTestCase, override_settings

# Stands for Python: prepare_model ends as the file "status" says, the server tells what it would serve.
PYTHON = """#!/bin/bash
case "$*" in
  -c*) echo made-up-key ;;
  "manage.py prepare_model --status-only") exit "$(cat status)" ;;
  "-m heroku_clip") echo "serves ${CLIP_MODEL:-$(sed -n s/^CLIP_MODEL=//p .env)}" ;;
esac
"""


class ScriptServerTests(SimpleTestCase):
    def setUp(self):
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name, text in ((".venv/bin/python", PYTHON), ("script/setup", "#!/bin/sh\necho setup $1\n")):
            path = self.root / name
            path.parent.mkdir(parents=True)
            path.write_text(text)
            path.chmod(0o755)
        shutil.copy(settings.BASE_DIR / "script" / "server", self.root / "script")
        self.env = self.root / ".env"

    def start(self, status: int, **environment: str) -> str:
        (self.root / "status").write_text(str(status))
        clean = {name: value for name, value in os.environ.items() if name not in ("CLIP_MODEL", "SECRET_KEY")}
        done = subprocess.run(
            [self.root / "script" / "server"], env={**clean, **environment}, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_the_stand_in_is_kept_for_the_commands_that_follow(self):
        self.env.write_text("ALLOWED_HOSTS=a.example")
        told = self.start(3)
        self.assertIn("serves standin", told)
        self.assertIn("setup requirements-standin.txt", told)
        self.assertIn(".env keeps that", told)
        lines = self.env.read_text().splitlines()
        self.assertEqual(
            (lines[0], lines[1], lines[-1]), ("ALLOWED_HOSTS=a.example", "SECRET_KEY=made-up-key", "CLIP_MODEL=standin")
        )
        self.assertEqual(self.env.stat().st_mode & 0o777, 0o600)

    def test_the_next_start_tries_clip_again(self):
        self.start(3)
        first = self.env.read_text()
        self.start(3)
        self.assertEqual(self.env.read_text(), first)
        self.assertNotIn("stand-in", self.start(0))
        self.assertEqual(self.env.read_text(), "SECRET_KEY=made-up-key\n")
        self.assertEqual(self.env.stat().st_mode & 0o777, 0o600)

    def test_an_empty_key_counts_as_none(self):
        self.env.write_text("SECRET_KEY=\n")
        self.start(0)
        self.assertEqual(self.env.read_text(), "SECRET_KEY=\nSECRET_KEY=made-up-key\n")

    def test_what_somebody_wrote_into_it_stays(self):
        for model in ("standin", "RN50"):
            self.env.write_text(f"SECRET_KEY=mine\nCLIP_MODEL={model}\n")
            told = self.start(0)
            self.assertIn(f"serves {model}", told)
            self.assertEqual("setup requirements-standin.txt" in told, model == "standin")
            self.assertEqual(self.env.read_text(), f"SECRET_KEY=mine\nCLIP_MODEL={model}\n")


class StatusOnlyTests(SimpleTestCase):
    def test_of_a_failed_download_only_the_status_is_told(self):
        with (
            tempfile.TemporaryDirectory() as directory,
            override_settings(
                CLIP_MODEL="ViT-B/32", CLIP_MODEL_DIR=Path(directory), CLIP_WEIGHTS_URL="http://127.0.0.1:1/models"
            ),
            self.assertRaises(SystemExit) as caught,
        ):
            call_command("prepare_model", status_only=True)
        self.assertEqual(caught.exception.code, 3)
