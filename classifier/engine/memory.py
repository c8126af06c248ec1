"""Giving memory back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

from classifier.capacity.resident import release_unused

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
LOADING = 256 << 10  # bytes; while loading, temporaries above this are mapped, and unmapped when freed
SERVING = 4 << 20  # bytes: activations, of which none is as large, are reused; decoded pictures are unmapped


@contextlib.contextmanager
def returning_temporaries() -> Iterator[None]:
    """Leave nothing behind but what was kept, neither on the heap nor of files that were read for it.

    glibc raises its threshold for mapping as soon as a mapped block is freed, up to 32 MB, and from then on cuts large
    temporaries out of its heap, where one small block that stays keeps everything below it. With a fixed threshold
    each temporary is a mapping of its own. The threshold stays fixed once set, so serving gets one of its own.
    """
    libc = glibc()
    if libc:
        libc.mallopt(M_MMAP_THRESHOLD, LOADING)
    try:
        yield
    finally:
        gc.collect()
        if libc:
            libc.mallopt(M_MMAP_THRESHOLD, SERVING)
            libc.mallopt(M_TRIM_THRESHOLD, 2 * SERVING)
            libc.malloc_trim(0)
        release_unused()


def glibc() -> ctypes.CDLL | None:
    """The C library, where it is one that has these functions."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
