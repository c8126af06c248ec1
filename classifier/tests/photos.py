"""Real photographs, which come with scikit-image, and pictures as files."""

import importlib.util
import io
from pathlib import Path

from PIL import Image

# Found without importing it: tests that measure memory import this.
PHOTOS = Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"


def photo(name: str = "chelsea.png") -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def plain(kind: str, colour: str | tuple[int, int, int] = "red", size: tuple[int, int] = (32, 24)) -> bytes:
    """A small picture of one colour."""
    return encoded(Image.new("RGB", size, colour), kind)
