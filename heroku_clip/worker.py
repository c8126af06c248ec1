"""gunicorn's threaded worker, changed in one point: a thread is spent on a request only once all of it has come.

gunicorn's own worker reads a request inside the thread that answers it, so that as many slow uploads as there are
threads stop the service, and gunicorn's advice is a buffering proxy in front of it. Heroku's router is none: it passes
a body on as it comes. Here the main loop collects requests, however many at a time, the larger ones on disk, and gives
up on those that come too slowly (the rule is Apache's mod_reqtimeout: a time to begin with, and more for what came).

A body without a length is answered 411, since Django would not read it. One that is announced larger than anything we
take is passed on unread: the application answers 413 at once, and the client is heard out before the connection closes,
since a connection that is closed on unread bytes is reset, and the answer lost.
https://docs.gunicorn.org/en/stable/deploy.html  https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html
"""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus
from selectors import EVENT_READ
from typing import BinaryIO

from gunicorn import glogging, http, util
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from classifier.logs import LineFormatter

HEAD_BYTES = 64 * 1024  # a request line and headers beyond this are refused by gunicorn's parser
MEMORY_BYTES = 64 * 1024  # a body beyond this waits on disk
PIECE_BYTES = 256 * 1024  # read at a time
HEAD_SECONDS = 15  # for the request line and headers, from the first byte
BODY_SECONDS = 20  # for the rest, and one more
BODY_RATE = 2048  # for every so many bytes that came
SEND_SECONDS = 20  # for a client to take the next piece of an answer
LINGER_SECONDS = 5  # for a client to stop sending after the answer, and one more for every BODY_RATE it sends
SEND_BUFFER = 256 * 1024  # bytes; pages and pictures fit, so that a thread need not wait for their reader

REFUSALS = {
    HTTPStatus.REQUEST_TIMEOUT: "The request came too slowly. Try again on a better line.",
    HTTPStatus.LENGTH_REQUIRED: "Say the length of the body in Content-Length; chunks are not read.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The request could not be taken in. Try again later.",
}

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
ENCODING = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)


class Incoming:
    """One request as it comes in: the head in memory, a large body in a temporary file."""

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body  # bytes; a body announced larger is not waited for
        self.started = 0.0  # monotonic seconds of the first byte, 0 before
        self.received = 0  # bytes
        self.head = bytearray()
        self.missing: int | None = None  # bytes of the body; None while the head is coming
        self.rest: BinaryIO | None = None  # what came after the head's last piece
        self.withheld = False  # the body is too large and was left unread
        self.chunked = False
        self.expects_continue = False

    def feed(self, data: bytes) -> None:
        self.started = self.started or time.monotonic()
        self.received += len(data)
        if self.missing is None:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end >= 0:
                self._head_read(end)
            return
        self.rest.write(data)
        self.missing -= len(data)

    def _head_read(self, end: int) -> None:
        """Find out how long the body is. Whether the head is sound is decided by gunicorn, from the same bytes."""
        head = bytes(self.head[: end + 2])
        lengths = LENGTH.findall(head)
        length = int(lengths[0]) if lengths else 0
        self.chunked = ENCODING.search(head) is not None
        self.withheld = length > self.max_body
        self.missing = 0 if self.withheld or self.chunked else length - (len(self.head) - end - 4)
        if self.missing > 0:
            self.expects_continue = EXPECT.search(head) is not None
            self.rest = io.BytesIO() if self.missing <= MEMORY_BYTES else tempfile.TemporaryFile()  # noqa: SIM115

    @property
    def complete(self) -> bool:
        return len(self.head) > HEAD_BYTES if self.missing is None else self.missing <= 0

    @property
    def wanted(self) -> int:
        """Bytes to read next: never past the body, so that what follows stays with the next request."""
        return PIECE_BYTES if self.missing is None else min(self.missing, PIECE_BYTES)

    @property
    def deadline(self) -> float:
        """When to give up, in monotonic seconds."""
        if self.missing is None:
            return self.started + HEAD_SECONDS
        return self.started + BODY_SECONDS + self.received / BODY_RATE

    def pieces(self) -> Iterator[bytes]:
        """What came, for gunicorn's parser, which takes the end of it for the end of the connection."""
        yield bytes(self.head)
        if self.rest is not None:
            self.rest.seek(0)
            while piece := self.rest.read(PIECE_BYTES):
                yield piece

    def close(self) -> None:
        if self.rest is not None:
            self.rest.close()


class Connection(TConn):
    """A client's connection between and within its requests."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.initialized = self.data_ready = True  # there is nothing left for a thread to wait for
        self.incoming: Incoming | None = None
        self.lingering = False  # answered and half closed: whatever still comes is thrown away
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))


class BufferingWorker(ThreadWorker):
    """Collects requests in the main loop and answers them in threads."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: set[Connection] = set()  # in the poller
        self.max_body = 0

    def load_wsgi(self) -> None:
        super().load_wsgi()
        from django.conf import settings

        self.max_body = settings.MAX_BODY_BYTES

    # --- The main loop -------------------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        self._wait(Connection(self.cfg, sock, address, listener.getsockname()), HEAD_SECONDS)

    def _wait(self, conn: Connection, seconds: float, begun: bytes = b"") -> None:
        """Wait for a connection's next request, of which some may have come already."""
        conn.sock.setblocking(False)
        conn.incoming = Incoming(self.max_body)
        conn.timeout = time.monotonic() + (seconds if self.alive else min(seconds, STOP_KEEPALIVE_LINGER))
        self.waiting.add(conn)
        self.poller.register(conn.sock, EVENT_READ, lambda _: self._read(conn))
        if begun:
            self._take(conn, begun)

    def _read(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(PIECE_BYTES if conn.lingering else conn.incoming.wanted)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # the client has left, or has nothing more to say
            self._drop(conn)
        elif conn.lingering:
            conn.timeout += len(data) / BODY_RATE
        else:
            self._take(conn, data)

    def _take(self, conn: Connection, data: bytes) -> None:
        incoming = conn.incoming
        try:
            incoming.feed(data)
        except OSError as error:  # the disk is full
            self.log.error("event=request_not_buffered error=%r", str(error))
            self._refuse(conn, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        conn.timeout = incoming.deadline
        if incoming.chunked:
            self._refuse(conn, HTTPStatus.LENGTH_REQUIRED)
        elif incoming.complete:
            self._forget(conn)
            conn.parser = http.get_parser(self.cfg, incoming.pieces(), conn.client)
            self.enqueue_req(conn)
        elif incoming.expects_continue:
            incoming.expects_continue = False
            self._send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")

    def finish_request(self, conn: Connection, future: Future) -> None:
        """A thread is done with a connection: wait for the next request on it, or close it."""
        conn.incoming.close()
        try:
            keep = not future.cancelled() and future.result()
        except Exception:
            keep = False
        if keep:
            self._wait(conn, self.cfg.keepalive, begun=conn.parser.unreader.take_buffered())
        else:
            self._linger(conn)

    def _refuse(self, conn: Connection, status: HTTPStatus) -> None:
        self._forget(conn)
        conn.incoming.close()
        problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": REFUSALS[status]}
        body = json.dumps(problem).encode()
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._send(conn, head.encode() + body)
        self._linger(conn)

    def _send(self, conn: Connection, data: bytes) -> None:
        """Send a few bytes, which fit into the socket's buffer."""
        with suppress(OSError):  # where the client has left, the next read finds out
            conn.sock.send(data)

    def _linger(self, conn: Connection) -> None:
        """Say that nothing more comes, and hear the client out. RFC 9112, section 9.6."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.lingering = True
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self.waiting.add(conn)
        self.poller.register(conn.sock, EVENT_READ, lambda _: self._read(conn))

    def _forget(self, conn: Connection) -> None:
        self.waiting.discard(conn)
        self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._forget(conn)
        if conn.incoming is not None:
            conn.incoming.close()
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        util.close(conn.sock)

    # --- Called by gunicorn's loop -------------------------------------------------------------------------------

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not self.alive:  # refuse at once, where a backlog would be reset when the last upload has finished
            for listener in self.sockets:
                listener.close()

    def murder_keepalived(self, force: bool = False) -> None:
        """Give up on those that are too slow; called at least once a second, and with `force` at the end."""
        now = time.monotonic()
        for conn in [conn for conn in self.waiting if force or conn.timeout < now]:
            if conn.lingering or force or not conn.incoming.received:
                self._drop(conn)
            else:
                self._refuse(conn, HTTPStatus.REQUEST_TIMEOUT)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker is stopping: requests that have begun may finish, connections without one close soon."""
        for conn in self.waiting:
            if conn.lingering or not conn.incoming.received:
                conn.timeout = min(conn.timeout, deadline)

    # --- In a thread ---------------------------------------------------------------------------------------------

    def handle_request(self, req: Request, conn: Connection) -> bool:
        req._expected_100_continue = False  # was sent while the body came, or must not be sent
        if conn.incoming.withheld:
            req.force_close()
        return super().handle_request(req, conn)


class Logger(glogging.Logger):
    """gunicorn's own messages as lines like the application's: they may quote what a client sent."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(LineFormatter())

    def access(self, *args: object) -> None:
        """The application writes one line per request; Heroku's buildpack asks gunicorn for another."""
