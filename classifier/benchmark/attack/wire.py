"""What attackers do to a socket, and how the others are watched meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from classifier.benchmark.server import Server

ATTACKER = "127.0.0.66"  # visitors come from 127.0.0.1: the whole of 127.0.0.0/8 is this machine
PATIENCE = 5.0  # seconds that a visitor waits for /healthz
AT_ONCE = 2.0  # seconds within which others are to be answered


@dataclass
class Watch:
    """How long the others waited for /healthz."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def slowest(self) -> float:
        return max(self.seconds, default=PATIENCE)

    @property
    def held(self) -> bool:
        return not self.failed and self.slowest < AT_ONCE

    def __str__(self) -> str:
        asked = len(self.seconds) + self.failed
        return f"{self.failed} of {asked} asked in vain" if self.failed else f"others wait {self.slowest:.2f} s at most"


@contextmanager
def watched(server: Server) -> Iterator[Watch]:
    """Ask for /healthz all the time, as a host does that restarts what does not answer."""
    watch, stop = Watch(), threading.Event()

    def ask() -> None:
        while not stop.wait(0.2):
            began = time.monotonic()
            try:
                answered = server.get("/healthz", timeout=PATIENCE).status == 200
            except OSError:
                answered = False
            if answered:
                watch.seconds.append(time.monotonic() - began)
            else:
                watch.failed += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


@contextmanager
def attackers(server: Server, count: int, *, receive: int | None = None) -> Iterator[list[socket.socket]]:
    """So many connections from the attacker's address, or as many as the server takes; `receive`: bytes of a buffer."""
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.socket()
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server may want the port afterwards
            if receive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            try:
                sock.bind((ATTACKER, 0))
                sock.connect(("127.0.0.1", server.port))
            except OSError:
                sock.close()
                break
            made.append(sock)
        yield made
    finally:
        for sock in made:
            sock.close()


def send(sock: socket.socket, data: bytes) -> bool:
    """Send all of it; False where the server has closed or takes no more."""
    with suppress(OSError):
        sock.sendall(data)
        return True
    return False


def is_open(sock: socket.socket) -> bool:
    """Whether the server still keeps this connection; reads away what it has answered."""
    sock.setblocking(False)
    try:
        while sock.recv(65536):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def answer_until_closed(sock: socket.socket, seconds: float) -> tuple[bytes, bool]:
    """What comes until the server closes, at most for so long; whether it closed."""
    received, end = b"", time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            piece = sock.recv(65536)
            if not piece:
                return received, True
            received += piece
    except TimeoutError:
        return received, False
    except OSError:
        return received, True
    return received, False


def head(method: str, path: str, **headers: object) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()
