"""What the rehearsal prints."""

from __future__ import annotations

MB = 1_000_000


class Table:
    """Rows as they come, and whether a limit was passed."""

    def __init__(self) -> None:
        self.failed = False

    def row(self, name: str, value: str, ok: bool = True) -> None:
        self.failed |= not ok
        print(f"{name:46} {value}{'' if ok else '   <-- TOO MUCH'}", flush=True)

    def head(self, name: str) -> None:
        print(f"\n{name}", flush=True)
