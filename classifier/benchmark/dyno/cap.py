"""The memory of a dyno, held by the kernel."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from classifier.benchmark.dyno.table import MB, Table
from classifier.benchmark.server import Memory, Server, memory

MEMORY_LIMIT = 512 * MB  # beyond it Heroku logs R14 and swaps


class Cap:
    """512 MB by a cgroup, version 1 or 2; or none, which is said."""

    def __init__(self) -> None:
        self.kind, self.path = "none: no cgroup can be made here (not root?), so memory is measured only", None
        name = f"clip-dyno-{os.getpid()}"
        for kind, root, limit in (
            ("cgroup v1", Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            ("cgroup v2", Path("/sys/fs/cgroup"), "memory.max"),
        ):
            try:
                (root / name).mkdir()
                (root / name / limit).write_text(str(MEMORY_LIMIT))
            except OSError:
                with contextlib.suppress(OSError):
                    (root / name).rmdir()
                continue
            self.kind, self.path = kind, root / name
            if kind == "cgroup v2":
                with contextlib.suppress(OSError):
                    (self.path / "memory.swap.max").write_text("0")
            return

    def prefix(self) -> list[str]:
        """Put before a command, it runs it under the cap."""
        if self.path is None:
            return []
        return ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "dyno"]

    def figure(self, *names: str) -> int:
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                return int((self.path / name).read_text())
        return -1

    def statistics(self) -> dict[str, int]:
        pairs = (line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return {name: int(value) for name, value, *_ in pairs}

    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                for line in (self.path / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def describe(self, when: str, table: Table, server: Server) -> Memory:
        now = memory(server.process.pid)
        value = f"{now.pss / 1:4.0f} MB PSS, {now.anonymous:4.0f} MB anonymous, {now.swap:.0f} MB swap"
        if self.path is not None:
            found = self.statistics()
            value += f", {found.get('cache', found.get('file', 0)) / MB:.0f} MB page cache"
        table.row(f"dyno: memory {when}", value)
        return now

    def remove(self) -> None:
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.rmdir()
