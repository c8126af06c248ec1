"""What goes wrong around the server: the database away, no model, a full disk, a cut network, too many visitors."""

import functools
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest import TestCase, skipUnless

import psycopg2
from django.db import connection
from django.utils.html import escape

from classifier.benchmark.load import upload_many
from classifier.benchmark.server import ROOT, Server, postgres_start, processes
from classifier.errors import ModelUnavailable
from classifier.models import Upload
from classifier.tests.checkpoints import checkpoint
from classifier.tests.serving import ServerTestCase, collect_static, manage, photo

# manage.py prepare_model with one prompt template instead of 80, which take a minute.
PREPARE = """
from unittest import mock
from django.core.management import execute_from_command_line
with mock.patch("classifier.engine.conversion.imagenet_templates", return_value=("a photo of a {}.",)):
    execute_from_command_line(["manage.py", "prepare_model"])
"""


class OverloadTests(ServerTestCase):
    server_environment = {"CLIP_SLOTS": "1", "CLIP_QUEUE": "4"}

    def test_everybody_is_answered_and_nothing_is_lost(self):
        """Many more visitors than can be served: some are served, the others told when to come back."""
        workers = self.server.workers
        slowest = []
        stop = threading.Event()

        def look():
            while not stop.wait(0.2):
                slowest.append(self.server.get("/healthz").seconds)

        looker = threading.Thread(target=look)
        looker.start()
        result = upload_many(self.server, [photo()], clients=24, seconds=6)
        stop.set()
        looker.join()
        self.assertEqual(set(result.answers), {302, 503})
        self.assertLess(max(slowest), 5)
        self.assertLess(result.slowest, 20)
        self.assertEqual(self.server.workers, workers)
        self.assertEqual(Upload.objects.filter(status="done").count(), result.answers[302])
        self.assertEqual(Upload.objects.count(), result.answers[302])

    def test_the_page_says_when_to_come_back(self):
        refused = []

        def visit():
            answer = self.client_new().upload(photo())
            if answer.status == 503:
                refused.append(answer)

        threads = [threading.Thread(target=visit) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(refused)
        for answer in refused:
            self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
            self.assertIn("Try again in a moment", answer.text)


@skipUnless(connection.vendor == "postgresql", "it is PostgreSQL that is stopped")
class DatabaseAwayTests(TestCase):
    """On a database of their own, which is stopped and started."""

    @classmethod
    def setUpClass(cls):
        collect_static()
        cls.folder = tempfile.mkdtemp(prefix="faults-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.database = postgres_start(cls.folder)
        cls.addClassCleanup(cls.database.cleanup)
        cls.url = cls.database.get_uri()
        manage("migrate", "--verbosity", "0", DATABASE_URL=cls.url)
        cls.server = Server({"SECRET_KEY": "test-only", "CLIP_MODEL": "standin", "DATABASE_URL": cls.url})
        cls.addClassCleanup(cls.server.stop)
        cls.server.start()
        cls.server.wait()

    def query(self, statement: str) -> list[tuple]:
        database = psycopg2.connect(self.url)
        try:
            with database.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            database.close()

    def test_it_answers_503_and_recovers_by_itself(self):
        load = threading.Thread(target=lambda: setattr(self, "result", self.uploads()))
        load.start()
        time.sleep(3)
        self.database.stop()
        try:
            self.server.wait("/readyz", 503, timeout=10)
            page = self.server.get("/history/")
            upload = Server.client(self.server).get(f"/uploads/{'0' * 8}-0000-4000-8000-{'0' * 12}/")
            for answer in (page, upload):
                if answer.status != 200:  # a visitor without a history asks the database nothing
                    self.assertEqual(answer.status, 503)
                    self.assertIn("The database does not answer just now", answer.text)
                    self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
            self.assertEqual(upload.status, 503)
            self.assertEqual(self.server.get("/healthz").status, 200)
            time.sleep(2)
        finally:
            self.database.ensure_postgres_running()
        self.server.wait("/readyz", 200, timeout=10)
        load.join()
        result = self.result
        self.assertGreater(result.answers[302], 5)
        self.assertGreater(result.answers[503], 0)
        self.assertEqual(set(result.answers), {302, 503})
        stored = {f"/uploads/{row[0]}/" for row in self.query("SELECT id FROM classifier_upload WHERE status = 'done'")}
        self.assertLessEqual(set(result.stored), stored)
        ((halves,),) = self.query(
            "SELECT count(*) FROM classifier_classification c WHERE status = 'done' AND 5 <> "
            "(SELECT count(*) FROM classifier_prediction p WHERE p.classification_id = c.id)"
        )
        self.assertEqual(halves, 0)
        ((sessions,),) = self.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        self.assertLessEqual(sessions, 8 + 1)  # the server's, and this one

    def uploads(self):
        return upload_many(self.server, [photo()], clients=4, seconds=14)

    def test_a_database_that_is_there_and_says_nothing_is_given_up(self):
        """Its processes are stopped, with connections open and new ones taken by the kernel."""
        client = self.server.client()
        self.assertEqual(client.upload(photo()).status, 302)
        for pid in self.database_processes():
            os.kill(pid, signal.SIGSTOP)
        try:
            for path, seconds in (("/readyz", 15), ("/history/", 25), ("/readyz", 25)):
                answer = client.get(path)
                self.assertEqual(answer.status, 503, path)
                self.assertLess(answer.seconds, seconds)
            self.assertLess(self.server.get("/healthz").seconds, 2)
        finally:
            for pid in self.database_processes():
                os.kill(pid, signal.SIGCONT)
        self.server.wait("/readyz", 200, timeout=10)
        self.assertEqual(client.get("/history/").status, 200)

    def database_processes(self) -> list[int]:
        (file,) = Path(self.folder).rglob("postmaster.pid")
        return processes(int(file.read_text().split()[0]))


class ModelTests(ServerTestCase):
    """A server whose model is missing, then prepared, then damaged."""

    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="model-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory, ignore_errors=True)
        cls.model = {"CLIP_MODEL": str(checkpoint("tiny")), "CLIP_MODEL_DIR": str(cls.directory)}
        super().setUpClass()

    @classmethod
    def serve(cls, **environment: str) -> Server:
        return super().serve(ready=False, **cls.model)

    def prepare(self, limit: int | None = None) -> subprocess.CompletedProcess:
        """Run prepare_model, where a limit is given with a disk that takes files of so many bytes and no larger."""
        return subprocess.run(
            [sys.executable, "-c", PREPARE],
            cwd=ROOT,
            env={
                **os.environ,
                **self.model,
                "SECRET_KEY": "test-only",
                "DJANGO_SETTINGS_MODULE": "heroku_clip.settings",
            },
            capture_output=True,
            text=True,
            preexec_fn=functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)) if limit else None,
        )

    def assert_unavailable(self, server: Server, reason: str) -> None:
        answer = server.get("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn(reason, answer.text)
        answer = self.client_new(server).upload(photo())
        self.assertEqual(answer.status, 503)
        self.assertIn(escape(ModelUnavailable.visitors), answer.text)  # the reason is for the log
        self.assertNotIn("prepare_model", answer.text)
        self.assertFalse(Upload.objects.exists())

    def test_the_server_says_what_is_wrong_and_recovers_without_a_restart(self):
        self.assert_unavailable(self.server, "is not prepared")
        said = "level=error logger=classifier.services.upkeep event=model_unavailable reason="
        self.assertRegex(self.server.log, said)

        full = self.prepare(limit=500_000)
        self.assertNotEqual(full.returncode, 0)
        self.assertIn("File too large", full.stderr)
        self.assertNotIn("Traceback", full.stderr)
        self.assert_unavailable(self.server, "is not prepared")

        done = self.prepare()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.server.get("/readyz").status, 200)
        self.assertEqual(self.client_new().upload(photo()).status, 302)
        Upload.objects.all().delete()

        tower = max(self.directory.rglob("image-*.safetensors"))
        with tower.open("r+b") as file:
            file.truncate(1000)
        damaged = self.serve()
        self.assert_unavailable(damaged, "damaged")
        done = self.prepare()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(damaged.get("/readyz").status, 200)
