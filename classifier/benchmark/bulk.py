"""`manage.py benchmark --bulk FOLDER`: the bulk core beside the engine and the reading alone, in turns, in one run.

Memory is sampled while a second pass goes over as many pictures as are asked for, the folder's again and again.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from classifier.engine import Engine
from classifier.errors import ClassifierError
from classifier.services import bulk
from classifier.services.finding import Finder

PIECE = 16  # pictures that the engine alone gets at a time, in each of as many threads as there are cores


class NoPictures(ClassifierError):
    """There is nothing to measure with."""


@dataclass(frozen=True)
class Cost:
    """Of work over some pictures: pictures a second, and milliseconds of processor time each, which other processes on
    the machine change little."""

    rate: float
    processor: float


@dataclass(frozen=True)
class Round:
    """Each in turn."""

    engine: Cost  # alone, on pictures that were read
    read: Cost  # alone, down to what the model looks at
    bulk: Cost  # both, as `embed` and `classify` do it
    wanted: float  # share of the time that the lanes ran, or waited in the kernel's queue for a core

    @property
    def of_engine(self) -> float:
        return self.engine.processor / self.bulk.processor

    @property
    def of_both(self) -> float:
        return (self.engine.processor + self.read.processor) / self.bulk.processor


def measure(loaded: Engine, folder: str, *, pictures: int, rounds: int) -> Iterator[Round]:
    """Raises NoPictures."""
    sources = list(itertools.islice(Finder([folder]), pictures))
    batch = bulk.Batch(loaded, loaded.embed_images, bulk.Limits(), None)
    seen = [found.value for found in map(batch.read, sources[:96]) if found.value is not None]
    if not seen:
        raise NoPictures(f"{folder} has no pictures.")
    pieces = [list(itertools.islice(itertools.cycle(seen), k, k + PIECE)) for k in range(0, len(sources), PIECE)]
    for _ in range(rounds):
        engine = cost(len(pieces) * PIECE, lambda: in_lanes(loaded.embed_images, pieces))
        read = cost(len(sources), lambda: in_lanes(batch.read, sources))
        watch = LaneWatch()
        both = cost(len(sources), partial(watch.over, bulk.pictures_embed(sources, loaded=loaded)))
        yield Round(engine, read, both, watch.wanted)


def cost(pictures: int, work: Callable[[], object]) -> Cost:
    started, processor = time.perf_counter(), time.process_time()
    work()
    seconds = time.perf_counter() - started
    return Cost(pictures / seconds, 1000 * (time.process_time() - processor) / pictures)


def in_lanes(work: Callable[[object], object], pieces: list) -> None:
    """In as many threads as there are cores, one torch thread in each."""
    with ThreadPoolExecutor(bulk.cores(), initializer=bulk.torch_threads, initargs=(1,)) as pool:
        for _ in pool.map(work, pieces):
            pass


class LaneWatch:
    """How much of the time the lanes wanted a core, had they one or not: how busy they keep a quiet machine."""

    def __init__(self) -> None:
        self.first, self.last = (0.0, 0.0), (0.0, 0.0)  # on the clock, and in all lanes

    @property
    def wanted(self) -> float:
        seconds = self.last[0] - self.first[0]
        return (self.last[1] - self.first[1]) / (seconds * bulk.cores()) if seconds else 0.0

    def over(self, results: Iterable[object]) -> None:
        """Looks when the first result is there, and then at times while all lanes are still at work."""
        for number, _ in enumerate(results):
            lanes = [thread.native_id for thread in threading.enumerate() if thread.name.startswith(bulk.LANE)]
            now = time.perf_counter(), sum(wanting(each) for each in lanes if each is not None)
            if not number:
                self.first = now
            elif len(lanes) == bulk.cores() and number % PIECE == 0:
                self.last = now


def wanting(thread: int) -> float:
    """Seconds that a thread has run, and waited for a core (proc(5), schedstat)."""
    running, waiting, _ = Path(f"/proc/self/task/{thread}/schedstat").read_text().split()
    return (int(running) + int(waiting)) / 1e9


def memory_over(loaded: Engine, folder: str, count: int, points: int = 10) -> list[tuple[int, float]]:
    """(pictures done, MB of anonymous memory) along `count` pictures of a folder, gone over again and again."""
    again = itertools.chain.from_iterable(Finder([folder]) for _ in itertools.count())
    found = []
    for number, _ in enumerate(bulk.pictures_embed(itertools.islice(again, count), loaded=loaded), start=1):
        if number % max(1, count // points) == 0:
            found.append((number, anonymous()))
    return found


def anonymous() -> float:
    """MB of this process that no file backs."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(text.partition("Anonymous:")[2].split()[0]) * 1024 / 1e6


def table(rounds: list[Round]) -> str:
    """Medians of all rounds."""

    def middle(number: Callable[[Round], float]) -> float:
        return statistics.median(map(number, rounds))

    def line(name: str, cost_of: Callable[[Round], Cost]) -> str:
        processor, rate = middle(lambda each: cost_of(each).processor), middle(lambda each: cost_of(each).rate)
        return f"{name:16}{processor:6.1f} ms of processor time a picture, {rate:6.1f} pictures a second"

    return "\n".join(
        [
            line("engine alone", lambda each: each.engine),
            line("reading alone", lambda each: each.read),
            line("in bulk", lambda each: each.bulk),
            f"by processor time {middle(lambda each: each.of_engine):.0%} of the engine alone, "
            f"{middle(lambda each: each.of_both):.0%} of engine and reading",
            f"the lanes wanted a core {middle(lambda each: each.wanted):.0%} of the time",
        ]
    )
