"""The server as deployed: what one client does, the others do not notice."""

import os
import re
import signal
import socket
import threading
import time

from classifier.models import Upload
from classifier.tests.serving import ServerTestCase, photo


def answer_of(sock: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    while piece := sock.recv(65536):
        received += piece
    return received


class ServerTests(ServerTestCase):
    server_environment = {"WEB_THREADS": "4", "CLIP_SLOTS": "2"}

    def test_an_upload_is_stored_and_logged_on_one_line(self):
        answer = self.client_new().upload(photo(), name="IMG\n1.png")
        self.assertEqual(answer.status, 302)
        upload = Upload.objects.with_latest().get()
        self.assertEqual((upload.status, upload.top.label), ("done", "espresso"))
        (line,) = [line for line in self.server.log.splitlines() if str(upload.pk) in line]
        self.assertRegex(
            line,
            r"^time=\S+Z level=info logger=classifier.requests method=POST path=/ status=302 bytes_in=\d+ bytes_out=0 "
            r'ms=\d+ upload=\S+ model="stand-in: EfficientNet-Lite0, not CLIP" precision=\S+ decode_ms=\d+ '
            r"predict_ms=\d+$",
        )

    def test_what_a_visitor_sends_cannot_break_a_line(self):
        self.server.get("/nowhere%0atime=2000%20status=200%1b%5b31m%e2%80%ae")
        log = self.server.log
        self.assertNotRegex(log, "(?m)^time=2000")
        self.assertIn(r'path="/nowhere\ntime=2000 status=200\u001b[31m\u202e" status=404', log)

    def test_slow_uploads_cost_no_thread(self):
        """Ten times as many clients trickle as there are threads; the others do not notice."""
        client = self.client_new()
        body, headers = client.form(photo())
        slow = [self.server.connect() for _ in range(40)]
        for number, sock in enumerate(slow):
            # Some never finish their headers, most do not finish their bodies.
            sock.sendall(b"POST / HTTP/1.1\r\nHost: loc" if number % 4 == 0 else client.head(body, headers) + body[:99])
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.1):
                for sock in slow:
                    sock.send(b"x")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            time.sleep(0.5)
            self.assertLess(self.server.get("/healthz").seconds, 2)
            for _ in range(3):
                answer = self.client_new().upload(photo())
                self.assertEqual(answer.status, 302)
                self.assertLess(answer.seconds, 5)
        finally:
            stop.set()
            thread.join()
            for sock in slow:
                sock.close()
        self.assertEqual(Upload.objects.count(), 3)

    def test_a_client_that_leaves_leaves_nothing(self):
        client = self.client_new()
        body, headers = client.form(photo())
        for part in (0, 1000, len(body) // 2):
            with self.server.connect() as sock:
                sock.sendall(client.head(body, headers) + body[:part])
        self.assertEqual(client.upload(photo("chelsea.png")).status, 302)
        self.assertIn("cat", Upload.objects.with_latest().get().top.label)

    def test_a_client_that_does_not_wait_for_its_answer_is_stored_all_the_same(self):
        client = self.client_new()
        body, headers = client.form(photo())
        with self.server.connect() as sock:
            sock.sendall(client.head(body, headers) + body)
        deadline = time.monotonic() + 20
        while not Upload.objects.filter(status="done").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(Upload.objects.get().status, "done")

    def test_a_body_larger_than_announced_is_cut(self):
        client = self.client_new()
        body, headers = client.form(photo())
        with self.server.connect() as sock:
            sock.sendall(client.head(body, headers) + body + b"and more, which is no request\r\n\r\n")
            answer = answer_of(sock)
        self.assertRegex(answer, rb"^HTTP/1.1 302 ")
        self.assertRegex(answer, rb"HTTP/1.1 400 ")
        self.assertEqual(Upload.objects.count(), 1)

    def test_half_a_multipart_is_refused(self):
        client = self.client_new()
        body, headers = client.form(photo())
        for cut in (len(body) // 2, 300, 20):
            answer = client.request("POST", "/", body[:cut], headers)
            self.assertIn(answer.status, (400, 403, 422))
        self.assertFalse(Upload.objects.exists())

    def test_a_large_body_is_refused_before_it_is_sent(self):
        client = self.client_new()
        body, headers = client.form(b"")
        announced = {**headers, "Content-Length": str(100_000_000), "Expect": "100-continue"}
        with self.server.connect() as sock:
            sock.sendall(client.head(body, announced))
            answer = answer_of(sock)
        self.assertRegex(answer, rb"^HTTP/1.1 413 ")
        self.assertIn(b"This file is 100 MB; the limit is 20 MB.", answer)
        self.assertIn(b"Connection: close", answer)

    def test_a_browser_that_sends_a_large_body_nonetheless_reads_the_answer(self):
        answer = self.client_new().upload(bytes(30_000_000))
        self.assertEqual(answer.status, 413)
        self.assertIn("the limit is 20 MB", answer.text)

    def test_a_client_that_asks_first_is_told_to_go_on(self):
        client = self.client_new()
        body, headers = client.form(photo())
        with self.server.connect() as sock:
            sock.sendall(client.head(body, {**headers, "Expect": "100-continue", "Connection": "close"}))
            self.assertEqual(sock.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            sock.sendall(body)
            self.assertRegex(answer_of(sock), rb"^HTTP/1.1 302 ")

    def test_a_body_without_a_length_is_refused(self):
        client = self.client_new()
        with self.server.connect() as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            self.assertRegex(answer_of(sock), rb"^HTTP/1.1 411 ")
        self.assertEqual(client.get("/healthz").status, 200)

    def test_requests_follow_each_other_on_one_connection(self):
        request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with self.server.connect() as sock:
            sock.sendall(request + request + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            self.assertEqual(answer_of(sock).count(b"HTTP/1.1 200 OK"), 3)
        with self.server.connect() as sock:
            for _ in range(3):
                sock.sendall(request)
                answer = b""
                while not answer.endswith(b'{"status": "ok"}'):  # it may come in pieces
                    piece = sock.recv(65536)
                    self.assertTrue(piece, answer)
                    answer += piece
                self.assertRegex(answer, rb"^HTTP/1.1 200 OK")

    def test_what_is_no_http_is_refused(self):
        for sent, status in (
            (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: nonsense\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
            (b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
        ):
            with self.subTest(sent=sent[:40]), self.server.connect() as sock:
                sock.sendall(sent)
                self.assertRegex(answer_of(sock), b"^HTTP/1.1 " + status)

    def test_no_connection_is_left_behind(self):
        for _ in range(20):
            self.client_new().get("/history/")
        (worker_pid,) = self.server.workers
        time.sleep(6)  # connections that were half closed are dropped by then
        sockets = [os.readlink(f"/proc/{worker_pid}/fd/{fd}") for fd in os.listdir(f"/proc/{worker_pid}/fd")]
        self.assertLess(sum(name.startswith("socket:") for name in sockets), 12)


class StopTests(ServerTestCase):
    def test_an_upload_under_way_finishes_when_the_server_is_asked_to_stop(self):
        client = self.client_new()
        body, headers = client.form(photo())
        with self.server.connect() as sock:
            sock.sendall(client.head(body, headers) + body[: len(body) // 2])
            time.sleep(0.5)
            self.server.process.send_signal(signal.SIGTERM)
            time.sleep(1.5)
            with self.assertRaises(OSError):
                self.server.connect(timeout=1)
            sock.sendall(body[len(body) // 2 :])
            self.assertRegex(answer_of(sock), rb"^HTTP/1.1 302 ")
        self.assertEqual(Upload.objects.get().status, "done")
        self.assertEqual(self.server.stop(timeout=10), 0)


class KilledWorkerTests(ServerTestCase):
    def test_another_takes_over_and_nothing_that_was_answered_is_lost(self):
        answered: list[str] = []
        stop = threading.Event()

        def visit():
            client = self.client_new()
            while not stop.is_set():
                try:
                    answer = client.upload(photo())
                except OSError:
                    continue  # cut off with the worker
                if answer.status == 302:
                    answered.append(re.search(r"/uploads/([^/]+)/", answer.headers["location"]).group(1))

        threads = [threading.Thread(target=visit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(3)
            (pid,) = self.server.workers
            os.kill(pid, signal.SIGKILL)
            self.server.wait()
        time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertGreater(len(answered), 5)
        stored = Upload.objects.with_latest().in_bulk(answered)
        self.assertEqual(len(stored), len(answered))
        for upload in stored.values():
            self.assertEqual((upload.latest.status, upload.latest.predictions.count()), ("done", 5))
        for upload in Upload.objects.with_latest():  # those that were not answered say that they did not end
            self.assertIsNotNone(upload.latest)
            self.assertEqual(upload.latest.predictions.count(), 5 if upload.latest.status == "done" else 0)
