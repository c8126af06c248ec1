"""One client's connection: requests come in, are answered in a thread and go out, at the client's pace.

A thread has neither to wait for a request nor for a reader: it gets a request once all of it has come, and leaves its
answer in a file. Only the connection waits, in the main loop, and limits.py says for how long.

A body without a length is answered 411, since Django would not read it. One that is announced larger than anything we
take is passed on unread: the application answers 413 at once. Before a connection closes the client is heard out for a
while, since a connection that is closed on unread bytes is reset, and the answer lost (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import io
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

from heroku_clip.addresses import believed_address, network_of

from .limits import (
    HEAD_BYTES,
    HEAD_SECONDS,
    LINGER_SECONDS,
    LINGER_SILENCE,
    PACE_SECONDS,
    SEND_SECONDS,
    SILENCE_SECONDS,
    Patience,
    Refused,
    Share,
)

if TYPE_CHECKING:
    from .worker import BufferingWorker

T = TypeVar("T")

PIECE_BYTES = 256 * 1024  # read and sent at a time
MEMORY_BYTES = 64 * 1024  # of a body or an answer; what is larger waits on disk


class Incoming(Unreader):
    """What gunicorn's parser reads: the head, and then the body, from memory or disk."""

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self.head = head
        self.body: BinaryIO = io.BytesIO()

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The head, then the body a piece at a time: gunicorn hints at all that is left, keeps what it does not need,
        and copies it at each read: so 95 MB took minutes, and three times their memory.
        """
        head, self.head = self.head, b""
        return head or self.body.read(min(size_hint or MEMORY_BYTES, MEMORY_BYTES))


class Reply:
    """What a thread answers, on its way to a client that may be slow. To gunicorn's response it is the socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.more = asyncio.Event()
        self.keep = False  # whether another request may follow
        self.finished = self.abandoned = False
        self._lock = threading.Lock()
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 (closed by close)
        self._written = self._taken = 0

    def sendall(self, data: bytes) -> None:
        if self.abandoned:
            raise BrokenPipeError
        with self._lock:
            self._file.seek(self._written)
            self._written += self._file.write(data)
        if self._written - self._taken >= PIECE_BYTES:
            self._wake()

    def gettimeout(self) -> float:
        return 0.0  # writing never waits

    def finish(self) -> None:
        self.finished = True
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self.more.set)

    def take(self) -> bytes:
        """The next piece to send; empty where there is none yet."""
        with self._lock:
            self._file.seek(self._taken)
            piece = self._file.read(PIECE_BYTES)
            self._taken += len(piece)
        return piece

    def close(self) -> None:
        self._file.close()


class Connection:
    """Serves one request after the other, until either side has enough."""

    def __init__(self, worker: BufferingWorker, sock: socket.socket, peer: tuple, server: tuple) -> None:
        self.worker, self.sock, self.peer, self.server = worker, sock, peer, server
        self.host = peer[0] if isinstance(peer, tuple) else ""  # nothing on a Unix socket
        self.loop = asyncio.get_running_loop()
        self.begun = b""  # of the next request
        self.dispensable = True  # no request is under way: may be closed where the place is needed
        self.number = 0  # of the request

    async def serve(self) -> None:
        with suppress(OSError), self.sock:  # the client has left, or had its time
            try:
                while await self.exchange():
                    pass
            except Refused as refused:
                await self.send(refused.answer(), Patience(SEND_SECONDS, pause=SEND_SECONDS))
            await self.linger()

    async def exchange(self) -> bool:
        """One request and its answer. Returns whether another may follow."""
        head, reply = await self.head(), Reply(self.loop)
        try:
            incoming = Incoming(head)
            request = self.parse(incoming)
        except Refused:
            raise
        except Exception as error:  # gunicorn knows how to answer each of its own
            self.worker.handle_error(None, reply, self.peer, error)
            await self.send(reply.take(), Patience(SEND_SECONDS, pause=SEND_SECONDS))
            return False
        size = request.body.reader.length
        if size > self.worker.max_bodies.get(request.path, self.worker.max_body):
            request.force_close()
            size = 0  # left unread
        with self.worker.shares.taken(self.address(request), size) as share:
            self.dispensable = False
            try:
                incoming.body = await self.body(request, size)
                await self.answer(request, reply, share)
            finally:
                self.dispensable = True
        return reply.keep and self.worker.alive

    def parse(self, incoming: Incoming) -> Request:
        if len(incoming.head) > HEAD_BYTES:
            raise LimitRequestHeaders(f"more than {HEAD_BYTES} bytes")
        request = Request(self.worker.cfg, incoming, self.peer, self.number)
        if isinstance(request.body.reader, ChunkedReader):
            raise Refused(HTTPStatus.LENGTH_REQUIRED)
        return request

    def address(self, request: Request) -> str:
        forwarded = ",".join(value for name, value in request.headers if name == "X-FORWARDED-FOR")
        return network_of(believed_address(self.host, forwarded, self.worker.proxies))

    # --- In -----------------------------------------------------------------------------------------------------

    async def head(self) -> bytes:
        """The next request's line and headers, or more than they may have. Raises OSError where none comes."""
        head, searched = self.begun, 0
        idle = self.worker.cfg.keepalive if self.number else HEAD_SECONDS
        self.number += 1
        patience = Patience(HEAD_SECONDS if head else idle, pause=HEAD_SECONDS)
        while (found := head.find(b"\r\n\r\n", searched)) < 0 and len(head) <= HEAD_BYTES:
            searched = max(0, len(head) - 3)
            try:
                piece = await self.receive(HEAD_BYTES + 1 - len(head), patience)
            except TimeoutError:
                if head:
                    raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None
                raise
            if not head:
                patience = Patience(HEAD_SECONDS, pause=HEAD_SECONDS)
            head += piece
        end = found + 4 if found >= 0 else len(head)
        self.begun = head[end:]
        return head[:end]

    async def body(self, request: Request, size: int) -> BinaryIO:
        """All of a body of this size."""
        patience = Patience(PACE_SECONDS, pause=SILENCE_SECONDS, grows=True)
        begun, self.begun = self.begun[:size], self.begun[size:]
        try:
            file = io.BytesIO() if size <= MEMORY_BYTES else tempfile.TemporaryFile()  # noqa: SIM115 (closed below)
            try:
                patience.done = file.write(begun)
                if request._expected_100_continue and patience.done < size:
                    await self.send(b"HTTP/1.1 100 Continue\r\n\r\n", Patience(SEND_SECONDS, pause=SEND_SECONDS))
                request._expected_100_continue = False  # else gunicorn says it again
                while patience.done < size:
                    file.write(await self.receive(min(size - patience.done, PIECE_BYTES), patience))
                file.seek(0)
            except BaseException:
                file.close()
                raise
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None
        except ConnectionError:
            raise
        except OSError as error:  # the disk is full
            self.worker.log.error("event=request_not_buffered error=%r", str(error))
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE) from error
        return file

    async def receive(self, size: int, patience: Patience) -> bytes:
        """Some bytes. Raises ConnectionResetError where the client has left, and TimeoutError."""
        data = await self.wait(self.loop.sock_recv(self.sock, size), patience)
        if not data:
            raise ConnectionResetError
        patience.done += len(data)
        await asyncio.sleep(0)  # the others' turn: what has come already is given without a pause
        return data

    # --- Out ----------------------------------------------------------------------------------------------------

    async def answer(self, request: Request, reply: Reply, share: Share) -> None:
        """Have a thread answer, and send what it says as far as the client reads."""
        patience = Patience(PACE_SECONDS, pause=SEND_SECONDS, grows=True)
        await share.threads.acquire()
        answering = asyncio.wrap_future(self.worker.pool.submit(self.worker.answer, request, reply, self))
        answering.add_done_callback(lambda _: share.threads.release())
        try:
            while True:
                finished = reply.finished
                if piece := reply.take():
                    await self.send(piece, patience)
                elif finished:
                    break
                else:
                    await reply.more.wait()
                    reply.more.clear()
        finally:
            reply.abandoned = True
            answering.add_done_callback(lambda _: (reply.close(), request.unreader.body.close()))

    async def send(self, data: bytes, patience: Patience) -> None:
        await self.wait(self.loop.sock_sendall(self.sock, data), patience)
        patience.done += len(data)

    async def linger(self) -> None:
        """Say that nothing more comes, and hear the client out."""
        self.sock.shutdown(socket.SHUT_WR)
        patience = Patience(LINGER_SECONDS, pause=LINGER_SILENCE)
        while True:
            await self.receive(PIECE_BYTES, patience)

    async def wait(self, coming: Awaitable[T], patience: Patience) -> T:
        """Wait for a client, while it has patience left. Raises TimeoutError, and OSError where the client has left."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(0, patience.left())):
                return await coming
        finally:
            patience.waited += time.monotonic() - began
