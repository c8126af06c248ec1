"""ImageNet's 1000 classes and OpenAI's 80 prompt templates, from data/imagenet.json (script/make_imagenet_json.py)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TypedDict

DATA = Path(__file__).resolve().parent.parent / "data" / "imagenet.json"


class Class(TypedDict):
    """One of the 1000."""

    index: int
    synset: str
    name: str  # in the prompts
    label: str  # shown, unique
    lemmas: list[str]


class ImageNet(TypedDict):
    classes: list[Class]
    templates: list[str]  # with `{}`


@functools.cache
def imagenet() -> ImageNet:
    data: ImageNet = json.loads(DATA.read_text())
    return data


def imagenet_labels() -> tuple[str, ...]:
    """What is shown for each class, each of them unique."""
    return tuple(entry["label"] for entry in imagenet()["classes"])


def imagenet_names() -> tuple[str, ...]:
    """What goes into the prompts: OpenAI's names, of which two stand for two classes each."""
    return tuple(entry["name"] for entry in imagenet()["classes"])


def imagenet_templates() -> tuple[str, ...]:
    return tuple(imagenet()["templates"])


@functools.cache
def imagenet_doubles() -> tuple[tuple[int, int], ...]:
    """Pairs of classes with one name, which to CLIP are one text: missile 657 and 744, sunglasses 836 and 837."""
    first: dict[str, int] = {}
    return tuple(
        (first[name], index) for index, name in enumerate(imagenet_names()) if first.setdefault(name, index) != index
    )


def imagenet_together(label: str) -> str:
    """The label that CLIP answers for a class: where two share their name there is one line for both, and it says so.

    Labels of any other kind stay as they are.
    """
    return _together().get(label, label)


@functools.cache
def _together() -> dict[str, str]:
    labels = imagenet_labels()
    both = {k: f"{imagenet_names()[k]} (both ImageNet classes)" for pair in imagenet_doubles() for k in pair}
    return {labels[k]: label for k, label in both.items()}


def imagenet_index(label: str) -> int:
    """The number of a class by its label; of two that share their name, the first's. Raises KeyError for any other."""
    return _numbers()[label]


@functools.cache
def _numbers() -> dict[str, int]:
    numbers = {label: number for number, label in enumerate(imagenet_labels())}
    return numbers | {_together()[imagenet_labels()[first]]: first for first, _ in imagenet_doubles()}
