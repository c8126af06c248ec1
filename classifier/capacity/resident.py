"""Giving memory back: pages of libraries that were read once, while they were loaded, and what the allocator keeps.

torch registers some fifty thousand operators as it starts, with code and tables that are never looked at again. They
are clean pages of files: the kernel drops them by itself, but only when memory is short, and until then they count.
"""

import contextlib
import ctypes
import re
from pathlib import Path

MADV_DONTNEED = 4  # madvise(2): of a file's clean pages, forget that they are here; reading them brings them back
LEAST = 1 << 20  # bytes; smaller mappings are not worth the call
MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* +/", re.MULTILINE)


def release_unused() -> int:
    """Forget the clean pages of files mapped for reading; returns how many bytes these mappings span."""
    try:
        text = Path("/proc/self/smaps").read_text()
        madvise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return 0  # not Linux
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    released = 0
    starts = [*MAPPING.finditer(text)]
    for mapping in starts:
        start, end = (int(mapping.group(number), 16) for number in (1, 2))
        facts = text[mapping.end() : text.index("VmFlags:", mapping.end())]
        # A mapping with pages of its own was written to, by the linker for example: those would be lost.
        untouched = re.search(r"^Anonymous: +0 kB", facts, re.MULTILINE)
        if untouched and end - start >= LEAST and madvise(start, end - start, MADV_DONTNEED) == 0:
            released += end - start
    return released


def trim() -> None:
    """Give back the pages between what is in use on the heap: after many requests at a time they are many."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
