"""gunicorn's worker for this application: many connections in one loop, requests and answers whole, threads between.

gunicorn's own threaded worker reads and writes inside the thread that answers, so that as many slow clients as there
are threads stop the service, and its manual's advice is a buffering proxy in front. Heroku's router is none: it passes
bodies and answers on as they come. So this worker is its own: connection.py has what becomes of a client. gunicorn
parses and frames HTTP, starts this process and replaces it when it dies. docs/operations.md compares other servers.
https://docs.gunicorn.org/en/stable/deploy.html
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from gunicorn import glogging
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.message import Request
from gunicorn.workers.base import Worker

from classifier.logs import LineFormatter

from .connection import Connection, Reply
from .limits import Shares

BEAT_SECONDS = 1  # between signs of life
STOP_SECONDS = 2  # for a request that may be on its way to a server that stops


class BufferingWorker(Worker):
    """Collects requests in the main loop, answers them in threads, and sends from the main loop."""

    def load_wsgi(self) -> None:
        from django.core.exceptions import ImproperlyConfigured

        try:
            super().load_wsgi()
        except ImproperlyConfigured as error:  # says what to do; a traceback adds nothing
            self.log.critical("%s", error)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        from django.conf import settings

        self.max_body = settings.MAX_BODY_BYTES
        self.max_bodies = dict.fromkeys(settings.BATCH_PATHS, settings.MAX_BATCH_BYTES)  # of paths that take more
        self.proxies = settings.TRUSTED_PROXIES
        self.shares = Shares(threads=self.cfg.threads, max_body=self.max_body, max_batch=settings.MAX_BATCH_BYTES)
        self.pool = ThreadPoolExecutor(self.cfg.threads, thread_name_prefix="request")
        self.connections: dict[Connection, asyncio.Task] = {}  # the oldest first

    def run(self) -> None:
        asyncio.run(self.main())

    async def main(self) -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        accepting = [asyncio.create_task(self.accept(listener)) for listener in self.sockets]
        while self.alive and not stopping.is_set() and self.ppid == os.getppid():
            self.notify()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), BEAT_SECONDS)
        self.alive = False
        for task, listener in zip(accepting, self.sockets, strict=True):
            task.cancel()
            listener.close()  # refuse at once, where a backlog would be reset when the last upload has finished
        await self.finish()

    async def finish(self) -> None:
        """Let requests that are under way end, as far as there is time, and connections without one close."""
        began = time.monotonic()
        while self.connections and time.monotonic() - began < self.cfg.graceful_timeout:
            self.notify()
            if time.monotonic() - began > STOP_SECONDS:
                while self.make_room():
                    pass
            await asyncio.sleep(0.1)

    # --- Connections ---------------------------------------------------------------------------------------------

    async def accept(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            while len(self.connections) >= self.cfg.worker_connections and not self.make_room():
                await asyncio.sleep(0.05)
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError as error:  # no file descriptor is left
                self.log.error("event=connection_not_taken error=%r", str(error))
                await asyncio.sleep(0.1)
                continue
            conn = Connection(self, sock, peer, listener.getsockname())
            self.connections[conn] = task = asyncio.create_task(conn.serve())
            task.add_done_callback(lambda task, conn=conn: self.forget(conn, task))
            await asyncio.sleep(0)

    def make_room(self) -> bool:
        """Close the oldest connection without a request, of those from the address that holds most of them."""
        spare = [conn for conn in self.connections if conn.dispensable]
        if not spare:
            return False
        ((greedy, _),) = Counter(conn.host for conn in spare).most_common(1)
        conn = next(conn for conn in spare if conn.host == greedy)
        self.connections.pop(conn).cancel()
        return True

    def forget(self, conn: Connection, task: asyncio.Task) -> None:
        self.connections.pop(conn, None)
        if not task.cancelled() and (error := task.exception()):
            self.log.error("event=connection_failed", exc_info=error)

    # --- In a thread ---------------------------------------------------------------------------------------------

    def answer(self, request: Request, reply: Reply, conn: Connection) -> None:
        """Have the application answer into the reply."""
        response = None
        try:
            response, environ = wsgi.create(request, reply, conn.peer, conn.server, self.cfg)
            environ["wsgi.multithread"] = True
            self.nr += 1
            self.alive = self.alive and self.nr < self.max_requests
            if not self.alive:
                response.force_close()
            self.call(environ, response)
            reply.keep = not response.should_close()
        except BrokenPipeError:
            pass  # the client has left
        except Exception as error:
            if response is not None and response.headers_sent:  # what was begun ends without its end
                self.log.exception("event=answer_failed")
            else:
                self.handle_error(request, reply, conn.peer, error)
        finally:
            reply.finish()

    def call(self, environ: dict, response: wsgi.Response) -> None:
        pieces = self.wsgi(environ, response.start_response)
        try:
            for piece in pieces:
                response.write(piece)
            response.close()
        finally:
            if hasattr(pieces, "close"):
                pieces.close()


class Logger(glogging.Logger):
    """gunicorn's own messages as lines like the application's: they may quote what a client sent."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(LineFormatter())

    def access(self, *args: object) -> None:
        """The application writes one line per request; Heroku's buildpack asks gunicorn for another."""
