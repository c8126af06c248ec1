#!/usr/bin/env python3
"""Write classifier/static/classifier/examples/: photos for visitors who have none at hand.

From scikit-image 0.26.0 (a development dependency), whose documentation names their licences: coffee, CC0 by Rachel
Michetti; chelsea, CC0 by Stefan van der Walt; rocket, released into the public domain by SpaceX; astronaut,
public domain by NASA, of which the face. Shorter side 240 pixels, so that all four together are 25 kB on the first page
and still more than CLIP looks at.
"""

from pathlib import Path

import skimage
from PIL import Image

SOURCE = Path(skimage.__file__).parent / "data"
TARGET = Path(__file__).resolve().parent.parent / "classifier" / "static" / "classifier" / "examples"
PHOTOS = {"coffee": "coffee.png", "cat": "chelsea.png", "rocket": "rocket.jpg", "astronaut": "astronaut.png"}
PARTS = {"astronaut": (70, 0, 390, 260)}  # left, top, right, bottom in pixels
SHORTER = 240  # pixels


def main() -> None:
    TARGET.mkdir(exist_ok=True)
    for name, file in PHOTOS.items():
        photo = Image.open(SOURCE / file).convert("RGB").crop(PARTS.get(name))
        scale = SHORTER / min(photo.size)
        small = photo.resize([round(side * scale) for side in photo.size], Image.Resampling.BICUBIC)
        small.save(TARGET / f"{name}.webp", quality=60, method=6)


if __name__ == "__main__":
    main()
