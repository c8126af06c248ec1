"""Where commands write: progress to a terminal, results to a pipe that may close."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from django.core.management.base import OutputWrapper

from classifier.engine.progress import StepBars

CLOSED_PIPE = 141  # exit status, as of any program whose reader left


def stream_of(wrapper: OutputWrapper) -> TextIO:
    """The stream inside a command's stdout or stderr, which adds no line ends."""
    inner: Any = getattr(wrapper, "_out", wrapper)
    return inner


@contextmanager
def step_bars(stderr: OutputWrapper, *, steps: bool = False) -> Iterator[StepBars]:
    """Progress of the engine's long steps; see StepBars."""
    bars = StepBars(stream_of(stderr), steps=steps)
    try:
        yield bars
    finally:
        bars.close()


@contextmanager
def closed_pipe_quiet() -> Iterator[None]:
    """Who reads stdout may stop, as `| head` does: the command ends, and says nothing."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at exit
        raise SystemExit(CLOSED_PIPE) from None
