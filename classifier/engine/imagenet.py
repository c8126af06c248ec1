"""ImageNet's 1000 classes and OpenAI's 80 prompt templates, from data/imagenet.json (script/make_imagenet_json.py)."""

from __future__ import annotations

import functools
import json
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data" / "imagenet.json"


@functools.cache
def imagenet() -> dict:
    """`classes`: index, synset, name (in the prompts), label (shown, unique), lemmas; `templates` with `{}`."""
    return json.loads(DATA.read_text())


def imagenet_labels() -> tuple[str, ...]:
    """What is shown for each class, each of them unique."""
    return tuple(entry["label"] for entry in imagenet()["classes"])


def imagenet_names() -> tuple[str, ...]:
    """What goes into the prompts: OpenAI's names, of which two stand for two classes each."""
    return tuple(entry["name"] for entry in imagenet()["classes"])


def imagenet_templates() -> tuple[str, ...]:
    return tuple(imagenet()["templates"])
