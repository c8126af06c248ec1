"""BMP: no parts to leave out, but a compression that is decoded in Python, a few bytes at a time."""

from __future__ import annotations

import struct
from typing import BinaryIO

from classifier.errors import UnsupportedImage
from classifier.pictures.containers.parts import Bare, Stream

RLE = (1, 2)
RLE_BYTES, RLE_PIXELS = 1_000_000, 4_000_000


def bare(file: BinaryIO, size: int) -> Bare:
    header = file.read(34)
    if len(header) == 34 and header[14] >= 40:
        width, height, _planes, _bits, compression = struct.unpack_from("<iiHHL", header, 18)
        if compression in RLE and (size > RLE_BYTES or abs(width * height) > RLE_PIXELS):
            raise UnsupportedImage("This BMP is run-length compressed and too large for that. Save it as a PNG.")
    return Bare(Stream(file, [range(size)]))
