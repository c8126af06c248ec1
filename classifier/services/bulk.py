"""Many pictures through the model, with every core at work: what commands, workers and actors share. No Django.

    engine = Engine.open("ViT-B/32")
    for result in pictures_embed(sources_of(["a.jpg", "b.jpg"]), loaded=engine):
        print(result.source.name, result.error or result.value)    # (D,) float32

Each lane is a thread that reads a batch of pictures and computes it on one torch thread. So one lane reads while
another computes, each core has work of its own, and no queue of decoded pictures lies in between: memory is that of a
few batches, however many pictures there are. Results come in the order of the sources.
"""

from __future__ import annotations

import io
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Generic, TypedDict, TypeVar, Unpack

from classifier.engine import Answer
from classifier.errors import Busy, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from classifier.engine import Engine, Head
    from classifier.pictures.decoding import Picture

T = TypeVar("T")
Keep = Callable[["Picture", BinaryIO], object]

BATCH, BATCH_GPU = 8, 128  # pictures; on a CPU more gain nothing
LANE = "lane"  # what its threads are called
AHEAD = 3  # batches in hand per lane: a batch of large pictures holds the others' results back for a while
# Times the model's resolution: what the shorter side of a JPEG that is decoded small keeps at least. Cosine to the
# whole picture's embedding, least and mean of 36 photos: 1: 0.9982, 0.99981; 2: 0.9998, 0.99993; 4: 0.99992, 0.99998.
SHARPNESS = 4
MAX_PIXELS = 1_000_000_000  # of a file on one's own disk; reading's memory is bounded besides
MAX_BYTES = 1 << 40

# What a folder holds beside pictures, by `format_name`. What it calls otherwise is a picture, if one we cannot read.
NO_PICTURES = frozenset(
    ("", "a PDF", "a ZIP archive", "a video", "a web page", "an SVG drawing", "an SVG drawing or other XML")
)
ENDINGS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"]
)


@dataclass(frozen=True)
class Source:
    """A picture, wherever it lies: `open` gives its bytes as a file that can seek."""

    name: str
    open: Callable[[], BinaryIO]
    asked: bool = True  # for by name; what a folder merely holds is passed over where it is no picture


@dataclass(frozen=True, eq=False)
class Result(Generic[T]):
    """What became of one source: a value, or the sentence that says why there is none, or neither: passed over."""

    source: Source
    value: T | None = None
    error: str = ""
    kept: object = None  # what `keep` made of the whole picture
    read: float = 0.0  # seconds of processor time, as is `compute`: its share of the batch's
    compute: float = 0.0

    @property
    def passed_over(self) -> bool:
        return self.value is None and not self.error


@dataclass
class Tally:
    """Counts, and the seconds of processor time that reading and computing took, over all lanes."""

    done: int = 0
    failed: int = 0
    passed_over: int = 0
    read: float = 0.0
    compute: float = 0.0

    def add(self, result: Result[T]) -> None:
        self.done += result.value is not None
        self.failed += bool(result.error)
        self.passed_over += result.passed_over
        self.read += result.read
        self.compute += result.compute

    def merge(self, other: Tally) -> None:
        """Add what another process has counted."""
        self.done += other.done
        self.failed += other.failed
        self.passed_over += other.passed_over
        self.read += other.read
        self.compute += other.compute


@dataclass(frozen=True)
class Limits:
    """What a single picture may be. The defaults suit files of one's own; a server passes its settings."""

    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS


class Options(TypedDict, total=False):
    """What `sources_run` may be told besides."""

    limits: Limits
    keep: Keep | None
    batch: int
    lanes: int


def pictures_classify(
    sources: Iterable[Source], *, loaded: Engine, head: Head | None = None, top: int = 5, **options: Unpack[Options]
) -> Iterator[Result[Answer]]:
    """Rank the labels of `head` (ImageNet's where None) for each; `options` are those of `sources_run`."""
    return sources_run(sources, loaded=loaded, compute=partial(answers, loaded, head, top), **options)


def pictures_embed(
    sources: Iterable[Source], *, loaded: Engine, **options: Unpack[Options]
) -> Iterator[Result[NDArray[np.float32]]]:
    """Where the model puts each: (D,) float32, L2-normalised. Raises `TextUnsupported` for the stand-in."""
    return sources_run(sources, loaded=loaded, compute=loaded.embed_images, **options)


def answers(loaded: Engine, head: Head | None, top: int, pictures: Sequence[Image]) -> list[Answer]:
    """As `loaded.classify` would answer for each, in one batch where the model makes embeddings."""
    if loaded.info.standin:
        return [loaded.classify(picture, head, top) for picture in pictures]
    return [Answer(loaded.rank_embedding(row, head, top), row) for row in loaded.embed_images(pictures)]


def sources_of(paths: Iterable[str | os.PathLike[str]], *, asked: bool = True) -> Iterator[Source]:
    """Files by their paths; `finding.Finder` looks into folders."""
    for path in paths:
        yield Source(os.fspath(path), partial(file_open, path), asked)


def file_open(path: str | os.PathLike[str]) -> BinaryIO:
    """A file that can seek; what cannot, such as a pipe, is read into memory."""
    file = Path(path).open("rb")  # noqa: SIM115
    if file.seekable():
        return file
    with file:
        return io.BytesIO(file.read())


def sources_run(
    sources: Iterable[Source],
    *,
    loaded: Engine,
    compute: Callable[[Sequence[Image]], Iterable[T]],
    limits: Limits | None = None,
    keep: Keep | None = None,
    batch: int | None = None,
    lanes: int | None = None,
) -> Iterator[Result[T]]:
    """`compute` over what the model sees of each picture, in batches, in as many threads as there are cores.

    `keep` is called with the whole picture and its file while both are at hand; what it returns comes with the result.
    Sources are taken as results are asked for, so both may be endless. What `compute` raises ends the run.
    """
    lanes = lanes or cores()
    work = Batch(loaded, compute, limits or Limits(), keep)
    waiting: deque[Future[list[Result[T]]]] = deque()
    pool = ThreadPoolExecutor(lanes, thread_name_prefix=LANE, initializer=torch_threads, initargs=(1,))
    try:
        for group in _grouped(sources, batch or batch_size(loaded)):
            waiting.append(pool.submit(work, group))
            if len(waiting) > AHEAD * lanes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:  # whoever stops asking, or is interrupted, waits for the batches under way alone
        pool.shutdown(wait=True, cancel_futures=True)


def group_run(
    sources: Sequence[Source],
    *,
    loaded: Engine,
    compute: Callable[[Sequence[Image]], Iterable[T]],
    limits: Limits,
    keep: Keep | None = None,
) -> list[Result[T]]:
    """One batch, in the calling thread: for a server, which says itself what computes when."""
    return Batch(loaded, compute, limits, keep)(sources)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def batch_size(loaded: Engine) -> int:
    """As many pictures as ViT-B/32 needs for large products; of a model with more patches, fewer make as many rows."""
    if getattr(loaded, "device", "cpu") != "cpu":
        return BATCH_GPU
    patch = loaded.info.manifest.get("shape", {}).get("patch") or 32  # pixels; a ResNet's output has 1/32 of the sides
    patches = (loaded.info.input_resolution / patch) ** 2
    return max(1, min(BATCH, round(BATCH * 49 / patches)))


@dataclass(frozen=True)
class Batch(Generic[T]):
    """One batch in one lane."""

    loaded: Engine
    compute: Callable[[Sequence[Image]], Iterable[T]]
    limits: Limits
    keep: Keep | None

    def __call__(self, sources: Sequence[Source]) -> list[Result[T]]:
        found = [self.timed_read(source) for source in sources]
        seen = [result.value for result in found if result.value is not None]
        started = time.thread_time()
        values = iter(self.compute(seen) if seen else ())
        share = (time.thread_time() - started) / max(1, len(seen))
        return [
            Result(
                result.source,
                None if result.value is None else next(values),
                result.error,
                result.kept,
                result.read,
                0.0 if result.value is None else share,
            )
            for result in found
        ]

    def timed_read(self, source: Source) -> Result[Image]:
        started = time.thread_time()
        result = self.read(source)
        return replace(result, read=time.thread_time() - started)

    def read(self, source: Source) -> Result[Image]:
        """What the model sees of a picture, small."""
        try:
            with source.open() as file:
                if not source.asked and _is_other(source.name, file):
                    return Result(source)
                return self.look(source, file)
        except ImageError as error:
            return Result(source, error=str(error))
        except OSError as error:
            return Result(source, error=f"{error.strerror or error}.")

    def look(self, source: Source, file: BinaryIO) -> Result[Image]:
        from classifier.pictures import reading

        side = SHARPNESS * self.loaded.info.input_resolution
        limits = {"max_bytes": self.limits.max_bytes, "max_pixels": self.limits.max_pixels, "shorter": side}
        while True:
            try:
                with reading.picture_open(file, **limits) as picture:
                    kept = self.keep(picture, file) if self.keep else None
                    return Result(source, self.loaded.seen(picture.image), kept=kept)
            except Busy:  # other lanes read large pictures: one's own turn comes
                continue


def _is_other(name: str, file: BinaryIO) -> bool:
    """Whether a folder's file is no picture, neither by its first bytes nor by its ending."""
    from classifier.pictures import containers

    other = containers.format_name(file.read(containers.PREFIX)) in NO_PICTURES
    return other and os.path.splitext(name)[1].lower() not in ENDINGS


def _grouped(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    iterator = iter(sources)
    while group := list(itertools.islice(iterator, size)):
        yield group


def torch_threads(number: int) -> None:
    """For what the calling thread computes from now on, and threads that are yet to start."""
    import torch

    torch.set_num_threads(number)
