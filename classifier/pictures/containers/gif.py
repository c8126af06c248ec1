"""GIF (GIF89a): the first frame."""

from __future__ import annotations

from typing import BinaryIO

from classifier.pictures.containers.parts import Bare, Damaged, Stream, exactly

BLOCKS = 100_000  # before the first frame; 255 bytes each
IMAGE, EXTENSION, CONTROL = b",", b"!", b"\xf9"


def bare(file: BinaryIO, size: int) -> Bare:
    """The screen, the first frame's graphic control extension, and everything from that frame on."""
    file.seek(0)
    screen = exactly(file, 13)
    if screen[10] & 0x80:
        screen += exactly(file, 3 << ((screen[10] & 7) + 1))
    control, blocks = b"", 0
    while blocks < BLOCKS:
        introducer = exactly(file, 1)
        if introducer == IMAGE:
            return Bare(Stream(file, [screen, control, range(file.tell() - 1, size)]))
        blocks += 1
        if introducer != EXTENSION:
            continue  # Pillow and browsers skip what they do not know, byte by byte
        label = exactly(file, 1)
        while length := exactly(file, 1)[0]:
            data = exactly(file, length)
            if label == CONTROL and length >= 4:
                control = EXTENSION + CONTROL + b"\4" + data[:4] + b"\0"
            blocks += 1
            if blocks >= BLOCKS:
                break
    raise Damaged("no frame")
