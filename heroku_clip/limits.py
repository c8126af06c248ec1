"""What a client of the server may take: bytes, seconds and places. connection.py keeps them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

HEAD_BYTES = 32 * 1024  # request line and headers
HEAD_SECONDS = 15
SILENCE_SECONDS = 10  # without a byte of a body
SEND_SECONDS = 20  # for a client to take a piece of an answer
PACE_SECONDS = 20  # for a body or an answer, and one more
PACE_BYTES = 2048  # for every so many bytes of it
TRANSFER_SECONDS = 300  # at most
LINGER_SILENCE, LINGER_SECONDS = 5, 30  # for a client to stop sending after the last answer; nginx's numbers
REQUESTS_AT_ONCE = 64  # from one address
BODIES_AT_ONCE = 4  # of the largest that are taken, in bytes, from one address

REFUSALS = {
    HTTPStatus.REQUEST_TIMEOUT: "The request came too slowly. Try again on a better line.",
    HTTPStatus.LENGTH_REQUIRED: "Say the length of the body in Content-Length; chunks are not read.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too much comes from your address at the same time. Try again in a moment.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The request could not be taken in. Try again later.",
}


class Refused(Exception):
    """What the server itself does not take, with the status to say so."""

    def __init__(self, status: HTTPStatus) -> None:
        self.status = status

    def answer(self) -> bytes:
        problem = {"type": "about:blank", "title": self.status.phrase, "status": self.status}
        body = json.dumps({**problem, "detail": REFUSALS[self.status]}).encode()
        head = (
            f"HTTP/1.1 {self.status} {self.status.phrase}\r\nConnection: close\r\nRetry-After: 5\r\n"
            f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Share:
    """What one address has under way."""

    def __init__(self, threads: int) -> None:
        self.requests = self.bytes = 0
        self.threads = asyncio.Semaphore(threads)


class Shares:
    """What each address has under way, so that none takes all."""

    def __init__(self, *, threads: int, max_body: int, max_batch: int = 0) -> None:
        self.threads = max(1, threads // 2)
        self.max_bytes = max(BODIES_AT_ONCE * max_body, max_batch)
        self.by_address: dict[str, Share] = {}

    @contextmanager
    def taken(self, address: str, size: int) -> Iterator[Share]:
        """Within it a request with so large a body is under way. Raises `Refused`."""
        share = self.by_address.get(address) or Share(self.threads)
        if share.requests >= REQUESTS_AT_ONCE or share.bytes + size > self.max_bytes:
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS)
        self.by_address[address] = share
        share.requests += 1
        share.bytes += size
        try:
            yield share
        finally:
            share.requests -= 1
            share.bytes -= size
            if not share.requests:
                del self.by_address[address]


class Patience:
    """How long to wait for a client: so many seconds in all, more where they grow with its bytes, in no long pause."""

    def __init__(self, seconds: float, *, pause: float, grows: bool = False) -> None:
        self.seconds, self.pause, self.grows = seconds, pause, grows
        self.waited = 0.0  # seconds
        self.done = 0  # bytes

    def left(self) -> float:
        allowed = min(self.seconds + self.done / PACE_BYTES, TRANSFER_SECONDS) if self.grows else self.seconds
        return min(self.pause, allowed - self.waited)
