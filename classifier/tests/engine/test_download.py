"""manage.py prepare_model, when the checkpoint has to be fetched first, from a mirror on this machine."""

import hashlib
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from django.core.management import CommandError
from django.test import SimpleTestCase

from classifier.engine import download
from classifier.engine.checkpoint import MODELS
from classifier.errors import DownloadError
from classifier.tests.engine.test_prepare_model import PrepareTestCase


class Mirror(BaseHTTPRequestHandler):
    """Serves one file; cuts the connection after `cut` bytes of an answer while `cuts` last."""

    content, cut, cuts, ranges, honest = b"", 0, 0, [], True

    def do_GET(self):
        begin = 0
        if (wanted := self.headers.get("Range")) and self.honest:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.ranges.append(wanted)
        body = self.content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).cuts > 0:
            type(self).cuts -= 1
            body = body[: self.cut]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def mirror_serve(test, **attributes) -> tuple[type[Mirror], ThreadingHTTPServer]:
    """A mirror on this machine until the test has ended."""
    mirror = type("TestMirror", (Mirror,), {"ranges": [], **attributes})
    server = ThreadingHTTPServer(("127.0.0.1", 0), mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    test.addCleanup(server.server_close)
    test.addCleanup(server.shutdown)
    return mirror, server


class DownloadTests(PrepareTestCase):
    """CLIP_MODEL names a model, which a mirror on this machine serves."""

    def setUp(self):
        super().setUp()
        self.content = self.path.read_bytes()
        sha256 = hashlib.sha256(self.content).hexdigest()
        self.enterContext(mock.patch.dict(MODELS, {"ViT-B/32": (sha256, "ViT-B-32.pt")}))
        self.enterContext(mock.patch("classifier.engine.download.time.sleep"))
        self.serve(content=self.content)

    def serve(self, **attributes):
        self.mirror, server = mirror_serve(self, **attributes)
        self.use(CLIP_MODEL="ViT-B/32", CLIP_WEIGHTS_URL=f"http://127.0.0.1:{server.server_port}/models/")

    def test_it_fetches_converts_and_throws_the_download_away(self):
        self.assertIn("ViT-B/32 is ready (int8)", self.prepare())
        self.assertEqual(self.mirror.ranges, [None])
        self.assert_answers()
        self.assert_nothing_else()

    def test_the_download_can_be_made_first_and_kept(self):
        self.assertIn("is there", self.prepare("--download-only"))
        kept = self.model_dir / "checkpoints" / "ViT-B-32.pt"
        self.assertEqual(kept.read_bytes(), self.content)
        self.prepare("--keep-checkpoint")
        self.assertEqual(len(self.mirror.ranges), 1)
        self.assertTrue(kept.exists())

    def test_a_cut_download_is_resumed(self):
        self.mirror.cut, self.mirror.cuts = 5_000_000, 2
        self.prepare("--download-only")
        self.assertEqual(self.mirror.ranges, [None, "bytes=5000000-", "bytes=10000000-"])

    def test_a_later_run_goes_on_where_one_gave_up(self):
        self.mirror.cut, self.mirror.cuts = 0, 9
        part = self.model_dir / "checkpoints" / "ViT-B-32.pt.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(self.content[:6_000_000])
        with self.assertRaisesMessage(CommandError, "5 MB are kept"):
            self.prepare()
        self.mirror.cuts = 0
        self.prepare("--download-only")
        self.assertEqual(self.mirror.ranges[-1], "bytes=6000000-")

    def test_a_mirror_that_cannot_resume_sends_it_all_again(self):
        self.mirror.cut, self.mirror.cuts, self.mirror.honest = 5_000_000, 1, False
        self.prepare("--download-only")
        self.assertEqual((self.model_dir / "checkpoints" / "ViT-B-32.pt").read_bytes(), self.content)

    def test_a_wrong_file_is_thrown_away(self):
        self.serve(content=b"something else")
        with self.assertRaisesMessage(CommandError, "is not OpenAI's file"):
            self.prepare()
        self.assertEqual(list((self.model_dir / "checkpoints").iterdir()), [])

    def test_an_unreachable_mirror_exits_with_the_status_that_script_server_knows(self):
        self.use(CLIP_WEIGHTS_URL="http://127.0.0.1:9/")
        with self.assertRaisesMessage(CommandError, "could not be fetched") as caught:
            self.prepare()
        self.assertEqual(caught.exception.returncode, 3)

    def test_another_scheme_is_refused(self):
        self.use(CLIP_WEIGHTS_URL="ftp://example.org/")
        with self.assertRaisesMessage(CommandError, "must begin with http://"):
            self.prepare()


class NetworkCutTests(SimpleTestCase):
    """A line that is cut after 300 kB each time."""

    content = bytes(range(256)) * 4000

    def setUp(self):
        self.handler, self.mirror = mirror_serve(self, content=self.content, cut=300_000, cuts=1_000_000)
        self.url = f"http://127.0.0.1:{self.mirror.server_port}/file"
        self.part = Path(self.enterContext(tempfile.TemporaryDirectory())) / "file.part"
        self.enterContext(mock.patch("classifier.engine.download.time.sleep"))

    def test_a_line_that_is_cut_again_and_again_brings_the_file_nonetheless(self):
        found = download.fetch(self.url, self.part, None)
        self.assertEqual(found, hashlib.sha256(self.content).hexdigest())
        self.assertEqual(self.part.read_bytes(), self.content)

    def test_a_dead_line_is_given_up_and_what_came_is_kept(self):
        with mock.patch.object(self.handler, "cut", 0), self.assertRaises(DownloadError):
            download.fetch(self.url, self.part, None)
        with mock.patch.object(self.handler, "content", self.content[:-1]):
            download.fetch(self.url, self.part, None)
        kept = self.part.stat().st_size
        self.mirror.shutdown()
        self.mirror.server_close()
        with self.assertRaisesRegex(DownloadError, "could not be fetched"):
            download.fetch(self.url, self.part, None)
        self.assertEqual(self.part.stat().st_size, kept)
