"""A seeded fuzzer for every format that is read: `python -m classifier.tests.fuzz FIRST LAST [SEED]`.

Case number N is the same bytes on every machine. Prints one line of JSON: how many were read and refused, the slowest
and the largest, and what failed. The number of the case being read stands in the file named by FUZZ_AT, for whoever
wants to know which one killed the process.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import struct
import sys
import zlib
from collections.abc import Callable

from PIL import Image

from classifier.errors import ImageError
from classifier.pictures import containers, decoding, pixels, reading
from classifier.tests.hostile.common import LIMITS, exif_bomb, noise
from classifier.tests.hostile.measure import MEMORY, SECONDS, measured
from classifier.tests.photos import encoded

SEED = 2026
ADDRESS_SPACE = 400_000_000  # bytes of this process
INTERESTING = (0, 1, 2, 4, 8, 16, 63, 64, 127, 128, 254, 255)


def seeds() -> dict[str, list[bytes]]:
    """Small pictures of each format, of as many kinds as Pillow writes."""
    rgb = Image.merge("RGB", [noise("L", (72, 56)) for _ in range(3)]).reduce(2).resize((72, 56))
    rgba, grey = rgb.convert("RGBA"), rgb.convert("L")
    rgba.putalpha(Image.linear_gradient("L").resize(rgb.size))
    more = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    exif = Image.Exif()
    exif[274] = 6
    wide = Image.linear_gradient("L").convert("I;16")
    tiffs = [
        encoded(rgb, "TIFF", compression=name) for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    ]
    faxes = [encoded(grey.convert("1"), "TIFF", compression=name) for name in ("group3", "group4", "tiff_ccitt")]
    return {
        "JPEG": [
            encoded(rgb, "JPEG", exif=exif),
            encoded(rgb, "JPEG", progressive=True),
            encoded(rgb, "JPEG", subsampling=0, restart_marker_blocks=3, comment=b"a" * 99, icc_profile=bytes(99)),
            encoded(rgb.convert("CMYK"), "JPEG"),
            encoded(grey, "JPEG", progressive=True),
        ],
        "PNG": [
            encoded(rgb, "PNG", exif=exif),
            encoded(rgba, "PNG"),
            encoded(rgb.convert("P"), "PNG", transparency=3),
            encoded(grey.convert("1"), "PNG"),
            encoded(wide, "PNG"),
            encoded(grey.convert("LA"), "PNG"),
            encoded(rgb, "PNG", **more),
            adam7(rgb),
        ],
        "WebP": [
            encoded(rgb, "WEBP"),
            encoded(rgb, "WEBP", lossless=True, exif=exif),
            encoded(rgba, "WEBP", icc_profile=bytes(99)),
            encoded(rgb, "WEBP", **more),
        ],
        "GIF": [
            encoded(rgb.convert("P"), "GIF", comment=b"a" * 300),
            encoded(rgb.convert("P"), "GIF", interlace=0, transparency=3),
            encoded(rgb, "GIF", loop=0, duration=40, **more),
        ],
        "BMP": [
            encoded(rgb, "BMP"),
            encoded(rgb.convert("P"), "BMP"),
            encoded(grey.convert("1"), "BMP"),
            encoded(rgba, "BMP"),
            encoded(rgb.convert("P"), "BMP").replace(b"\1\0\x08\0\0\0\0\0", b"\1\0\x08\0\1\0\0\0"),  # run lengths
        ],
        "TIFF": [
            *tiffs,
            *faxes,
            encoded(rgba, "TIFF", exif=exif),
            encoded(rgb.convert("P"), "TIFF"),
            encoded(rgb.convert("CMYK"), "TIFF"),
            encoded(rgb.convert("LAB"), "TIFF"),
            encoded(wide, "TIFF"),
            encoded(grey.convert("F"), "TIFF"),
            encoded(grey.convert("I"), "TIFF", compression="tiff_lzw"),
            encoded(rgb, "TIFF", **more),
            encoded(rgb, "TIFF", exif=exif_bomb(40)[:600]),
        ],
        "AVIF": [
            encoded(rgb, "AVIF", speed=10, exif=exif),
            encoded(rgba, "AVIF", speed=10, quality=60),
            encoded(grey, "AVIF", speed=10, subsampling="4:0:0"),
            encoded(rgb, "AVIF", speed=10, subsampling="4:4:4", icc_profile=bytes(99)),
            encoded(rgb, "AVIF", speed=10, **more),
        ],
    }


def adam7(image: Image.Image) -> bytes:
    """A PNG in seven passes, none filtered; Pillow writes no such file."""
    width, height = image.size
    rows = image.tobytes()
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    data = b"".join(
        b"\0" + b"".join(rows[3 * (y * width + x) :][:3] for x in range(left, width, across))
        for left, top, across, down in passes
        for y in range(top, height, down)
    )
    header = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body)) for kind, body in chunks
    )


# --- Mutations: each takes (bytes to change in place, randomness, another picture of the format) -------------------


def flip_bits(data: bytearray, rng: random.Random, _other: bytes) -> None:
    for _ in range(1 << rng.randrange(6)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_header(data: bytearray, rng: random.Random, _other: bytes) -> None:
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(min(len(data), 300))] = rng.choice(INTERESTING)


def set_number(data: bytearray, rng: random.Random, _other: bytes) -> None:
    at, length = rng.randrange(len(data)), rng.choice((2, 4))
    value = rng.choice((0, 1, 2 ** (8 * length) - 1, 2 ** (8 * length - 1), rng.randrange(2 ** (8 * length)), 7000))
    data[at : at + length] = value.to_bytes(length, rng.choice(("big", "little")))


def cut(data: bytearray, rng: random.Random, _other: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def remove(data: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 64)]


def repeat(data: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.randint(1, 256)] * rng.choice((1, 2, 100))


def insert(data: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.randint(1, 64))


def overwrite(data: bytearray, rng: random.Random, _other: bytes) -> None:
    at = rng.randrange(len(data))
    length = rng.randint(1, 64)
    data[at : at + length] = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))


def splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random, bytes], None], ...] = (
    flip_bits, flip_bits, flip_header, flip_header, set_number, set_number,
    cut, remove, repeat, insert, overwrite, splice,
)  # fmt: skip


def png_repaired(data: bytes) -> bytes:
    """With checksums that fit again, so that what is behind them is reached."""
    fixed, at = bytearray(data), 8
    while at + 12 <= len(fixed):
        end = at + 8 + int.from_bytes(fixed[at : at + 4], "big")
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = struct.pack(">L", zlib.crc32(fixed[at + 4 : end]))
        at = end + 4
    return bytes(fixed)


def png_mutated_inside(data: bytes, mutate: Callable[[bytearray], None]) -> bytes:
    """With what was changed between the filters and the compression, not behind it."""
    start = data.index(b"IDAT") - 4
    length = int.from_bytes(data[start : start + 4], "big")
    rows = bytearray(zlib.decompress(data[start + 8 : start + 8 + length]))
    mutate(rows)
    packed = zlib.compress(rows)
    return data[:start] + struct.pack(">L", len(packed)) + b"IDAT" + packed + data[start + 8 + length :]


def mutated(number: int, seed: int, pictures: dict[str, list[bytes]]) -> tuple[str, bytes]:
    """(format, bytes) of one case."""
    rng = random.Random(f"{seed}:{number}")
    name = list(pictures)[number % len(pictures)]
    picture, other = rng.choice(pictures[name]), rng.choice(pictures[name])

    def mutate(data: bytearray) -> None:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            if data:
                rng.choice(MUTATIONS)(data, rng, other)

    if name == "PNG" and rng.random() < 0.3:
        return name, png_repaired(png_mutated_inside(picture, mutate))
    data = bytearray(picture)
    mutate(data)
    return name, png_repaired(bytes(data)) if name == "PNG" and rng.random() < 0.7 else bytes(data)


# --- Reading -------------------------------------------------------------------------------------------------------


def read(data: bytes) -> tuple[str, str]:
    """(outcome, what is wrong with that). TIFF and AVIF are read here, not in the sandbox, which starts too slowly."""
    name = containers.format_name(data[: containers.PREFIX])
    try:
        if name in reading.SANDBOXED:
            picture = decoding.picture_decode(io.BytesIO(data), name, LIMITS["max_pixels"])
        else:
            picture = reading.picture_read(io.BytesIO(data), **LIMITS)
        reading.picture_to_jpeg(picture.image)
    except ImageError as error:
        message, cause = str(error), error.__cause__
        if not message.isprintable() or len(message) > 300:
            return type(error).__name__, f"message {message!r}"
        if isinstance(cause, MemoryError) and name not in reading.SANDBOXED:
            return type(error).__name__, "ran out of memory"
        return type(error).__name__, ""
    except Exception as error:
        return "unexpected", repr(error)
    size = picture.image.size
    sane = picture.image.mode == "RGB" and 0 < size[0] * size[1] <= pixels.EXACT_PIXELS
    return "read", "" if sane else f"{picture.image.mode} {size}"


def run(first: int, last: int, seed: int = SEED, at: str = os.devnull) -> dict[str, object]:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    pictures = seeds()
    read(pictures["JPEG"][0])  # loads what is loaded once
    report = {"cases": 0, "outcomes": {}, "slowest": [0.0, -1], "largest": [0, -1], "failed": []}
    with open(at, "wb", buffering=0) as position:
        for number in range(first, last):
            os.pwrite(position.fileno(), b"%12d" % number, 0)
            name, data = mutated(number, seed, pictures)
            answer: list[str] = []
            took = measured(lambda data=data, answer=answer: answer.extend(read(data)))
            outcome, wrong = answer
            report["cases"] += 1
            counts = report["outcomes"].setdefault(name, {})
            counts[outcome] = counts.get(outcome, 0) + 1
            report["slowest"] = max(report["slowest"], [round(took.seconds, 3), number])
            report["largest"] = max(report["largest"], [took.memory, number])
            if took.seconds > SECONDS:
                wrong = wrong or f"took {took.seconds:.1f} s"
            if took.memory > MEMORY and name not in reading.SANDBOXED:
                wrong = wrong or f"took {took.memory / 1e6:.0f} MB"
            if wrong:
                report["failed"].append({"case": number, "format": name, "outcome": outcome, "wrong": wrong})
    return report


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:]), at=os.environ.get("FUZZ_AT", os.devnull))))
