"""A real, tiny CLIP for tests, and the pictures it knows.

`script/train_tiny_clip.py` trained it: OpenAI's architecture and tokenizer, 48 px, 0.3 million parameters beside the
token embedding. It tells apart pictures of coloured shapes, as `draw` below draws them, by colour, shape, count and
place, from prompts in plain words or in OpenAI's ImageNet templates:

    draw("red", "circle")                                # a PIL picture
    draw("green", "triangle", count=3, seed=7)
    draw("blue", "star", place="on the left", size=(640, 480))
    checkpoint_path()                                    # a checkpoint in OpenAI's file format, made once per test run

On 40 new pictures of each pair it names 93% of the pairs of colour and shape that it was trained on, and 57% of the
pairs of HELD_OUT, which it never saw, among the labels of all 48 (chance: 2%), in every precision. On 300 red circles
"a red circle" is at least 0.21 in cosine, 0.99 in score, ahead of "a blue square".

The committed file, data/tiny_clip.npz, holds the trained parameters in float16, and of the token embedding the rows of
the tokens that were trained (`tokens`: their numbers). `full_model` gives the other rows small random values;
`checkpoint_path` writes what OpenAI publishes, a TorchScript archive with float16 weights and the three extra entries.
"""

import functools
import math
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from classifier.tests import checkpoints

COLOURS = {
    "red": (215, 25, 30),
    "green": (25, 155, 55),
    "blue": (30, 60, 215),
    "yellow": (245, 220, 20),
    "orange": (250, 130, 10),
    "purple": (130, 35, 165),
    "black": (12, 12, 12),
    "white": (250, 250, 250),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
COUNTS = {1: "a", 2: "two", 3: "three", 4: "four"}
PLACES = {  # centre (x, y) in parts of the picture's central square
    "on the left": (0.28, 0.5),
    "on the right": (0.72, 0.5),
    "at the top": (0.5, 0.28),
    "at the bottom": (0.5, 0.72),
    "in the middle": (0.5, 0.5),
}
# Pairs that were neither drawn nor named in training: one per colour, each shape at least once.
HELD_OUT = (
    ("red", "star"), ("green", "heart"), ("blue", "cross"), ("yellow", "square"),
    ("orange", "circle"), ("purple", "triangle"), ("black", "heart"), ("white", "cross"),
)  # fmt: skip
WEIGHTS = Path(__file__).parent / "data" / "tiny_clip.npz"
# embed_dim, image_resolution, vision_layers, vision_width, vision_patch_size,
# context_length, vocab_size, transformer_width, transformer_heads, transformer_layers (clip.model.CLIP)
SHAPE = (64, 48, 4, 64, 8, 77, 49408, 64, 1, 2)


def draw(
    colour: str | None,
    shape: str,
    *,
    count: int = 1,
    place: str | None = None,
    size: tuple[int, int] = (224, 224),
    seed: int = 0,
) -> Image.Image:
    """A picture (RGB, `size` is width, height) of `count` equal shapes on a plain background.

    `place` is a key of PLACES, for a single shape; without it shapes lie anywhere in the central square, which is what
    CLIP sees. Colour None: a random one that is none of COLOURS. The same arguments give the same picture.
    """
    chance = random.Random(repr((colour, shape, count, place, seed)))
    width, height = size
    side = min(size)
    picture = _background(chance, colour, size)
    brush = ImageDraw.Draw(picture)
    fill = _fill(chance, colour)
    for x, y, radius in _spots(chance, count, place):
        centre = ((width - side) / 2 + x * side, (height - side) / 2 + y * side)
        _draw_shape(brush, shape, centre, radius * side, chance.uniform(-0.2, 0.2), fill)
    return picture


def caption(colour: str | None, shape: str | None, count: int | None = 1, place: str | None = None) -> str:
    """What a person would call it: "a red circle", "an orange star", "two squares", "something red"."""
    if shape is None:
        return f"something {colour}"
    words = [colour, shape if count == 1 else shape + ("es" if shape == "cross" else "s")]
    phrase = " ".join(word for word in words if word)
    number = "an" if count == 1 and phrase[0] in "aeiou" else COUNTS.get(count, "")
    return " ".join(part for part in (number, phrase, place) if part)


@functools.cache
def checkpoint_path() -> Path:
    """The checkpoint as a file in OpenAI's format (13 MB), made once per run."""
    path = checkpoints.scratch() / "tiny-clip.pt"
    checkpoints.archive_write(full_model(), SHAPE[1], path)
    return path


def full_model(weights: Path = WEIGHTS):
    """The trained network as OpenAI's clip.model.CLIP in float32, with all 49408 token rows."""
    import torch

    with np.load(weights) as file:
        trained = {name: torch.from_numpy(file[name]).float() for name in file.files if name != "tokens"}
        tokens = torch.from_numpy(file["tokens"].astype(np.int64))
    rows = 0.02 * np.random.default_rng(0).standard_normal((SHAPE[6], SHAPE[7]), dtype=np.float32)
    embedding = torch.from_numpy(rows).half().float()
    embedding[tokens] = trained["token_embedding.weight"]
    model = checkpoints.clip_model_module().CLIP(*SHAPE)
    model.load_state_dict({**trained, "token_embedding.weight": embedding})
    return model.eval()


def _fill(chance: random.Random, colour: str | None) -> tuple[int, ...]:
    """About the named colour, or one that is far from all that have names and not grey, as backgrounds are."""
    if colour:
        return tuple(max(0, min(255, round(value + chance.uniform(-18, 18)))) for value in COLOURS[colour])
    while True:
        fill = tuple(chance.randrange(256) for _ in range(3))
        if max(fill) - min(fill) > 70 and all(math.dist(fill, named) > 75 for named in COLOURS.values()):
            return fill


def _background(chance: random.Random, colour: str | None, size: tuple[int, int]) -> Image.Image:
    """A grey between dark and light, faintly tinted and shaded, that the colour stands out from."""
    low, high = {"black": (110, 235), "white": (20, 150)}.get(colour, (25, 240))
    grey = chance.uniform(low, high)
    tint = [chance.uniform(-12, 12) for _ in range(3)]
    start = tuple(round(grey + value) for value in tint)
    plain = Image.new("RGB", size, start)
    shade = Image.linear_gradient("L").rotate(90 * chance.randrange(4)).resize(size).point(lambda v: v // 12)
    return ImageChops.subtract(plain, Image.merge("RGB", [shade] * 3))


def _spots(chance: random.Random, count: int, place: str | None) -> list[tuple[float, float, float]]:
    """Centres and radius of the shapes, in parts of the central square, that do not touch."""
    if count == 1:
        x, y = PLACES[place] if place else (chance.uniform(0.32, 0.68), chance.uniform(0.32, 0.68))
        wobble = 0.05 if place else 0
        return [(x + chance.uniform(-wobble, wobble), y + chance.uniform(-wobble, wobble), chance.uniform(0.18, 0.28))]
    radius = chance.uniform(0.15, 0.2)
    corners = chance.sample([(0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74)], count)
    return [(x + chance.uniform(-0.04, 0.04), y + chance.uniform(-0.04, 0.04), radius) for x, y in corners]


def _draw_shape(
    brush: ImageDraw.ImageDraw, shape: str, centre: tuple[float, float], radius: float, turn: float, fill: tuple
) -> None:
    points = [(x * radius, y * radius) for x, y in _outline(shape)]
    cos, sin = math.cos(turn), math.sin(turn)
    brush.polygon([(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in points], fill=fill)


@functools.cache
def _outline(shape: str) -> list[tuple[float, float]]:
    """A polygon within the unit circle, y pointing down."""
    around = [2 * math.pi * step / 60 for step in range(60)]
    third = 0.34
    return {
        "circle": [(math.cos(a), math.sin(a)) for a in around],
        "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
        "triangle": [(0, -1), (0.95, 0.75), (-0.95, 0.75)],
        "star": [(r * math.sin(math.pi * i / 5), -r * math.cos(math.pi * i / 5)) for i, r in enumerate([1, 0.4] * 5)],
        "cross": [(-third, -1), (third, -1), (third, -third), (1, -third), (1, third), (third, third), (third, 1),
                  (-third, 1), (-third, third), (-1, third), (-1, -third), (-third, -third)],
        "heart": [(math.sin(a) ** 3, -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a)
                                       - math.cos(4 * a)) / 16) for a in around],
    }[shape]  # fmt: skip
