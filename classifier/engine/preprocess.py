"""A picture as CLIP expects it: OpenAI's preprocessing (`_transform` in clip.py), to the bit, without torchvision."""

from __future__ import annotations

import numpy as np
from PIL import Image

from classifier.engine.native import resize
from classifier.engine.native.library import library, loaded

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)  # of OpenAI's training pictures, R G B
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def normalised_levels() -> np.ndarray:
    """What each of the 256 byte values becomes in each channel: ToTensor's division, then Normalize. (3, 256)"""
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    return (levels[None, :] - MEAN[:, None]) / STD[:, None]


LEVELS = normalised_levels()


def size_resized(picture: Image.Image, shorter: int) -> tuple[int, int]:
    """Shorter side to `shorter` pixels; the longer as torchvision's Resize rounds it."""
    width, height = picture.size
    longer = int(shorter * max(width, height) / min(width, height))
    return (shorter, longer) if width <= height else (longer, shorter)


def picture_resized(picture: Image.Image, shorter: int, resample: Image.Resampling) -> Image.Image:
    return picture.resize(size_resized(picture, shorter), resample)


def centre_crop(picture: Image.Image, side: int) -> Image.Image:
    """The square in the middle; halves round to even, as Python's round in torchvision's CenterCrop."""
    left, top = round((picture.width - side) / 2), round((picture.height - side) / 2)
    return picture.crop((left, top, left + side, top + side))


def picture_crop(picture: Image.Image, side: int) -> Image.Image:
    """What CLIP sees of a picture, `side` pixels square. A picture that is so already stays as it is."""
    if (square := native_square(picture, side)) is not None:
        return Image.frombytes("RGB", (side, side), square, "raw", "RGBX")
    return centre_crop(picture_resized(picture, side, Image.Resampling.BICUBIC), side)


def picture_to_pixels(picture: Image.Image, side: int) -> np.ndarray:
    """RGB picture -> (3, side, side) float32."""
    if (square := native_square(picture, side)) is not None:
        return resize.pixels(loaded(), square, LEVELS)
    crop = np.asarray(picture_crop(picture, side).convert("RGB"))
    return np.stack([LEVELS[channel][crop[:, :, channel]] for channel in range(3)])


def native_square(picture: Image.Image, side: int) -> np.ndarray | None:
    """`picture_crop` by the C files, (side, side, 4) uint8, where they are there and can; else None."""
    there = library()
    return resize.square(there, picture, side, size_resized(picture, side)) if there else None
