"""How far a long piece of work has come, its rate and the time left: tqdm's bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from tqdm import tqdm

INTERVAL = 0.2  # seconds between redraws


class StepBars:
    """A `Progress` of the engine: a bar for each step, after one another. Elsewhere than on a terminal it says nothing,
    or, with `steps`, the name of each step."""

    def __init__(self, stream: TextIO | None = None, *, steps: bool = False) -> None:
        self.stream = stream or sys.stderr
        self.terminal, self.steps = self.stream.isatty(), steps
        self.step, self.bar = "", None

    def __call__(self, step: str, done: int, total: int) -> None:
        if step != self.step:
            self.close()
            self.step = step
            if self.terminal:
                self.bar = bar(self.stream, desc=step, unit="", unit_scale=True)
            elif self.steps:
                print(step, file=self.stream, flush=True)
        if self.bar is not None:
            self.bar.total = total or None
            self.bar.update(done - self.bar.n)

    def close(self) -> None:
        """Leave the last step's bar as it stands."""
        if self.bar is not None:
            self.bar.close()
        self.step, self.bar = "", None


def bar(stream: TextIO | None = None, **options: object) -> tqdm:
    """One bar; it draws nothing where `stream` is not a terminal."""
    return tqdm(file=stream or sys.stderr, disable=None, mininterval=INTERVAL, dynamic_ncols=True, **options)
