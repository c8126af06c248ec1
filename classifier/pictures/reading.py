"""From the bytes somebody sent to a checked, upright RGB picture, and back to a small JPEG. No Django.

Only the formats of `pixels.READERS` are opened, each by its own reader, chosen by the file's first bytes and never by
its name. Sizes are checked before pixels are decoded. Of the metadata only the orientation is looked at, and none is
kept. Colour profiles are ignored, as OpenAI's pipeline ignores them.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from PIL import Image, JpegImagePlugin

from classifier.capacity.limits import decode_memory
from classifier.capacity.room import ROOM
from classifier.errors import (
    ImageTooLarge,
    MissingImage,
    UnsupportedImage,
)
from classifier.pictures import containers, pixels, sandbox
from classifier.pictures.decoding import Picture, decoded, explained, pixels_check

SANDBOXED = ("TIFF", "AVIF")
ADVICE = "Send a JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."


@contextmanager
def picture_open(file: BinaryIO, *, max_bytes: int, max_pixels: int, shorter: int = 0) -> Iterator[Picture]:
    """The picture in `file`, of an animation the first frame; at the end of the block it is gone, and its memory, too.

    A JPEG may come smaller than it is, by 2, 4 or 8, where its shorter side keeps `shorter` pixels.

    Raises an `ImageError` that says what was wrong, and `Busy` where no memory came free in time: see `ROOM`.
    """
    with ExitStack() as held:
        picture = _read(file, max_bytes, max_pixels, held, shorter)
        held.callback(picture.image.close)
        yield picture


def picture_read(file: BinaryIO, *, max_bytes: int, max_pixels: int) -> Picture:
    """As `picture_open`, for those who keep one picture at a time: its memory counts only while it is read."""
    with ExitStack() as held:
        return _read(file, max_bytes, max_pixels, held)


def _read(file: BinaryIO, max_bytes: int, max_pixels: int, held: ExitStack, shorter: int = 0) -> Picture:
    _size_check(file, max_bytes)
    file.seek(0)
    name = _format_name(file.read(containers.PREFIX))
    if name in SANDBOXED:
        with sandbox.TURN.take(1):
            keep = held.enter_context(ROOM.take(decode_memory()))
            picture = Picture(*sandbox.read(file, name, max_pixels))
    else:
        with explained(name):
            opened = pixels.open_bare(file, name, shorter)
            pixels_check(opened, max_pixels)
            keep = held.enter_context(ROOM.take(opened.memory(opened.divisor)))
            picture = decoded(opened)
    keep(4 * picture.image.width * picture.image.height)
    return picture


def picture_to_jpeg(image: Image.Image, max_side: int = 512) -> bytes:
    """The picture as a JPEG without metadata, its longer side at most `max_side` pixels."""
    scale = min(1.0, max_side / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0) if size != image.size else image
    stream = io.BytesIO()
    small.convert("RGB").save(stream, "JPEG", quality=85, exif=b"", icc_profile=None, comment=b"")
    return stream.getvalue()


def picture_from_jpeg(data: bytes) -> Image.Image:
    """A picture that `picture_to_jpeg` wrote."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.load()
    return image


def thumbnail_from_jpeg(data: bytes, max_side: int = 256) -> bytes:
    """Of what `picture_to_jpeg` wrote a WebP, its longer side at most `max_side` pixels."""
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    scale = min(1.0, max_side / max(image.size))
    image.draft("RGB", (int(scale * image.width), int(scale * image.height)))  # halved while it is decoded
    image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=70, method=2)  # 3 to 10 kB; method 4 takes twice as long for 5 % less
    return stream.getvalue()


def name_clean(name: str, longest: int = 255) -> str:
    """A file name as sent, made safe to keep and show: no path, no control or direction characters, bounded."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/")).rsplit("/", 1)[-1]
    name = "".join(character for character in name if _name_keeps(character))
    name = " ".join(name.split())
    if name in (".", ".."):
        return ""
    if len(name) > longest:
        stem, dot, extension = name.rpartition(".")
        tail = dot + extension if stem and len(extension) <= 16 else ""
        name = name[: longest - len(tail)] + tail
    return name


def _name_keeps(character: str) -> bool:
    # The two joiners shape emoji and Persian; other format characters can turn the writing direction or hide text.
    return character in "\u200c\u200d" or unicodedata.category(character) not in ("Cc", "Cf", "Cs")


def _size_check(file: BinaryIO, max_bytes: int) -> None:
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise MissingImage("The file is empty. Choose a picture to send.")
    if size > max_bytes:
        raise ImageTooLarge.of(size, max_bytes)


def _format_name(prefix: bytes) -> str:
    name = containers.format_name(prefix)
    if name in pixels.READERS:
        return name
    if name == "a HEIC photo":
        raise UnsupportedImage(
            "This is a HEIC photo, which we cannot read. Save or export it as JPEG and send that "
            "(on an iPhone: Settings, Camera, Formats, Most Compatible)."
        )
    if name == containers.RAW:
        raise UnsupportedImage(containers.tiff.RAW)
    if name == "a HEIF picture":
        raise UnsupportedImage(
            "This is a HEIF picture, which we cannot read. Save or export it as a JPEG and send that."
        )
    known = f"This file is {name}, not a picture we can read" if name else "This file is not a picture we can read"
    raise UnsupportedImage(f"{known}. {ADVICE}")
