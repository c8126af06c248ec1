"""What is wrong at start is said before it happens, with what to do."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

from django.conf import settings
from django.test import SimpleTestCase, override_settings

from classifier import checks
from classifier.engine.checkpoint import MODELS

ROOT = Path(__file__).parents[2]


class ChecksTests(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(self.settings(CLIP_MODEL_DIR=self.folder / "model", CLIP_MODEL="ViT-B/32"))
        self.enterContext(mock.patch.object(sys, "argv", ["manage.py", "check"]))

    def found(self, check, **changed):
        with self.settings(**changed):
            return [(message.id, message.msg, message.hint) for message in check()]

    def ids(self, check, **changed):
        return [identifier for identifier, _, _ in self.found(check, **changed)]


class ProxyCheckTests(ChecksTests):
    def test_a_redirect_to_https_needs_a_proxy_that_is_believed(self):
        for proxies, expected in ((0, ["classifier.E005"]), (1, [])):
            with self.subTest(proxies=proxies):
                changed = {"SECURE_SSL_REDIRECT": True, "TRUSTED_PROXIES": proxies, "SECURE_PROXY_SSL_HEADER": None}
                self.assertEqual(self.ids(checks.proxy_check, **changed), expected)


class ModelChecksTests(ChecksTests):
    def test_the_standin_is_an_error_in_production_only(self):
        for on_heroku, debug, expected in [(True, False, ["classifier.E001"]), (True, True, []), (False, False, [])]:
            with self.subTest(on_heroku=on_heroku, debug=debug):
                changed = {"CLIP_MODEL": "standin", "ON_HEROKU": on_heroku, "DEBUG": debug}
                self.assertEqual(self.ids(checks.model_name_check, **changed), expected)

    def test_openais_models_and_files_are_known(self):
        checkpoint = self.folder / "mine.pt"
        checkpoint.touch()
        for name in [*MODELS, str(checkpoint)]:
            with self.subTest(name):
                self.assertEqual(self.ids(checks.model_name_check, CLIP_MODEL=name), [])

    def test_a_file_that_was_converted_may_be_gone(self):
        gone = str(self.folder / "gone.pt")
        self.assertEqual(self.ids(checks.model_name_check, CLIP_MODEL=gone), ["classifier.E002"])
        manifest = self.folder / "model" / "local-gone" / "manifest.json"
        manifest.parent.mkdir(parents=True)
        for named, expected in ((gone, []), ("/elsewhere/gone.pt", ["classifier.E002"])):
            manifest.write_text(json.dumps({"source": {"named": named, "sha256": "0" * 64}}))
            self.assertEqual(self.ids(checks.model_name_check, CLIP_MODEL=gone), expected)

    def test_an_unknown_model_gets_the_nearest_name(self):
        [(_, message, hint)] = self.found(checks.model_name_check, CLIP_MODEL="vit-b/32")
        self.assertIn("'vit-b/32'", message)
        self.assertEqual(hint, "Did you mean ViT-B/32?")
        [(_, _, hint)] = self.found(checks.model_name_check, CLIP_MODEL="elephant")
        self.assertIn("RN50, RN101", hint)

    def test_unknown_precision_and_address_are_errors(self):
        wrong = {"CLIP_PRECISION": "int4", "CLIP_WEIGHTS_URL": "ftp://x"}
        self.assertEqual(self.ids(checks.model_options_check, **wrong), ["classifier.E003", "classifier.E004"])
        self.assertEqual(self.ids(checks.model_options_check, CLIP_ACTIVATION="gelu"), ["classifier.E005"])
        for precision in ["auto", "fp32", "fp16", "int8"]:
            self.assertEqual(self.ids(checks.model_options_check, CLIP_PRECISION=precision), [])

    def test_a_model_that_is_not_prepared_is_a_warning(self):
        [(identifier, message, hint)] = self.found(checks.model_prepared_check)
        self.assertEqual(identifier, "classifier.W001")
        self.assertEqual(message, "The model ViT-B/32 is not prepared.")
        self.assertEqual(hint, "Run: python manage.py prepare_model")

    def test_a_damaged_model_is_a_warning(self):
        (self.folder / "model" / "ViT-B-32").mkdir(parents=True)
        (self.folder / "model" / "ViT-B-32" / "manifest.json").write_text("{")
        [(_, message, _)] = self.found(checks.model_prepared_check)
        self.assertIn("is damaged", message)

    def test_a_prepared_model_is_well(self):
        with mock.patch("classifier.engine.artifact.manifest_read"):
            self.assertEqual(self.ids(checks.model_prepared_check), [])

    def test_a_wrong_name_is_told_once(self):
        self.assertEqual(self.ids(checks.model_prepared_check, CLIP_MODEL="elephant"), [])

    def test_the_command_that_prepares_is_not_told_to(self):
        with mock.patch.object(sys, "argv", ["manage.py", "prepare_model"]):
            self.assertEqual(self.ids(checks.model_prepared_check), [])

    def test_a_directory_that_cannot_be_written_is_a_warning(self):
        (self.folder / "model").touch()
        self.assertEqual(self.ids(checks.model_prepared_check), ["classifier.W001", "classifier.W002"])

    def test_a_standin_that_is_not_installed_is_a_warning(self):
        changed = {"CLIP_MODEL": "standin", "ON_HEROKU": False}
        self.assertEqual(self.ids(checks.model_prepared_check, **changed), [])
        with mock.patch.object(checks, "find_spec", return_value=None):
            self.assertEqual(self.ids(checks.model_prepared_check, **changed), ["classifier.W001"])


class DeploymentChecksTests(ChecksTests):
    def test_sqlite_on_a_dyno_is_a_warning(self):
        sqlite = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
        for databases, on_heroku, expected in [
            (sqlite, True, ["classifier.W003"]),
            (sqlite, False, []),
            ({"default": {"ENGINE": "heroku_clip.postgres"}}, True, []),
        ]:
            with self.subTest(databases, on_heroku=on_heroku), mock.patch.object(settings, "DATABASES", databases):
                self.assertEqual(self.ids(checks.database_check, ON_HEROKU=on_heroku), expected)

    def test_static_files_that_were_not_collected_are_a_warning(self):
        hashed = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}
        with override_settings(STORAGES={**settings.STORAGES, **hashed}, STATIC_ROOT=self.folder, DEBUG=False):
            self.assertEqual(self.ids(checks.static_files_check), ["classifier.W004"])
            (self.folder / "staticfiles.json").write_text('{"version": "1.1", "paths": {}, "hash": ""}')
            self.assertEqual(self.ids(checks.static_files_check), [])
        self.assertEqual(self.ids(checks.static_files_check), [])

    def python(self, *arguments, **environment):
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        return subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True
        )

    def production(self, **changed):
        return {
            "DYNO": "web.1",
            "DEBUG": "0",
            "SECRET_KEY": "0123456789 is not long enough, but this sentence is.",
            "DATABASE_URL": "postgres://nobody@localhost/nothing",
            "CLIP_MODEL_DIR": str(self.folder),
            **changed,
        }

    def test_a_deployment_lacks_nothing_but_what_a_build_makes(self):
        done = self.python("manage.py", "check", "--deploy", **self.production())
        self.assertEqual(done.returncode, 0, done.stderr)
        told = {part.split(")")[0] for part in done.stderr.split("(")[1:]} & {
            *(f"security.W{number:03}" for number in range(1, 30)),
            *(f"classifier.W{number:03}" for number in range(1, 10)),
        }
        self.assertLessEqual(told, {"classifier.W001", "classifier.W004"})
        self.assertIn("classifier.W001", told)

    def test_a_wrong_deployment_does_not_start(self):
        done = self.python("manage.py", "check", **self.production(CLIP_MODEL="standin"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("classifier.E001", done.stderr)

    def test_checks_do_not_import_torch(self):
        code = (
            "import sys, django; django.setup(); from django.core.checks import run_checks;"
            "run_checks(include_deployment_checks=True); sys.exit('torch' in sys.modules)"
        )
        environment = self.production(DJANGO_SETTINGS_MODULE="heroku_clip.settings")
        done = self.python("-c", code, **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
