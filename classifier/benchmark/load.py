"""Visitors that upload real photos to a server, and what they and the server's memory saw."""

from __future__ import annotations

import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from classifier.benchmark.server import Client, Memory, Server, memory, postgres_start

PHOTOS = ("coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg", "motorcycle_left.png")  # in scikit-image
LARGE = (8000, 6000)  # pixels: 48 megapixels, as telephones send them


def photos() -> dict[str, bytes]:
    """Real photos by name; they come with scikit-image."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return {name: (folder / name).read_bytes() for name in PHOTOS}


def large_jpeg() -> bytes:
    """A real photo enlarged to 48 megapixels."""
    from PIL import Image

    return _encoded(Image.open(io.BytesIO(photos()["coffee.png"])), LARGE, "JPEG", quality=85)


def large_png(megapixels: float) -> bytes:
    """The largest PNG that the limits admit, of a real photo."""
    from PIL import Image

    image = Image.open(io.BytesIO(photos()["coffee.png"]))
    width = int((megapixels * 1e6 * image.width / image.height) ** 0.5)
    return _encoded(image, (width, int(megapixels * 1e6 / width)), "PNG", compress_level=1)


def _encoded(image: object, size: tuple[int, int], format_: str, **options: int) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    image.convert("RGB").resize(size, Image.Resampling.BILINEAR).save(stream, format_, **options)
    return stream.getvalue()


@dataclass
class Result:
    """What the visitors saw; seconds of every upload that was answered 302."""

    answers: Counter = field(default_factory=Counter)  # by status, or by the name of the error
    seconds: list[float] = field(default_factory=list)
    slowest: float = 0  # seconds, of all answers
    took: float = 0  # seconds
    stored: list[str] = field(default_factory=list)  # addresses of results
    peak: Memory = field(default_factory=lambda: Memory(0, 0, 0))

    @property
    def rate(self) -> float:
        """Uploads per second."""
        return len(self.seconds) / self.took if self.took else 0.0

    def percentile(self, percent: int) -> float:
        if len(self.seconds) < 2:
            return self.seconds[0] if self.seconds else float("nan")
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


def upload_many(
    server: Server,
    pictures: Sequence[bytes],
    *,
    clients: int,
    uploads: int | None = None,
    seconds: float | None = None,
    patient: bool = False,
) -> Result:
    """Upload the pictures in turn from so many clients at a time, so often or for so long.

    A patient client waits as a 503 tells it to; others come back at once.
    """
    result, lock, number = Result(), threading.Lock(), count()
    end = time.monotonic() + (seconds or 3600)

    def visit() -> None:
        client = server.client()
        bodies: dict[int, tuple[bytes, dict[str, str]]] = {}
        while time.monotonic() < end:
            with lock:
                turn = next(number)
            if uploads is not None and turn >= uploads:
                return
            which = turn % len(pictures)
            wait = _upload(client, pictures[which], which, bodies, result, lock)
            if patient and wait:
                time.sleep(wait)

    started = time.monotonic()
    result.peak = peak_while(server, [visit] * clients)
    result.took = time.monotonic() - started
    return result


def peak_while(server: Server, visits: Sequence[Callable[[], None]], every: float = 0.1) -> Memory:
    """The most memory that the server takes while all these visits go on at once, looked at `every` so many seconds."""
    peak, stop = memory(server.process.pid), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(every):
            peak = peak.highest(memory(server.process.pid))

    watcher = threading.Thread(target=watch)
    threads = [threading.Thread(target=visit) for visit in visits]
    for thread in [watcher, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    return peak


def _upload(
    client: Client,
    picture: bytes,
    which: int,
    bodies: dict[int, tuple[bytes, dict[str, str]]],
    result: Result,
    lock: threading.Lock,
) -> float:
    """One upload; returns how many seconds the server asked to wait."""
    began = time.perf_counter()
    try:
        if which not in bodies:
            bodies[which] = client.form(picture)
            began = time.perf_counter()
        body, headers = bodies[which]
        answer = client.request("POST", "/", body, headers)
    except (OSError, AttributeError) as error:
        with lock:
            result.answers[type(error).__name__] += 1
            result.slowest = max(result.slowest, time.perf_counter() - began)
        return 0.1
    with lock:
        result.answers[answer.status] += 1
        result.slowest = max(result.slowest, answer.seconds)
        if answer.status == 302:
            result.seconds.append(answer.seconds)
            result.stored.append(answer.headers["location"])
    return float(answer.headers.get("retry-after", 0))


def largest_png(server: Server) -> bytes:
    """The largest that this server reads: what it leaves to pictures depends on its model, and a refusal says it."""
    picture = large_png(30)
    answer = server.client(60).upload(picture)
    if told := re.search(r"we can read ([\d.]+) megapixels", answer.text):
        picture = large_png(float(told[1]) - 0.1)
    return picture


def everything_at_once(server: Server, *, turns: int = 10) -> tuple[Counter, Memory]:
    """What takes most memory: three visitors bring a hundred new labels each time, five the largest pictures.

    Returns the answers by status, and the memory at its peak.
    """
    pictures, largest = list(photos().values()), [large_jpeg(), largest_png(server)]
    answers: Counter = Counter()

    def label(visitor: int) -> None:
        for turn in range(turns):
            labels = [f"number {visitor} {turn} {number} of a kind" for number in range(100)]
            answers[server.client(60).classify(pictures[turn % len(pictures)], labels).status] += 1

    def look(visitor: int) -> None:
        client = server.client(60)
        for turn in range(turns):
            answers[client.upload(largest[(visitor + turn) % 2]).status] += 1

    visits = [partial(work, visitor) for visitor, work in enumerate([label] * 3 + [look] * 5)]
    return answers, peak_while(server, visits, every=0.05)


# --- manage.py benchmark --server --------------------------------------------------------------------------------


@contextmanager
def database() -> Iterator[str]:
    """The address of a PostgreSQL: the one in DATABASE_URL, or one that is started for this and thrown away."""
    if os.environ.get("DATABASE_URL"):
        yield os.environ["DATABASE_URL"]
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        server = postgres_start(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


# The engine as the server runs it, in as many threads, on photos that are decoded and waiting.
ENGINE = """
import threading, time
import django
django.setup()
from django.conf import settings
from PIL import Image
import io
from classifier.benchmark.load import photos
from classifier.services.engines import engine_get
engine = engine_get()
pictures = [Image.open(io.BytesIO(photo)).convert("RGB") for photo in photos().values()]
done, end = [0] * settings.CLIP_SLOTS, time.monotonic() + 5
def work(slot):
    while time.monotonic() < end:
        engine.classify(pictures[done[slot] % len(pictures)])
        done[slot] += 1
threads = [threading.Thread(target=work, args=(slot,)) for slot in range(settings.CLIP_SLOTS)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(done) / 5)
"""


def engine_rate(server: Server) -> float:
    """Pictures per second that the engine classifies alone, with the server's settings and nothing around it."""
    environment = {**server.environment, "DJANGO_SETTINGS_MODULE": "heroku_clip.settings", "LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-c", ENGINE]
    done = subprocess.run(command, cwd=server.root, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def server_benchmark(*, environment: dict[str, str], uploads: int = 200) -> Iterator[tuple[str, str]]:
    """Rows of (figure, value) for a server with these settings, whose model is prepared.

    What the engine does alone is measured before and after the server, on the same cores: the better of both counts.
    """
    pictures = list(photos().values())
    with database() as url:
        server = Server({"SECRET_KEY": "benchmark-only", "DATABASE_URL": url, **environment})
        for command in (["migrate", "--verbosity", "0"], ["collectstatic", "--no-input", "--verbosity", "0"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=server.root, env=server.environment, check=True)
        alone = engine_rate(server)
        with server:
            yield "start to port bound", f"{server.wait('/healthz'):.1f} s"
            yield "start to /readyz", f"{server.wait():.1f} s"
            answer = server.client().upload(pictures[0])
            if answer.status != 302:
                raise RuntimeError(f"An upload was answered {answer.status}:\n{server.log[-2000:]}")
            yield "start to first prediction", f"{time.monotonic() - server.started:.1f} s"
            idle = memory(server.process.pid)
            yield "memory idle: PSS, anonymous", f"{idle.pss:.0f} MB, {idle.anonymous:.0f} MB"
            peak = idle
            for clients in (1, 8):
                sent = pictures * 10
                sent[len(sent) // 2] = large_jpeg()  # one in fifty
                result = upload_many(server, sent, clients=clients, uploads=uploads)
                peak = peak.highest(result.peak)
                yield f"{clients} clients: uploads per second", f"{result.rate:.1f}"
                yield (
                    f"{clients} clients: p50, p95",
                    f"{1000 * result.percentile(50):.0f} ms, {1000 * result.percentile(95):.0f} ms",
                )
                if set(result.answers) != {302}:
                    yield f"{clients} clients: answers", str(dict(result.answers))
            yield "memory at peak: PSS, anonymous", f"{peak.pss:.0f} MB, {peak.anonymous:.0f} MB"
            if server.environment["CLIP_MODEL"] != "standin":
                answers, peak = everything_at_once(server)
                yield "new labels and the largest pictures: answers", str(dict(answers))
                yield "... memory at peak: PSS, anonymous", f"{peak.pss:.0f} MB, {peak.anonymous:.0f} MB"
        alone = max(alone, engine_rate(server))
        yield "engine alone: pictures per second", f"{alone:.1f}"
        yield f"{clients} clients: of what the engine does alone", f"{result.rate / alone:.0%}"
