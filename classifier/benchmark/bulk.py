"""`manage.py benchmark --bulk FOLDER`: the bulk core beside the engine and the reading alone, in turns, in one run.

Memory is sampled while a second pass goes over as many pictures as are asked for, the folder's again and again.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from classifier.engine import Engine
from classifier.errors import ClassifierError
from classifier.services import bulk
from classifier.services.finding import Finder

PIECE = 16  # pictures that the engine alone gets at a time, in each of as many threads as there are cores


class NoPictures(ClassifierError):
    """There is nothing to measure with."""


@dataclass(frozen=True)
class Rates:
    """Pictures per second in one round."""

    embed: float  # the engine alone, on pictures that were read
    read: float  # reading alone, down to what the model looks at
    bulk: float  # both, as `embed` and `classify` do it
    busy: float  # share of the cores meanwhile

    @property
    def of_engine(self) -> float:
        return self.bulk / self.embed

    @property
    def of_both(self) -> float:
        """Of what is possible where reading and computing share the cores."""
        return self.bulk * (1 / self.embed + 1 / self.read)


def measure(loaded: Engine, folder: str, *, pictures: int, rounds: int) -> Iterator[Rates]:
    """A round: the engine, reading, and both. Raises NoPictures."""
    sources = list(itertools.islice(Finder([folder]), pictures))
    batch = bulk.Batch(loaded, loaded.embed_images, bulk.Limits(), None)
    seen = [found.value for found in map(batch.read, sources[:96]) if found.value is not None]
    if not seen:
        raise NoPictures(f"{folder} has no pictures.")
    pieces = [list(itertools.islice(itertools.cycle(seen), k, k + PIECE)) for k in range(0, len(sources), PIECE)]
    for _ in range(rounds):
        embed = len(pieces) * PIECE / in_lanes(loaded.embed_images, pieces)
        read = len(sources) / in_lanes(batch.read, sources)
        started, processor = time.perf_counter(), time.process_time()
        done = sum(found.value is not None for found in bulk.pictures_embed(sources, loaded=loaded))
        seconds = time.perf_counter() - started
        busy = (time.process_time() - processor) / (seconds * bulk.cores())
        yield Rates(embed, read, done / seconds, busy)


def in_lanes(work: Callable[[object], object], pieces: list) -> float:
    """Seconds that it takes in as many threads as there are cores, one torch thread in each."""
    with ThreadPoolExecutor(bulk.cores(), initializer=bulk.torch_threads, initargs=(1,)) as pool:
        started = time.perf_counter()
        for _ in pool.map(work, pieces):
            pass
        return time.perf_counter() - started


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


def table(rates: list[Rates]) -> str:
    """Medians of all rounds."""
    names = ("embed", "read", "bulk", "busy")
    middle = {name: statistics.median(getattr(each, name) for each in rates) for name in names}
    of_engine, of_both = (statistics.median(getattr(each, name) for each in rates) for name in ("of_engine", "of_both"))
    return (
        f"engine alone {middle['embed']:.1f} pictures a second, reading alone {middle['read']:.1f}\n"
        f"in bulk {middle['bulk']:.1f}: {of_engine:.0%} of the engine alone, {of_both:.0%} of what both allow on the "
        f"same cores, which were {middle['busy']:.0%} busy"
    )
