"""Embeddings on disk as clip-retrieval and autofaiss read them, in pieces that are whole or not there. No Django.

    img_emb/img_emb_0.npy          (N, D) float16, L2-normalised; text_emb/text_emb_0.npy for texts
    metadata/metadata_0.parquet    N rows: image_path or caption, and whatever else was told
    model.json                     which model made them: nothing of another is added

https://github.com/rom1504/clip-retrieval (clip_retrieval/clip_inference/writer.py)

`cluster` adds, of many machines' work, failed/failed_0.parquet (path, error), and writes classifications the same way.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from classifier.errors import OutputMismatch, PackageMissing
from classifier.services.remote import Folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.engine import ModelInfo

IMAGES, TEXTS, METADATA = "img_emb", "text_emb", "metadata"
KEYS = {IMAGES: "image_path", TEXTS: "caption"}  # the column that says which picture or text a row is
ROWS = 10_000  # of a shard: 10 MB of ViT-B/32's, and what a kill may cost
FAILED = "failed"  # beside, the pictures that have no row
FACTS = b"heroku-clip"  # a table's own metadata has what else was told of it, as JSON
AT_ONCE = 16  # tables that are looked at together, since in a bucket each takes a while


Facts = Mapping[str, object]


def parquet() -> ModuleType:
    """pyarrow.parquet. Raises PackageMissing where requirements-bulk.txt is not installed."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise PackageMissing("Parquet needs pyarrow; run: pip install -r requirements-bulk.txt") from error
    module: ModuleType = pyarrow.parquet
    return module


class Shards:
    """Rows are gathered and written a shard at a time; `close` writes the rest. What a killed run left is continued.

    Raises OutputMismatch where the folder holds another model's embeddings.
    """

    def __init__(self, directory: Path | str, info: ModelInfo, *, kind: str = IMAGES, rows: int = ROWS) -> None:
        parquet()  # or it would be missed after the first pictures
        self.folder, self.kind, self.rows = Folder(directory), kind, rows
        self._vectors: list[NDArray[np.float16]] = []
        self._metadata: list[Mapping[str, object]] = []
        model_check(self.folder, info)
        earlier = embeddings_earlier(self.folder, kind)
        self.done, self.number = earlier.done, max(earlier.numbers, default=-1) + 1

    def add(self, vector: NDArray[np.float32], metadata: Mapping[str, object]) -> None:
        """One row; `metadata` has the kind's key, and in each row the same names."""
        self._vectors.append(vector.astype("float16"))
        self._metadata.append(metadata)
        if len(self._vectors) >= self.rows:
            self.close()

    def close(self) -> None:
        """Write what was gathered."""
        if self._vectors:
            embeddings_write(self.folder, self.number, self._vectors, self._metadata, kind=self.kind)
            self._vectors, self._metadata, self.number = [], [], self.number + 1


def embeddings_write(
    folder: Folder,
    number: int,
    vectors: Sequence[NDArray[np.float16]],
    metadata: Sequence[Mapping[str, object]],
    *,
    kind: str = IMAGES,
    facts: Facts | None = None,
) -> None:
    """One shard. The table comes last: where it is, the shard is whole."""
    import numpy as np

    folder.write(f"{kind}/{kind}_{number}.npy", lambda file: np.save(file, np.stack(vectors)))
    table_write(folder, METADATA, number, metadata, facts=facts)


def table_write(
    folder: Folder,
    name: str,
    number: int,
    rows: Sequence[Mapping[str, object]],
    *,
    facts: Facts | None = None,
    columns: Mapping[str, str] | None = None,
) -> None:
    """NAME/NAME_0.parquet. `columns` gives types where rows alone do not say them ("list<string>")."""
    import pyarrow

    schema = pyarrow.schema([(each, _type(kind)) for each, kind in columns.items()]) if columns else None
    table = pyarrow.Table.from_pylist([dict(row) for row in rows], schema=schema)
    if facts is not None:
        table = table.replace_schema_metadata({FACTS: json.dumps(facts)})
    folder.write(f"{name}/{name}_{number}.parquet", partial(parquet().write_table, table))


def _type(name: str) -> object:
    """pyarrow's type of that name."""
    import pyarrow

    if name.startswith("list<"):
        return pyarrow.list_(_type(name[5:-1]))
    return pyarrow.type_for_alias(name)


def model_check(folder: Folder, info: ModelInfo) -> None:
    """Raises OutputMismatch where the folder holds another model's embeddings."""
    facts = {"model": info.model, "precision": info.precision, "weights_sha256": info.weights_sha256}
    facts_check(folder, "model.json", facts, f"{folder.place} holds another model's embeddings: name another folder.")


def facts_check(folder: Folder, name: str, facts: Facts, otherwise: str) -> None:
    """Write down what all of a folder has in common. Raises OutputMismatch where other things stand there."""
    found = folder.read(name)
    if found is not None and json.loads(found) != facts:
        raise OutputMismatch(otherwise)
    if found is None:
        folder.write(name, lambda file: file.write(json.dumps(facts, indent=1).encode()))


@dataclass
class Earlier:
    """What earlier runs have left in a folder, all of it whole."""

    numbers: set[int] = field(default_factory=set)  # of its shards
    done: set[str] = field(default_factory=set)  # keys, but for those out of archives
    failed: set[str] = field(default_factory=set)
    facts: list[Facts] = field(default_factory=list)  # as they were told of each shard

    def free(self) -> Iterator[int]:
        """Numbers for new shards."""
        return (number for number in itertools.count() if number not in self.numbers)


def embeddings_earlier(folder: Folder, kind: str = IMAGES) -> Earlier:
    """What is there of embeddings; what a killed run left half-written goes."""
    found = earlier_of(folder, METADATA, KEYS[kind], beside=(kind, FAILED))
    found.failed = earlier_of(folder, FAILED, "path").failed
    return found


def earlier_of(folder: Folder, name: str, key: str, *, beside: Sequence[str] = ()) -> Earlier:
    """The shards whose table NAME is there; half-written files go, and those in folders `beside` it without a table."""
    found, tables = Earlier(), []
    for path in folder.names(name):
        if path.endswith(".parquet"):
            tables.append(path)
            found.numbers.add(_number(path))
        elif path.endswith(".part"):
            folder.remove(path)
    for path in itertools.chain.from_iterable(map(folder.names, beside)):
        if path.endswith(".part") or _number(path) not in found.numbers:
            folder.remove(path)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for facts, done, failed in pool.map(partial(_table_earlier, folder, key), tables):
            found.facts.append(facts)
            found.done.update(done)
            found.failed.update(failed)
    return found


def _table_earlier(folder: Folder, key: str, name: str) -> tuple[Facts, list[str], list[str]]:
    """What was told of a table, and the keys of its rows without and with an error; of an archive's none."""
    with folder.open(name) as file:
        table = parquet().ParquetFile(file)
        facts: Facts = json.loads((table.schema_arrow.metadata or {}).get(FACTS, b"{}"))
        if "archive" in facts:
            return facts, [], []
        rows = table.read(columns=[key, "error"]).to_pydict()
    keys: list[str] = rows[key]
    errors = rows.get("error") or [None] * len(keys)
    done = [key for key, error in zip(keys, errors, strict=True) if error is None]
    return facts, done, [key for key, error in zip(keys, errors, strict=True) if error is not None]


def _number(name: str) -> int:
    """Of folder/kind_12.npy."""
    stem = Path(name).stem.rpartition("_")[2]
    return int(stem) if stem.isdecimal() else -1
