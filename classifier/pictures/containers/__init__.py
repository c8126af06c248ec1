"""Picture files as containers, read from their bytes without decoding anything.

Decoders see only the parts that hold pixels: `bare` leaves out metadata, colour profiles, thumbnails, comments and
further frames, so that nothing hidden in them can make reading slow or large, and refuses files that are made of more
pieces than any real one.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from classifier.pictures.containers import bmp, gif, jpeg, png, tiff, webp
from classifier.pictures.containers.parts import Bare, Damaged

__all__ = ["Bare", "Damaged"]

PREFIX = 64  # bytes that `format_name` needs

RAW = "a camera's raw file"

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "a BigTIFF"),
    (b"MM\0+", "a BigTIFF"),
    (b"IIRO", RAW),  # Olympus
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\0", RAW),  # Panasonic
    (b"FUJIFILMCCD-RAW", RAW),
    (b"FOVb", RAW),  # Sigma
    (b"\0MRM", RAW),  # Minolta
    (b"%PDF", "a PDF"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\x8aMNG\r\n\x1a\n", "an MNG animation"),
    (b"\x8bJNG\r\n\x1a\n", "a JNG picture"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an SVG drawing or other XML"),
    (b"<!doctype html", "a web page"),
    (b"<!DOCTYPE html", "a web page"),
    (b"<html", "a web page"),
)
# Canon's and Phase One's raw files are TIFFs with a mark of their own after the header.
_RAW_TIFFS = (b"CR", b"IIII", b"MMMM")
_HEIC_CODECS = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"))
# HEIF whose pictures are coded as JPEG, JPEG 2000, H.264 or H.266, or which says no more than that it is HEIF.
_HEIF_BRANDS = frozenset(
    (b"jpeg", b"jpgs", b"j2ki", b"j2is", b"avci", b"avcs", b"vvic", b"vvis", b"mif2", b"mif3", b"miaf", b"1pic")
)
_ORIENTATION = 274  # the EXIF and TIFF tag
_BARE = {"JPEG": jpeg.bare, "PNG": png.bare, "WebP": webp.bare, "GIF": gif.bare, "BMP": bmp.bare, "TIFF": tiff.bare}


def bare(name: str, file: BinaryIO) -> Bare:
    """`file` reduced to its picture; a format without parts to leave out as it is. Raises `Damaged` and `ImageError`.

    The result reads from `file`, which must stay open and untouched meanwhile.
    """
    size = file.seek(0, 2)
    file.seek(0)
    return _BARE[name](file, size) if name in _BARE else Bare(file, extra=size)  # AVIF is read whole


def format_name(prefix: bytes) -> str:
    """The format that a file's first bytes announce; "" where they announce none that we know."""
    if prefix[:4] == b"RIFF" and prefix[8:12] == b"WEBP":
        return "WebP"
    if prefix[4:8] == b"ftyp":
        return _brand_name(prefix)
    if prefix[:4] in (b"II*\0", b"MM\0*") and prefix[8:].startswith(_RAW_TIFFS):
        return RAW
    return next((name for magic, name in _MAGIC if prefix.startswith(magic)), "")


def _brand_name(prefix: bytes) -> str:
    """ISO base media files name what they hold in `ftyp`: a major brand, a version, then compatible brands."""
    size = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    brands = {prefix[8:12], *(prefix[at : at + 4] for at in range(16, size, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if b"crx " in brands:  # Canon
        return RAW
    if brands & _HEIF_BRANDS and not brands & _HEIC_CODECS:
        return "a HEIF picture"
    if brands & _HEIC_CODECS or prefix[8:12] in (b"mif1", b"msf1"):
        return "a HEIC photo"
    return "a video"


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that EXIF states; 1 where it states none or cannot be read.

    Only the first directory is looked at, entry by entry: nothing in a hostile block can make this slow or large.
    """
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[start : start + 4])
    if order is None:
        return 1
    try:
        directory = start + struct.unpack_from(order + "L", exif, start + 4)[0]
        (entries,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind, count, value = struct.unpack_from(order + "HHLH", exif, entry)
            if tag == _ORIENTATION:
                return value if (kind, count) == (3, 1) and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
