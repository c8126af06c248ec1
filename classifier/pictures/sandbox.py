"""Reading TIFF and AVIF in a process of its own, whose memory and time the kernel bounds.

Their decoders take what the file asks for, which for a hostile one is more than a dyno has. Both formats are rare on
the web, and the process starts in a tenth of a second. It gets the file and nothing else, and where the kernel lets it,
it gives up all calls by which it could get more (`confinement`): it can open no file, no secrets and no database. It
answers with a line of JSON, and with pixels in a temporary file.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, TypedDict

from PIL import Image, PpmImagePlugin

from classifier import errors
from classifier.capacity.limits import decode_memory, decode_memory_set
from classifier.capacity.room import Room
from classifier.pictures.confinement import confine_self
from classifier.pictures.decoding import picture_decode

log = logging.getLogger(__name__)

PYTHON = 50_000_000  # bytes of address space that Python and Pillow take beside a picture
SECONDS = 5  # of processor time
TIMEOUT = 15  # seconds
ENVIRONMENT = ("PATH", "LANG", "HOME", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")

COMMAND = [sys.executable, "-m", "classifier.pictures.sandbox"]

ROOT = Path(__file__).resolve().parents[2]

TURN = Room(1, timeout=8)  # one at a time: who calls `read` holds it


class Answer(TypedDict, total=False):
    """What the process says: the original's size, or which of our errors and its sentence."""

    width: int
    height: int
    error: str
    message: str
    unconfined: str  # why the process could have opened files all the same


def read(file: BinaryIO, name: str, max_pixels: int) -> tuple[Image.Image, str, int, int]:
    """(picture, format, width and height of the original); raises an `ImageError`."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as pixels:
        file.seek(0)
        while chunk := file.read(1 << 20):
            given.write(chunk)
        given.seek(0)
        answer = _run(given, pixels, name, max_pixels)
        if answer.get("unconfined"):
            unconfined_log(answer["unconfined"])
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        pixels.seek(0)
        image = PpmImagePlugin.PpmImageFile(pixels)
        image.load()
        return image._new(image.im), name, answer["width"], answer["height"]


def _run(given: BinaryIO, pixels: BinaryIO, name: str, max_pixels: int) -> Answer:
    command = [*COMMAND, name, str(max_pixels), str(decode_memory()), str(pixels.fileno())]
    try:
        done = subprocess.run(
            command,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[pixels.fileno()],
            cwd=ROOT,
            env=environment(),
            timeout=TIMEOUT,
        )
        answer: Answer = json.loads(done.stdout)
        return answer
    except (subprocess.TimeoutExpired, ValueError):  # killed by a limit, or by what the file did to the decoder
        return {"error": "BrokenImage", "message": f"This {name} picture takes too long or too much memory to read. "
                "Save it as a JPEG or PNG and send that."}  # fmt: skip


def environment() -> dict[str, str]:
    return {key: os.environ[key] for key in ENVIRONMENT if key in os.environ}


@functools.cache
def unconfined_log(reason: str) -> None:
    """Once for each reason."""
    log.warning("pictures are decoded without a filter of system calls: %s", reason)


def limit_self() -> None:
    """Bound what this process may take; what goes beyond fails or ends it."""
    import resource

    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_AS, PYTHON + decode_memory()),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS knows RLIMIT_AS and does not set it
            resource.setrlimit(kind, (most, most))


def main(name: str, max_pixels: str, memory: str, descriptor: str) -> None:
    Image.preinit()  # what Pillow would otherwise import later, when no file can be opened any more
    decode_memory_set(int(memory), most=int(memory))
    limit_self()
    unconfined = confine_self()
    answer: Answer
    try:
        picture = picture_decode(sys.stdin.buffer, name, int(max_pixels))
        with os.fdopen(int(descriptor), "wb") as pixels:
            picture.image.save(pixels, "PPM")
        answer = {"width": picture.width, "height": picture.height}
    except errors.ImageError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps({**answer, "unconfined": unconfined}))


if __name__ == "__main__":
    main(*sys.argv[1:])
