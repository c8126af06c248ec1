"""Safetensors files, written a tensor at a time and read by mapping them (https://huggingface.co/docs/safetensors).

The header has a fixed, generous size, so that a file can be written before its tensors are all known, and so that the
data begins at a page: nothing ever holds two tensors, and a page once read can be given back.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

HEADER = 1 << 18  # bytes, its own length included; ResNet-50x64 needs about half
DTYPES = {"F32": torch.float32, "F16": torch.float16, "I8": torch.int8, "I64": torch.int64}
CODES = {dtype: code for code, dtype in DTYPES.items()}


class Entry(TypedDict):
    """What the header says of a tensor."""

    dtype: str
    shape: list[int]
    data_offsets: list[int]  # its first byte, and the one after its last, from where the data begins


def weights_write(path: Path, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Write (name, tensor) pairs in their order. Raises OSError."""
    header: dict[str, Entry] = {}
    end = 0
    with path.open("wb") as file:
        file.seek(HEADER)
        for name, tensor in tensors:
            data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
            header[name] = {
                "dtype": CODES[tensor.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [end, end + data.nbytes],
            }
            end += data.nbytes
            file.write(data.data)
        text = json.dumps(header, separators=(",", ":")).encode()
        file.seek(0)
        file.write(
            (HEADER - 8).to_bytes(8, "little") + text.ljust(HEADER - 8)
        )  # padded with spaces, as the format says


class WeightsFile(Mapping[str, Tensor]):
    """A mapped file: its tensors are views of it. Pages are read when touched and shared between processes."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # torch wants writable memory
        size = int.from_bytes(self.mapped[:8], "little")
        self.entries: dict[str, Entry] = json.loads(self.mapped[8 : 8 + size])
        self.start = 8 + size

    def __getitem__(self, name: str) -> Tensor:
        entry = self.entries[name]
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        flat = torch.frombuffer(
            self.mapped, dtype=dtype, offset=self.start + begin, count=(end - begin) // dtype.itemsize
        )
        return flat.view(entry["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def forget(self) -> None:
        """Give the pages that were read back to the system; touched again, they are read again."""
        self.mapped.madvise(mmap.MADV_DONTNEED)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a dotted prefix, without it. Vectors are copied: left where they are, scattered over the file,
    each would keep its pages in memory."""
    found = {name[len(prefix) + 1 :]: tensors[name] for name in tensors if name.startswith(prefix + ".")}
    return {name: tensor.clone() if tensor.dim() < 2 else tensor for name, tensor in found.items()}
