"""How much memory there is, and what of it a model leaves for pictures and texts.

The figures beside the model's own are measured: docs/operations.md. MB are 1,000,000 bytes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

SERVER = 297_000_000  # bytes of gunicorn, Django, torch and what passes through at the busiest, without any weights
LEAST = 30_000_000  # bytes for pictures with which a server is of use: photos of a phone, PNGs of 6 megapixels
MOST = 150_000_000  # bytes for pictures and texts that are always enough
TEXT = 130_000_000  # bytes of that for a text tower of which nothing is known yet
DYNOS = ((512, "basic or standard-1x"), (1024, "standard-2x"), (2560, "performance-m"), (14336, "performance-l"))  # MB
UNLIMITED = 1 << 50  # bytes; what version 1 says where there is no limit is more


def memory_limit(stated: int | None, root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that this process may take: `stated`, or the container's limit where that is less. None: not known."""
    known = [limit for limit in (stated, cgroup_limit(root)) if limit]
    return min(known, default=None)


def memory_of_machine() -> int | None:
    """Bytes that are built in; None where that is not told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def cgroup_limit(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """The least of the limits of this process's cgroup and those above it, version 2 or 1; None where there is none."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        number, controllers, place = line.split(":", 2)
        if number == "0" and not controllers:
            found += limits_of(root, place, "memory.max")
        elif "memory" in controllers.split(","):
            found += limits_of(root / "memory", place, "memory.limit_in_bytes")
    return min(found, default=None)


def limits_of(root: Path, place: str, name: str) -> list[int]:
    """Those of a cgroup and of all above it. In a container the path may be one of the host's: then the root counts."""
    paths = [root / place.strip("/"), *(root / place.strip("/")).parents, root]
    limits = []
    for path in dict.fromkeys(paths):
        if path == root or root in path.parents:
            try:
                text = (path / name).read_text()
            except OSError:
                continue
            limits += [int(text)] if re.fullmatch(r"\d+\n?", text) and int(text) < UNLIMITED else []
    return limits


def memory_left(limit: int | None, model: int) -> int:
    """Bytes for pictures and texts beside a model of `model` bytes, which may be too few."""
    return MOST if limit is None else min(MOST, limit - SERVER - model)


def shortage(name: str, limit: int | None, model: int) -> str:
    """Why a model cannot be served within `limit`, and what can serve it; "" where it can."""
    if memory_left(limit, model) >= LEAST or limit is None:
        return ""
    needed = SERVER + model + LEAST
    dyno = next((f"a {kind} dyno ({size} MB)" for size, kind in DYNOS if size * 1_000_000 >= needed), "no dyno")
    return (
        f"{name} needs {needed / 1e6:.0f} MB to be served and there are {limit / 1e6:.0f}: it fits {dyno}. "
        "Take a smaller model, or set MEMORY_MB to what the server will have."
    )
