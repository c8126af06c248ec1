"""Embeddings on disk as clip-retrieval and autofaiss read them, in pieces that are whole or not there. No Django.

    img_emb/img_emb_0.npy          (N, D) float16, L2-normalised; text_emb/text_emb_0.npy for texts
    metadata/metadata_0.parquet    N rows: image_path or caption, and whatever else was told
    model.json                     which model made them: nothing of another is added

https://github.com/rom1504/clip-retrieval (clip_retrieval/clip_inference/writer.py)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from classifier.errors import OutputMismatch, PackageMissing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.engine import ModelInfo

IMAGES, TEXTS = "img_emb", "text_emb"
KEYS = {IMAGES: "image_path", TEXTS: "caption"}  # the column that says which picture or text a row is
ROWS = 10_000  # of a shard: 10 MB of ViT-B/32's, and what a kill may cost


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

    def __init__(self, directory: Path, info: ModelInfo, *, kind: str = IMAGES, rows: int = ROWS) -> None:
        self.parquet = parquet()
        self.directory, self.kind, self.rows = directory, kind, rows
        self._vectors: list[NDArray[np.float16]] = []
        self._metadata: list[Mapping[str, object]] = []
        for name in (kind, "metadata"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self._check_model(info)
        self.done, self.number = self._recover()

    def add(self, vector: NDArray[np.float32], metadata: Mapping[str, object]) -> None:
        """One row; `metadata` has the kind's key, and in each row the same names."""
        self._vectors.append(vector.astype("float16"))
        self._metadata.append(metadata)
        if len(self._vectors) >= self.rows:
            self.close()

    def close(self) -> None:
        """Write what was gathered. The table comes last: where it is, the shard is whole."""
        import numpy as np
        import pyarrow

        if not self._vectors:
            return
        vectors, table = np.stack(self._vectors), pyarrow.Table.from_pylist([dict(row) for row in self._metadata])
        _write(self._file(self.kind, "npy"), lambda part: _save(part, vectors))
        _write(self._file("metadata", "parquet"), lambda part: self.parquet.write_table(table, part))
        self._vectors, self._metadata, self.number = [], [], self.number + 1

    def _file(self, kind: str, ending: str) -> Path:
        return self.directory / kind / f"{kind}_{self.number}.{ending}"

    def _check_model(self, info: ModelInfo) -> None:
        facts = {"model": info.model, "precision": info.precision, "weights_sha256": info.weights_sha256}
        path = self.directory / "model.json"
        if path.exists() and json.loads(path.read_text()) != facts:
            raise OutputMismatch(f"{self.directory} holds another model's embeddings: name another folder.")
        _write(path, lambda part: part.write_text(json.dumps(facts, indent=1)))

    def _recover(self) -> tuple[set[str], int]:
        """The keys that are done, and the next shard's number; what a killed run left half-written goes."""
        done: set[str] = set()
        tables = {path.stem.rpartition("_")[2]: path for path in (self.directory / "metadata").glob("*.parquet")}
        for path in [*self.directory.glob("*/*.part"), *(self.directory / self.kind).glob("*.npy")]:
            if path.suffix == ".part" or path.stem.rpartition("_")[2] not in tables:
                path.unlink()
        for path in tables.values():
            done.update(self.parquet.read_table(path, columns=[KEYS[self.kind]])[KEYS[self.kind]].to_pylist())
        return done, 1 + max(map(int, tables), default=-1)


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Whole or not at all."""
    part = path.with_suffix(f"{path.suffix}.part")
    write(part)
    part.replace(path)


def _save(path: Path, vectors: NDArray[np.float16]) -> None:
    import numpy as np

    with path.open("wb") as file:  # given a name, it would add an ending
        np.save(file, vectors)
