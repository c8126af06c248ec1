"""Texts to embeddings while the server runs: prompts are remembered, and the text tower goes when nobody asks.

The tower, its tokenizer and what they compute in take some 130 MB (ViT-B/32), which a dyno of 512 MB cannot spare all
day.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

from django.conf import settings

from classifier.capacity import admission
from classifier.capacity.container import TEXT
from classifier.capacity.resident import trim
from classifier.capacity.room import ROOM
from classifier.errors import Busy, TextUnsupported
from classifier.services.labels import prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.engine import Engine, Head

CACHE_BYTES = 8_000_000  # about 4,000 prompts of 512 numbers
PIECE = 500  # prompts of a long head that are computed in one go, in a second or two


class PromptCache:
    """The embeddings of the prompts that were used last, as many as fit into `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0  # bytes
        self._lock = threading.Lock()
        self._rows: OrderedDict[tuple[str, str], NDArray[np.float32]] = OrderedDict()

    def get(self, weights_sha256: str, text: str) -> NDArray[np.float32] | None:
        with self._lock:
            row = self._rows.get((weights_sha256, text))
            if row is not None:
                self._rows.move_to_end((weights_sha256, text))
            return row

    def put(self, weights_sha256: str, text: str, row: NDArray[np.float32]) -> None:
        with self._lock:
            old = self._rows.pop((weights_sha256, text), None)
            self.held -= 0 if old is None else _size(text, old)
            self._rows[weights_sha256, text] = row
            self.held += _size(text, row)
            while self.held > self.limit:
                (_, oldest), dropped = self._rows.popitem(last=False)
                self.held -= _size(oldest, dropped)

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()
            self.held = 0


class IdleUnloader:
    """Lets an engine's text tower go once nobody has used it for CLIP_TEXT_IDLE_SECONDS, or pictures need its memory.

    While it is loaded its share of `ROOM` is taken; where that is not free, who wants the tower waits for pictures.
    """

    def __init__(self) -> None:
        self._entry = threading.Lock()  # held by the one who waits for room
        self._lock = threading.Lock()
        self._users, self._last, self._waiting = 0, 0.0, False
        self.memory = TEXT  # bytes that the tower takes: see memory.py
        self._loaded: Engine | None = None  # whose tower there is room for
        self._room = ExitStack()

    @contextmanager
    def use(self, loaded: Engine) -> Iterator[None]:
        """Raises `Busy` where no room came free in time."""
        if not self._entry.acquire(timeout=ROOM.timeout):
            raise ROOM.busy()
        try:
            if ROOM.waited_for:  # who came earlier goes first, though the tower may be there
                with ROOM.take(0):
                    pass
            with self._lock:
                self._users += 1
            try:
                if self._loaded is None:
                    self._room.enter_context(ROOM.take(self.memory))
                    self._loaded = loaded
            except BaseException:
                with self._lock:
                    self._users -= 1
                raise
        finally:
            self._entry.release()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._last = time.monotonic()
                start, self._waiting = not self._waiting, True
            if start:
                threading.Thread(target=self._wait, name="text-idle", daemon=True).start()
            if ROOM.waited_for:
                self.unload()

    def unload(self) -> None:
        """Let the tower go now, unless somebody uses it."""
        with self._lock:
            if self._users or self._loaded is None:
                return
            self._loaded.unload_text()
            self._loaded = None
            room, self._room = self._room, ExitStack()
        room.close()

    def _wait(self) -> None:
        while True:
            with self._lock:
                left = self._last + settings.CLIP_TEXT_IDLE_SECONDS - time.monotonic()
                if left <= 0 and not self._users:
                    self._waiting = False
                    break
            time.sleep(max(left, 1))
        self.unload()


cache = PromptCache(CACHE_BYTES)
idle = IdleUnloader()
ROOM.crowded = idle.unload


def text_require(loaded: Engine) -> None:
    """Raise `TextUnsupported` where the model reads no text."""
    if loaded.info.standin:
        raise TextUnsupported(
            "Other labels, maps and searching by words need CLIP; "
            "this server runs the stand-in EfficientNet-Lite0, which knows ImageNet's labels only."
        )


def texts_embed(loaded: Engine, texts: Sequence[str], compute: admission.Slot | None = None) -> NDArray[np.float32]:
    """(T, D) float32, L2-normalised, computed in the slot that the caller holds, or in one of its own.

    Raises `TextUnsupported`, `LabelError` for a text that is too long, and `Busy`.
    """
    import numpy as np

    text_require(loaded)
    weights_sha256 = loaded.info.weights_sha256
    known = {text: cache.get(weights_sha256, text) for text in texts}
    rows = {text: row for text, row in known.items() if row is not None}
    missing = [text for text, row in known.items() if row is None]
    if missing:
        # The slot first: whoever decodes holds one and waits for the room that the tower takes.
        with nullcontext(compute) if compute else admission.slot() as run, idle.use(loaded):
            rows.update(zip(missing, run(loaded.embed_texts, missing), strict=True))
            run(trim)  # thousands of small temporaries of all sizes leave the heap full of holes
        for text in missing:
            cache.put(weights_sha256, text, rows[text].copy())  # a row of its own: not the whole batch kept alive
    return np.stack([rows[text] for text in texts])


def head_embed(
    loaded: Engine, name: str, labels: Sequence[str], templates: Sequence[str], compute: admission.Slot | None = None
) -> Head:
    """The head of a few labels, through the cache. Raises like `texts_embed`."""
    from classifier.engine import Head
    from classifier.engine.norm import normalised

    prompts = [prompt(template, label) for label in labels for template in templates]
    weights = texts_embed(loaded, prompts, compute).reshape(len(labels), len(templates), -1).mean(axis=1)  # (K, D)
    return Head(name, tuple(labels), normalised(weights), (None,) * len(labels))


def head_build(
    loaded: Engine,
    name: str,
    labels: Sequence[str],
    templates: Sequence[str],
    progress: Callable[[str, int, int], None] | None = None,
) -> Head:
    """The head of many labels, past the cache. `progress` is told what, how many prompts are done, and of how many.

    A piece at a time: between two, pictures that wait for the tower's memory go first.
    """
    import numpy as np

    from classifier.engine import Head

    text_require(loaded)
    size, total, rows = max(1, PIECE // len(templates)), len(labels) * len(templates), []
    for start in range(0, len(labels), size):

        def report(what: str, done: int, _of: int, before: int = start * len(templates)) -> None:
            if progress:
                progress(what, before + done, total)

        while True:
            try:
                with idle.use(loaded):
                    rows.append(loaded.build_head(name, labels[start : start + size], templates, report).weights)
                break
            except Busy:  # of no consequence here: nobody waits, and `report` says that we are still there
                report(f"waiting to build the head {name}", 0, total)
    return Head(name, tuple(labels), np.concatenate(rows), (None,) * len(labels))


def _size(text: str, row: NDArray[np.float32]) -> int:
    return row.nbytes + len(text) + 200  # and about that for the containers
