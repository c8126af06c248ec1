"""The square in the middle of a picture as Pillow's bicubic resize makes it, to the bit, in a third of the time."""

from __future__ import annotations

import ctypes
import functools
from ctypes import Structure, c_int, c_int64, c_size_t, c_void_p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUPPORT = 2.0  # inputs on either side of an output, where nothing is made smaller
FINE, STEP = 12, 22  # bits: see resize.c
TAPS = 8  # coefficients that the kernel takes at a time
ARGUMENTS = {
    "resize": (c_void_p, c_int, c_int, c_void_p, c_void_p, c_int, c_void_p, c_void_p),
    "levels": (c_void_p, c_size_t, c_void_p, c_void_p),
}


class CAxis(Structure):
    _fields_ = (
        *((name, c_int) for name in ("count", "taps")),
        *((name, c_void_p) for name in ("start", "coarse", "fine")),
    )


class Axis(NamedTuple):
    """What one direction's outputs are made of, and the arrays that it points to."""

    described: CAxis
    kept: tuple[NDArray[np.generic], ...]


class CArray(Structure):
    """https://arrow.apache.org/docs/format/CDataInterface.html"""


CArray._fields_ = (
    *((name, c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(CArray))),
    ("dictionary", c_void_p),
    ("release", c_void_p),
    ("private", c_void_p),
)


def square(library: ctypes.CDLL, picture: Image.Image, side: int, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """(side, side, 4) bytes, R G B and one that means nothing: the middle of an RGB picture resized to `size`.

    None where the picture's memory is not to be had in one piece, as that of pictures over 4 megapixels.
    """
    if picture.mode != "RGB" or side % 16:
        return None
    try:
        _, capsule = picture.__arrow_c_array__()  # holds the picture's memory
    except (AttributeError, ValueError, MemoryError):
        return None
    left, top = (round((length - side) / 2) for length in size)  # as torchvision's CenterCrop
    x, y = axis(picture.width, size[0], left, side), axis(picture.height, size[1], top, side)
    down_first = pillow_goes_down_first() and goes_down_first(picture.size, size)
    between = np.empty((side, picture.width, 4) if down_first else (picture.height, side, 4), np.uint8)
    out = np.empty((side, side, 4), np.uint8)
    library.resize(
        pointer(capsule), picture.width, picture.height, ctypes.byref(x.described), ctypes.byref(y.described),
        down_first, between.ctypes.data, out.ctypes.data,
    )  # fmt: skip
    return out


def goes_down_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether Pillow 13 resizes down before it resizes across. It rounds to bytes in between, so the order shows."""
    narrower, lower = (old - new for old, new in zip(before, after, strict=True))
    return narrower > 0 and lower > 2 * narrower


@functools.cache
def pillow_goes_down_first() -> bool:
    """Whether this Pillow does so at all; older ones always begin across. It is asked, with a picture of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 30, 3), dtype=np.uint8)
    picture, size = Image.fromarray(noise), (23, 50)
    across_first = picture.resize((size[0], 90), Image.Resampling.BICUBIC).resize(size, Image.Resampling.BICUBIC)
    return picture.resize(size, Image.Resampling.BICUBIC).tobytes() != across_first.tobytes()


def pixels(library: ctypes.CDLL, picture: NDArray[np.uint8], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """(side, side, 4) bytes, by a table (3, 256) of what each is worth -> (3, side, side) float32"""
    planes = np.empty((3, *picture.shape[:2]), np.float32)
    library.levels(picture.ctypes.data, planes[0].size, table.ctypes.data, planes.ctypes.data)
    return planes


def pointer(capsule: object) -> int:
    """Where the pixels lie that Pillow exports."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = c_void_p, (ctypes.py_object, ctypes.c_char_p)
    array = ctypes.cast(get(capsule, b"arrow_array"), ctypes.POINTER(CArray)).contents
    return int(array.children[0].contents.buffers[1])


@functools.lru_cache(64)
def axis(inputs: int, outputs: int, first: int, count: int) -> Axis:
    """`count` of the outputs, from `first` on, when so many inputs become so many outputs."""
    start, coefficients = bicubic(inputs, outputs)
    start, coefficients = start[first : first + count], coefficients[first : first + count]
    coarse, fine = (coefficients >> FINE).astype(np.int16), (coefficients & ((1 << FINE) - 1)).astype(np.int16)
    kept = tuple(np.ascontiguousarray(array) for array in (start, coarse, fine))
    return Axis(CAxis(count, coefficients.shape[1], *(array.ctypes.data for array in kept)), kept)


def bicubic(inputs: int, outputs: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The first input of each output, (outputs,), and its coefficients in steps of 2 ** -STEP, (outputs, taps), as
    Pillow's precompute_coeffs and normalize_coeffs_8bpc find them, operation by operation."""
    scale = inputs / outputs
    wider = max(scale, 1.0)
    support = SUPPORT * wider
    centre = (np.arange(outputs) + 0.5) * scale
    start = np.maximum((centre - support + 0.5).astype(np.int32), 0)
    end = np.minimum((centre + support + 0.5).astype(np.int32), inputs)
    taps = -(-int((end - start).max()) // TAPS) * TAPS
    tap = np.arange(taps)[None]
    weights = keys_cubic((tap + start[:, None] - centre[:, None] + 0.5) * (1.0 / wider))
    weights[tap >= (end - start)[:, None]] = 0
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # added one after the other
    return start, np.trunc(weights * (1 << STEP) + np.where(weights < 0, -0.5, 0.5)).astype(np.int32)


def keys_cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -1/2 (https://doi.org/10.1109/TASSP.1981.1163711)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
