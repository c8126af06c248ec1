"""What a job on many machines writes, a shard at a time: embeddings as `embed` does, or classifications in Parquet.

predictions/predictions_0.parquet    path, labels and scores (likeliest first), error
run.json                             model, labels and the like: nothing of another run is added
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from classifier.engine import Answer, Engine, Head, ModelInfo
from classifier.services.bulk import Result, Source, pictures_classify, pictures_embed
from classifier.services.remote import Folder
from classifier.services.shards import (
    FAILED,
    IMAGES,
    KEYS,
    Earlier,
    Facts,
    earlier_of,
    embeddings_earlier,
    embeddings_write,
    facts_check,
    model_check,
    parquet,
    table_write,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
PREDICTIONS = "predictions"
COLUMNS = {"path": "string", "labels": "list<string>", "scores": "list<double>", "error": "string"}
ERRORS = {"path": "string", "error": "string"}


@dataclass(frozen=True, eq=False)
class Row(Generic[T]):
    """What is kept of a result until its shard is written: not the picture."""

    name: str
    value: T | None
    error: str


class Output(Generic[T]):
    """Where results go, and how they are made. Each actor has one."""

    def begin(self, info: ModelInfo) -> Earlier:
        """What is there. Raises OutputMismatch where that is another run's, PackageMissing, OSError."""
        raise NotImplementedError

    def results(self, sources: Iterable[Source], loaded: Engine, lanes: int) -> Iterator[Result[T]]:
        raise NotImplementedError

    def write(self, number: int, rows: Sequence[Row[T]], facts: Facts) -> None:
        """One shard of at least one row, whole or not at all."""
        raise NotImplementedError


@dataclass(frozen=True)
class Embeddings(Output["NDArray[np.float32]"]):
    """As `shards` says. A shard without a single embedding is not kept: its pictures are tried again."""

    place: str

    def begin(self, info: ModelInfo) -> Earlier:
        parquet()
        folder = Folder(self.place)
        model_check(folder, info)
        return embeddings_earlier(folder)

    def results(self, sources: Iterable[Source], loaded: Engine, lanes: int) -> Iterator[Result[NDArray[np.float32]]]:
        return pictures_embed(sources, loaded=loaded, lanes=lanes)

    def write(self, number: int, rows: Sequence[Row[NDArray[np.float32]]], facts: Facts) -> None:
        folder = Folder(self.place)
        vectors = [row.value.astype("float16") for row in rows if row.value is not None]
        names = [{KEYS[IMAGES]: row.name} for row in rows if row.value is not None]
        failed = [{"path": row.name, "error": row.error} for row in rows if row.value is None]
        if failed:
            table_write(folder, FAILED, number, failed, columns=ERRORS)
        if vectors:
            embeddings_write(folder, number, vectors, names, facts=facts)


@dataclass(frozen=True)
class Classifications(Output[Answer]):
    place: str
    run: Mapping[str, str] = field(hash=False)  # what all answers have in common
    head: Head | None
    top: int

    def begin(self, info: ModelInfo) -> Earlier:
        parquet()
        folder = Folder(self.place)
        otherwise = f"{self.place} was written with another model, labels or --top: name another folder."
        facts_check(folder, "run.json", self.run, otherwise)
        return earlier_of(folder, PREDICTIONS, "path")

    def results(self, sources: Iterable[Source], loaded: Engine, lanes: int) -> Iterator[Result[Answer]]:
        return pictures_classify(sources, loaded=loaded, head=self.head, top=self.top, lanes=lanes)

    def write(self, number: int, rows: Sequence[Row[Answer]], facts: Facts) -> None:
        found = [{"path": row.name, **_ranked(row.value), "error": row.error or None} for row in rows]
        table_write(Folder(self.place), PREDICTIONS, number, found, facts=facts, columns=COLUMNS)


def _ranked(answer: Answer | None) -> Facts:
    if answer is None:
        return {}
    return {"labels": [p.label for p in answer.predictions], "scores": [p.score for p in answer.predictions]}
