"""PNG (ISO/IEC 15948): the chunks that hold the picture."""

from __future__ import annotations

from typing import BinaryIO

from classifier.errors import UnsupportedImage
from classifier.pictures.containers.parts import Bare, Damaged, Stream, exactly

CHUNKS = 50_000  # 20 MB in pieces of 400 bytes; encoders write pieces of 8192 and more
SMALL = 1024  # bytes; a palette has 768
EXIF = 65_536  # bytes looked at
END = b"\0\0\0\0IEND\xaeB`\x82"

XCODE = (
    "This PNG was packed by Xcode for an iPhone, and no longer is one that others can read. "
    "Send the original, or undo it with: pngcrush -revert-iphone-optimizations packed.png picture.png"
)


def bare(file: BinaryIO, size: int) -> Bare:
    """Header, palette, transparent colours and image data. Of an animation that is the picture shown without one."""
    kept, exif, data = [b"\x89PNG\r\n\x1a\n"], b"", None
    at = 8
    for _ in range(CHUNKS):
        file.seek(at)
        header = file.read(8)
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        after = at + 12 + length
        if kind == b"CgBI":
            raise UnsupportedImage(XCODE)
        if len(header) < 8 or kind == b"IEND":
            return Bare(Stream(file, [*kept, data or b"", END]), exif)
        if kind == b"IDAT":
            if data is None or data.stop == at:
                data = range(data.start if data else at, min(after, size))
        elif kind in (b"IHDR", b"PLTE", b"tRNS"):
            if length > SMALL:
                break
            kept.append(header + exactly(file, length + 4))
        elif kind == b"eXIf" and not exif:
            exif = file.read(min(length, EXIF))
        at = after
    raise Damaged("not the chunks of a picture")
