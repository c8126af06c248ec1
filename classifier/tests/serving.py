"""Tests against the real server: gunicorn as the Procfile starts it, on the test database, with the stand-in."""

import functools
import io
import os
import subprocess
import sys
import urllib.parse

from django.db import connection
from django.test import TransactionTestCase, skipUnlessDBFeature

from classifier.benchmark.server import ROOT, Client, Server
from classifier.tests.photos import PHOTOS


def photo(name: str = "coffee.png") -> bytes:
    return (PHOTOS / name).read_bytes()


def large_jpeg(width: int = 8000, height: int = 6000) -> bytes:
    """A real photo, enlarged: 48 megapixels as a telephone sends them."""
    from PIL import Image

    stream = io.BytesIO()
    with Image.open(PHOTOS / "chelsea.png") as image:
        image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def database_url() -> str:
    """The test database's address, for another process."""
    address = urllib.parse.urlsplit(os.environ["DATABASE_URL"])
    return address._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


@functools.cache
def collect_static() -> None:
    """The server looks hashed names up, as in production."""
    manage("collectstatic", "--no-input", "--verbosity", "0")


def manage(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "SECRET_KEY": "test-only", **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise AssertionError(f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


@skipUnlessDBFeature("test_db_allows_multiple_connections")
class ServerTestCase(TransactionTestCase):
    """Starts one server for the class; `server_environment` changes how."""

    server_environment: dict[str, str] = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        collect_static()
        cls.server = cls.serve(**cls.server_environment)

    @classmethod
    def serve(cls, ready: bool = True, **environment: str) -> Server:
        """Start a server that is stopped with the class."""
        server = Server(
            {"SECRET_KEY": "test-only", "CLIP_MODEL": "standin", "DATABASE_URL": database_url(), **environment}
        )
        cls.addClassCleanup(server.stop)
        server.start()
        server.wait("/readyz" if ready else "/healthz")
        return server

    def client_new(self, server: Server | None = None) -> Client:
        return Client((server or self.server).port)
