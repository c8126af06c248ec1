"""Processor time and memory of reading a picture."""

from __future__ import annotations

import resource
import runpy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 5.0  # of processor time that reading a picture may take
MEMORY = 175_000_000  # bytes, the stored JPEG included
SANDBOX_MEMORY = 200_000_000  # bytes of the sandbox, Python and Pillow included


@dataclass
class Measured:
    seconds: float = 0.0  # of processor time, of the sandbox, too
    memory: int = 0  # bytes, at its peak, on top of what was there before
    sandbox: int = 0  # bytes, at its peak, of the largest sandbox so far


def allocator_as_deployed() -> None:
    """What is freed is given back, so that memory can be told from what glibc keeps by itself."""
    runpy.run_path(str(Path(__file__).resolve().parents[3] / "gunicorn.conf.py"))


def measured(function: Callable[[], None]) -> Measured:
    peak_reset()
    before, started = _peak(), _processor()
    function()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(_processor() - started, _peak() - before, 1024 * children.ru_maxrss)


def peak_reset() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def _peak() -> int:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def _processor() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
