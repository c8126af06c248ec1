"""Pictures made to do harm, generated: bombs, lies, loops, polyglots, cuts. And file names of the same kind.

`cases()` yields each with what must come of it: "read", the name of an error, or "any" of these where decoders may
differ. `python -m classifier.tests.hostile [PART OF A NAME]` reads them and prints what came of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from classifier.tests.hostile import avif, bmp, gif, jpeg, others, png, tiff, webp
from classifier.tests.hostile.names import NAMES

__all__ = ["NAMES", "Case", "cases", "cuts"]


@dataclass(frozen=True)
class Case:
    name: str
    expected: str
    data: Callable[[], bytes]


def cases() -> Iterator[Case]:
    for group in (jpeg, png, gif, webp, bmp, tiff, avif, others):
        for name, (expected, data) in group.cases().items():
            yield Case(f"{group.__name__.rpartition('.')[2]}: {name}", expected, data)


def cuts(data: bytes, step: int = 1024) -> Iterator[bytes]:
    """`data` cut off at every `step` bytes."""
    for length in range(step, len(data), step):
        yield data[:length]
