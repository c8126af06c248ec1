"""What the environment says, in processes of their own."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import TestCase, skipIf

from classifier.benchmark.server import ROOT, Server

SHOW = """
import json
from heroku_clip import settings
print(json.dumps({name: getattr(settings, name) for name in dir(settings) if name.isupper()},
                 default=lambda value: getattr(value, "__name__", None) or str(value)))
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True
    )


def settings(**environment: str) -> dict:
    done = run("-c", SHOW, **{"SECRET_KEY": "test-only", **environment})
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(re.sub(r"-\d+\.sqlite3", ".sqlite3", done.stdout))  # each process's tests have their own


class EmptyVariableTests(TestCase):
    """`NAME=` counts as unset."""

    def test_every_empty_variable_leaves_its_default(self):
        names = set(re.findall(r'"([A-Z][A-Z_]+)"', (ROOT / "heroku_clip" / "settings.py").read_text()))
        self.assertIn("DATABASE_URL", names)
        empty = dict.fromkeys(names - {"SECRET_KEY"}, "")
        self.assertEqual(settings(**empty), settings())
        self.assertEqual(settings(**dict.fromkeys(empty, " ")), settings())

    def test_every_variable_that_is_read_is_among_them(self):
        """An empty LOG_LEVEL and the like would not show in a comparison of a few settings."""
        self.assertLess({"DATABASES", "LOG_LEVEL", "CLIP_PRECISION", "MAX_STORED_MB", "ALLOWED_HOSTS"}, set(settings()))

    def test_an_empty_name_of_the_settings_is_unset_too(self):
        done = run("manage.py", "check", SECRET_KEY="x", DJANGO_SETTINGS_MODULE="")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_empty_database_url_is_sqlite(self):
        self.assertEqual(settings(DATABASE_URL="")["DATABASES"]["default"]["ENGINE"], "django.db.backends.sqlite3")

    def test_the_server_starts_with_empty_variables(self):
        with tempfile.NamedTemporaryFile(suffix=".sqlite3") as database:
            names = ("WEB_CONCURRENCY", "WEB_CONCURRENCY_SET_BY", "WEB_THREADS", "DATABASE_SECONDS", "OMP_WAIT_POLICY",
                     "OPENBLAS_NUM_THREADS", "DJANGO_SETTINGS_MODULE")  # fmt: skip
            empty = dict.fromkeys(names, "")
            own = {"SECRET_KEY": "test-only", "CLIP_MODEL": "standin", "DATABASE_URL": f"sqlite:///{database.name}"}
            with Server({**own, **empty}) as server:
                server.wait("/healthz")
                self.assertNotIn("libgomp", server.log)

    def test_an_empty_variable_gives_way_to_the_file(self):
        code = "import os; from unittest import mock; from heroku_clip import settings; print(settings.SECRET_KEY)"
        file = ROOT / ".env"
        if file.exists():
            self.skipTest("this checkout has an .env of its own")
        file.write_text("SECRET_KEY=from-the-file\n")
        self.addCleanup(file.unlink)
        self.assertEqual(run("-c", code, SECRET_KEY="").stdout, "from-the-file\n")
        self.assertEqual(run("-c", code, SECRET_KEY="from-outside").stdout, "from-outside\n")


@skipIf((ROOT / ".env").exists(), "this checkout has an .env of its own")
class SecretKeyTests(TestCase):
    def test_a_missing_key_is_one_sentence(self):
        done = run("manage.py", "check", SECRET_KEY="")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("SECRET_KEY is not set.", done.stderr)

    def test_the_server_says_it_once_and_ends(self):
        server = Server({"SECRET_KEY": ""})
        self.addCleanup(server.stop)
        server.start()
        self.assertNotEqual(server.process.wait(20), 0)
        self.assertEqual(server.log.count("SECRET_KEY is not set."), 1)
        self.assertNotIn("Traceback", server.log)

    def test_so_is_any_other_variable_that_cannot_be_read(self):
        for name, value, said in (
            ("CLIP_SLOTS", "many", "CLIP_SLOTS is 'many'; it must be a number."),
            ("RATE_LIMIT_PER_MINUTE", "inf", "RATE_LIMIT_PER_MINUTE is 'inf'; it must be a number."),
            ("MAX_STORED_MB", "nan", "MAX_STORED_MB is 'nan'; it must be a number."),
            ("LOG_LEVEL", "loud", "LOG_LEVEL is 'LOUD'; it must be DEBUG, INFO, WARNING, ERROR or CRITICAL."),
            ("DATABASE_URL", "foo://a:secret@b/c", "DATABASE_URL cannot be read; it must be like postgres://"),
            (
                "DATABASE_URL",
                "postgres://a:secret@b:port/c",
                "DATABASE_URL cannot be read; it must be like postgres://",
            ),
        ):
            with self.subTest(name=name, value=value):
                done = run("manage.py", "check", **{"SECRET_KEY": "x", name: value})
                self.assertTrue(done.stderr.startswith(said), done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertNotIn("secret", done.stderr)

    def test_so_are_those_that_the_server_alone_reads(self):
        for name in ("WEB_THREADS", "WEB_CONCURRENCY"):
            for value in ("many", "0"):
                with self.subTest(name=name, value=value):
                    done = run("-m", "heroku_clip", **{"SECRET_KEY": "x", name: value})
                    self.assertNotEqual(done.returncode, 0)
                    self.assertEqual(done.stderr, f"{name} is '{value}'; it must be a whole number, 1 or more.\n")


class ProxyTests(TestCase):
    def test_a_trusted_proxy_says_whether_a_visitor_came_by_https(self):
        self.assertNotIn("SECURE_PROXY_SSL_HEADER", settings())
        for environment in ({"TRUSTED_PROXIES": "2"}, {"DYNO": "web.1"}):
            header = settings(**environment)["SECURE_PROXY_SSL_HEADER"]
            self.assertEqual(header, ["HTTP_X_FORWARDED_PROTO", "https"])


class PythonVersionTests(TestCase):
    def test_both_files_that_a_buildpack_reads_name_the_same(self):
        """The classic buildpack prefers runtime.txt, the one for Fir refuses it; pyenv and uv read the other."""
        runtime, version = (Path(ROOT, name).read_text().strip() for name in ("runtime.txt", ".python-version"))
        self.assertEqual(runtime, f"python-{version}")
        self.assertRegex(version, r"^3\.\d+$")
