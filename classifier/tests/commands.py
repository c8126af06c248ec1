"""Management commands called in this process, with the engine that knows colours, and processes at a terminal."""

import io
import os
import pty
import subprocess
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

from django.core.management import CommandError, call_command
from django.test import SimpleTestCase

from classifier.tests.colour_engine import ColourEngine, serve
from classifier.tests.photos import plain


class CommandTestCase(SimpleTestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.engine = ColourEngine()

    def paint(self, name: str, colour: str, size: tuple[int, int] = (32, 24)) -> Path:
        """A picture of one colour in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plain("PNG", colour, size))
        return path

    def command(self, *arguments: object, status: int = 0) -> str:
        """What it writes to stdout; what it writes to stderr is in self.errors, why it gave up in self.message."""
        out, err, found = io.StringIO(), io.StringIO(), 0
        try:
            with serve(self.engine):
                call_command(*map(str, arguments), stdout=out, stderr=err)
        except SystemExit as end:
            found = end.code
        except CommandError as error:
            found, self.message = error.returncode, str(error)
        self.errors = err.getvalue()
        self.assertEqual(found, status, self.errors)
        return out.getvalue()


def on_terminal(start: Callable[..., subprocess.Popen]) -> tuple[int, str]:
    """How a process ended that `start(stderr=...)` begins, and what it wrote to its terminal, 100 columns wide."""
    terminal, other = pty.openpty()
    termios.tcsetwinsize(other, (24, 100))
    process = start(stderr=other)
    os.close(other)
    text = b""
    try:
        while chunk := os.read(terminal, 65536):
            text += chunk
    except OSError:  # Linux says so at a terminal's end
        pass
    os.close(terminal)
    return process.wait(), text.decode()
