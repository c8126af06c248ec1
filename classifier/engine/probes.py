"""Pictures that the project draws itself, to calibrate int8 with and to check the result on.

No photo has to be shipped or fetched. What counts is that they excite the tower as photos do: spectra like nature's
(1/f), smooth shading, edges at every angle, texture, and a few flat and extreme ones. The same seed always draws the
same picture.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CALIBRATION, PROBES = range(24), range(1000, 1024)  # seeds: the two sets have no picture in common
SIDE = 256  # pixels, before preprocessing

Levels = NDArray[np.float64]


def pictures_draw(seeds: range) -> list[Image.Image]:
    """One RGB picture per seed, the kinds in turn."""
    return [picture_draw(seed) for seed in seeds]


def picture_draw(seed: int) -> Image.Image:
    """(SIDE, SIDE) RGB."""
    random = np.random.default_rng(seed)
    levels = KINDS[seed % len(KINDS)](random)  # (SIDE, SIDE, 3), 0 to 1
    return Image.fromarray((np.clip(levels, 0, 1) * 255).astype(np.uint8))


def grid() -> tuple[Levels, Levels]:
    """x and y of every pixel, -1 to 1."""
    x, y = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    return x, y


def noise(random: np.random.Generator, slope: float) -> Levels:
    """A field whose amplitude falls with frequency as f ** -slope, 0 to 1. (SIDE, SIDE)"""
    fy, fx = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    frequency = np.maximum(np.hypot(fx, fy), 1 / SIDE)
    phases = np.exp(2j * np.pi * random.random((SIDE, SIDE)))
    field: Levels = np.fft.ifft2(phases * frequency**-slope).real
    lowest, extent = float(field.min()), float(np.ptp(field))
    return (field - lowest) / extent


def clouds(random: np.random.Generator) -> Levels:
    """1/f noise, its channels alike as a photo's are."""
    slope, shared = random.uniform(0.8, 1.8), noise(random, random.uniform(0.8, 1.8))
    own = np.stack([noise(random, slope) for _ in range(3)], axis=-1)
    return random.uniform(0.5, 1.2) * (0.7 * shared[:, :, None] + 0.3 * own)


def gradient(random: np.random.Generator) -> Levels:
    """One colour running into another, with a little grain."""
    x, y = grid()
    angle, (start, end) = random.uniform(0, 2 * np.pi), random.random((2, 3))
    share = (np.cos(angle) * x + np.sin(angle) * y + 1.5) / 3
    shaded: Levels = start + (end - start) * share[:, :, None]
    return shaded + random.normal(0, 0.02, (SIDE, SIDE, 1))


def balls(random: np.random.Generator) -> Levels:
    """A scene: lit spheres before a horizon, each with its colour and texture."""
    x, y = grid()
    horizon, (ground, sky) = random.uniform(-0.3, 0.3), random.random((2, 3))
    picture: Levels = np.where((y > horizon)[:, :, None], ground, sky)
    picture = picture * (0.6 + 0.4 * noise(random, 1.2)[:, :, None])
    for _ in range(random.integers(2, 7)):
        (cx, cy), radius, colour = random.uniform(-0.8, 0.8, 2), random.uniform(0.1, 0.6), random.random(3)
        inside = radius**2 - (x - cx) ** 2 - (y - cy) ** 2
        light = (np.sqrt(np.maximum(inside, 0)) - 0.6 * (x - cx) - 0.6 * (y - cy)) / radius
        shaded = colour * np.clip(0.25 + 0.6 * light, 0, 1.2)[:, :, None] * (0.7 + 0.3 * noise(random, 1)[:, :, None])
        picture = np.where((inside > 0)[:, :, None], shaded, picture)
    return picture


def patchwork(random: np.random.Generator) -> Levels:
    """Hard edges: overlapping rectangles, stripes and checks at random angles."""
    x, y = grid()
    picture = np.ones((SIDE, SIDE, 3)) * random.random(3)
    for _ in range(random.integers(4, 14)):
        angle, (cx, cy), (a, b) = random.uniform(0, np.pi), random.uniform(-1, 1, 2), random.uniform(0.1, 0.7, 2)
        u = np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)
        v = np.cos(angle) * (y - cy) - np.sin(angle) * (x - cx)
        waves = np.sin(u * random.uniform(5, 80)) * (1 if random.random() < 0.5 else np.sin(v * random.uniform(5, 80)))
        light, dark = random.random((2, 3))
        pattern = np.where((waves > 0)[:, :, None], light, dark)
        picture = np.where(((np.abs(u) < a) & (np.abs(v) < b))[:, :, None], pattern, picture)
    return picture


def strokes(random: np.random.Generator) -> Levels:
    """Thin marks on paper, as in print and drawings."""
    paper, ink = (0.95, 0.05) if random.random() < 0.7 else (0.05, 0.95)
    picture = np.full((SIDE, SIDE), paper)
    for top in range(8, SIDE - 16, int(random.integers(14, 28))):
        for left in range(8, SIDE - 12, 9):
            if random.random() < 0.8:
                glyph = np.kron(random.random((4, 3)) < 0.5, np.ones((2, 2)))  # (8, 6)
                picture[top : top + 8, left : left + 6][glyph > 0] = ink
    return picture[:, :, None] * random.uniform(0.7, 1, 3)


def mixture(random: np.random.Generator) -> Levels:
    """A scene seen through clouds: what photos mostly are, both smooth and sharp."""
    share = noise(random, 1.5)[:, :, None]
    return share * balls(random) + (1 - share) * patchwork(random) + random.normal(0, 0.03, (SIDE, SIDE, 3))


def extreme(random: np.random.Generator) -> Levels:
    """Black, white, one colour, or white noise."""
    kind = random.integers(4)
    flat = np.zeros(3) if kind == 0 else np.ones(3) if kind == 1 else random.random(3)
    return random.random((SIDE, SIDE, 3)) if kind == 3 else np.ones((SIDE, SIDE, 3)) * flat


KINDS: list[Callable[[np.random.Generator], Levels]] = [
    clouds,
    balls,
    mixture,
    patchwork,
    gradient,
    strokes,
    mixture,
    extreme,
]
