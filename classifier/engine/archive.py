"""PyTorch's archives, read without running what is in them.

A ZIP whose `data.pkl` describes the module tree and whose `data/<n>` entries are the tensors, stored uncompressed
(https://pytorch.org/docs/stable/notes/serialization.html). Only that description is read, by an unpickler that can
build nothing but dictionaries and tensors; the archive's code is never run, and the tensors are views of the
memory-mapped file, so that opening costs neither time nor memory.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier.errors import CheckpointError

if TYPE_CHECKING:
    import torch
STORAGES = {
    "HalfStorage": np.float16,
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "BoolStorage": np.bool_,
}


class Node:
    """A module of the archive: whatever its class was called, only its attributes are kept."""


class TensorUnpickler(pickle.Unpickler):
    """Reads `data.pkl` and refuses every name that is not a module, a tensor, or a list."""

    def __init__(self, file: io.BytesIO, storage: Callable[[str, type], np.ndarray]) -> None:
        super().__init__(file)
        self.storage = storage
        self.classes: set[str] = set()  # of modules, by name

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            self.classes.add(name)
            return Node
        if module == "collections" and name == "OrderedDict":
            return OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which no CLIP checkpoint needs")

    def persistent_load(self, key: tuple[str, type, str, str, int]) -> np.ndarray:
        _, dtype, number, _, _ = key  # "storage", element type, entry, device, elements
        return self.storage(number, dtype)


def rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> torch.Tensor:
    """A view of its storage; torch checks that it lies inside."""
    import torch

    try:
        return torch.from_numpy(storage).as_strided(size, stride, offset)
    except RuntimeError as error:
        raise pickle.UnpicklingError(f"a tensor reaches past its data ({error})") from error


def archive_read(path: Path, verify: bool) -> tuple[dict[str, torch.Tensor], set[str]]:
    """The tensors of a PyTorch archive by their dotted names, and the names of its modules' classes, where it has any.

    With `verify` the ZIP's own checksums are compared. Raises CheckpointError, and what zipfile and pickle raise.
    """
    with zipfile.ZipFile(path) as archive:
        if verify and (bad := archive.testzip()):
            raise CheckpointError(f"{path} is damaged: {bad} in it does not match its checksum.")
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if not pickles:
            raise CheckpointError(f"{path} is a ZIP file but not a PyTorch checkpoint.")
        prefix = pickles[0].removesuffix("data.pkl")
        mapped = np.memmap(path, mode="c")  # copy on write: torch wants writable memory, the file stays as it is
        storages: dict[str, np.ndarray] = {}

        def storage(number: str, dtype: type) -> np.ndarray:
            if number not in storages:
                storages[number] = entry_view(archive, mapped, f"{prefix}data/{number}").view(dtype)
            return storages[number]

        unpickler = TensorUnpickler(io.BytesIO(archive.read(pickles[0])), storage)
        return dict(flatten(unpickler.load(), "")), unpickler.classes


def entry_view(archive: zipfile.ZipFile, mapped: np.ndarray, name: str) -> np.ndarray:
    """The bytes of one entry, without copying them where they are stored as they are."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        return np.frombuffer(bytearray(archive.read(info)), np.uint8)
    head = mapped[info.header_offset : info.header_offset + 30].tobytes()  # the local header, of variable length
    start = info.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    if start + info.file_size > len(mapped):
        raise zipfile.BadZipFile(f"{name} reaches past the end of the file")
    return mapped[start : start + info.file_size]


def flatten(node: Any, prefix: str) -> list[tuple[str, torch.Tensor]]:
    """Module tree or state dict -> (dotted name, tensor) pairs."""
    import torch

    if isinstance(node, torch.Tensor):
        return [(prefix, node)]
    children = node.items() if isinstance(node, dict) else vars(node).items() if isinstance(node, Node) else ()
    return [pair for key, child in children for pair in flatten(child, f"{prefix}.{key}" if prefix else str(key))]
