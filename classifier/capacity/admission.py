"""Who computes now, who waits, and who is told to come back.

Decoding and classifying take all of a core and the memory of a large picture, so only `CLIP_SLOTS` requests do so at a
time. Each slot is one thread of its own that does all its work: what torch and the allocator keep per thread is kept
so many times, and not once for every thread of the web server.

A bounded number of requests waits, first come, first served, and no longer than a deadline that leaves Heroku's
30 seconds room for the work itself. Beyond either, `Busy` says when to try again. Who waits holds no database
connection.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from django.conf import settings
from django.db import connection

from classifier.errors import Busy

T = TypeVar("T")


class Slot:
    """One thread that computes; whoever was admitted runs functions in it."""

    def __init__(self, number: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"slot-{number}")

    def __call__(self, function: Callable[..., T], *args: object, **kwargs: object) -> T:
        return self._executor.submit(function, *args, **kwargs).result()


class _Ticket:
    def __init__(self) -> None:
        self.called = threading.Event()
        self.slot: Slot | None = None


class Admission:
    """A number of slots, and a queue before them."""

    def __init__(self, *, slots: int, queue: int, deadline: float) -> None:
        self.queue = queue  # requests that may wait
        self.deadline = deadline  # seconds that each may wait
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._free = [Slot(number) for number in range(slots)]
        self._slots = slots
        self._waiting: deque[_Ticket] = deque()
        self._seconds = 0.2  # that a slot is held, averaged; for Retry-After

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def full(self) -> Busy | None:
        """What whoever asked for a slot now would be told at once; None where they would get one, or may wait."""
        with self._lock:
            return None if self._free or len(self._waiting) < self.queue else self._busy()

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """Hold a slot; raises `Busy` where too many wait already or the deadline passes."""
        slot = self._enter()
        started = time.monotonic()
        try:
            yield slot
        finally:
            self._seconds += 0.1 * (time.monotonic() - started - self._seconds)
            self._leave(slot)

    @contextmanager
    def spare(self) -> Iterator[Slot]:
        """Hold a slot for work that has time: waits until nobody else computes or waits, however long that takes."""
        with self._quiet:
            self._quiet.wait_for(lambda: len(self._free) == self._slots)
            slot = self._free.pop()
        try:
            yield slot
        finally:
            self._leave(slot)

    def _enter(self) -> Slot:
        with self._lock:
            if self._free:
                return self._free.pop()  # the one used last, whose memory is warm
            if len(self._waiting) >= self.queue:
                raise self._busy()
            ticket = _Ticket()
            self._waiting.append(ticket)
        if not connection.in_atomic_block:
            connection.close()  # back to the pool
        ticket.called.wait(self.deadline)
        with self._lock:
            if ticket.slot is None:
                self._waiting.remove(ticket)
                raise self._busy()
            return ticket.slot

    def _leave(self, slot: Slot) -> None:
        with self._lock:
            if self._waiting:
                ticket = self._waiting.popleft()
                ticket.slot = slot
                ticket.called.set()
            else:
                self._free.append(slot)
                self._quiet.notify()

    def _busy(self) -> Busy:
        wait = math.ceil(len(self._waiting) * self._seconds / self._slots)
        return Busy("Many pictures are being looked at right now. Try again in a moment.", retry_after=max(1, wait))


_lock = threading.Lock()
_admission: Admission | None = None


def admission() -> Admission:
    """The one of this process, made at the first call."""
    global _admission
    with _lock:
        if _admission is None:
            _admission = Admission(
                slots=settings.CLIP_SLOTS, queue=settings.CLIP_QUEUE, deadline=settings.CLIP_QUEUE_SECONDS
            )
        return _admission


def slot() -> AbstractContextManager[Slot]:
    """Hold one of this process's slots: `with admission.slot() as compute: compute(function, argument)`."""
    return admission().slot()
