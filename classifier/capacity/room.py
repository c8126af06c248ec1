"""Memory shared out among the pictures that are decoded at one time, and the text tower."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from classifier.capacity.container import MOST, memory_limit, memory_of_machine
from classifier.capacity.limits import decode_memory, decode_memory_set
from classifier.errors import Busy


class Room:
    """`size` bytes. Who asks for more than is left waits until enough came back, first come, first served."""

    def __init__(self, size: int, timeout: float) -> None:
        self.size = size
        self.timeout = timeout  # seconds
        self._left = size
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()
        self.crowded: Callable[[], None] = lambda: None  # called by whoever has to wait: may give some back

    @property
    def waited_for(self) -> bool:
        return bool(self._queue)

    @contextmanager
    def take(self, amount: int) -> Iterator[Callable[[int], None]]:
        """Hold `amount` bytes inside the block; raises `Busy` when they are not to be had in time.

        Yields a function that gives back all but what it is told.
        """
        held = min(amount, self.size)
        self._enter(held)

        def keep(amount: int) -> None:
            nonlocal held
            amount = min(amount, held)
            self._give_back(held - amount)
            held = amount

        try:
            yield keep
        finally:
            self._give_back(held)

    def resize(self, size: int) -> None:
        """Share out `size` bytes from now on; who holds more than that keeps it until it comes back."""
        with self._changed:
            self._left += size - self.size
            self.size = size
            self._changed.notify_all()

    def busy(self) -> Busy:
        return Busy("Many large pictures are being read just now. Try again in a few seconds.", 5)

    def _enter(self, amount: int) -> None:
        ticket = object()

        def fits() -> bool:
            return self._queue[0] is ticket and amount <= self._left

        with self._changed:
            self._queue.append(ticket)
            must_wait = not fits()
        try:
            if must_wait:
                self.crowded()
            with self._changed:
                if not self._changed.wait_for(fits, self.timeout):
                    raise self.busy()
                self._left -= amount
        finally:
            with self._changed:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _give_back(self, amount: int) -> None:
        with self._changed:
            self._left += amount
            self._changed.notify_all()


ROOM = Room(MOST, timeout=6)  # bytes and seconds; a slot was waited for before, and the work comes after


@contextmanager
def for_own_files() -> Iterator[None]:
    """For whoever reads files of their own, and serves nobody beside: a quarter of the memory there is for pictures."""
    room, picture = ROOM.size, decode_memory()
    size = max(MOST, (memory_limit(memory_of_machine()) or 0) // 4)
    decode_memory_set(size, most=size)
    ROOM.resize(size)
    try:
        yield
    finally:
        decode_memory_set(picture)
        ROOM.resize(room)
