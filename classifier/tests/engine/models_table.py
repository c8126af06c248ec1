"""All nine of OpenAI's models at full size, with random weights: the table of docs/models.md.

    python -m classifier.tests.engine.models_table                      all nine, one after the other
    python -m classifier.tests.engine.models_table RN50x4 ViT-L/14 --quick

Each is written as OpenAI publishes it, prepared as `prepare_model` does, but with one prompt template instead of 80,
and opened in a process of its own, whose memory can then be told; OpenAI's network embeds the same photos and texts in
another. Milliseconds are processor time on one thread, the least of some turns: other processes take no part in them.
The files are deleted. The largest takes 8 GB of memory and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px")
TEXTS = ("a photo of a cat.", "two dogs asleep on a sofa", "42", "the Eiffel tower at night, seen from far away")
TURNS = 5
HEADER = (
    "| | parameters | checkpoint | prepared: image, text | precision of image, text | memory: pictures, and texts | "
    "ms | OpenAI's ms | least cosine: photos, texts |\n" + "|---" * 9 + "|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--quick", action="store_true", help="texts as published, 4 probes of 24, 8 pictures of calibration"
    )
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](options.names[0], options.directory, options.quick)))
        return
    print(HEADER, flush=True)
    for name in options.names:
        print(row(name, options.quick), flush=True)


def row(name: str, quick: bool) -> str:
    """One model, made, measured and thrown away."""
    with tempfile.TemporaryDirectory() as scratch:
        found: dict = {}
        more = ["--quick"] * quick
        for step in STEPS:
            command = [sys.executable, "-W", "ignore", "-m", __spec__.name, name, "--step", step]
            done = subprocess.run(
                [*command, "--directory", scratch, *more], check=True, stdout=subprocess.PIPE, text=True
            )
            found |= json.loads(done.stdout.splitlines()[-1])
    return (
        "| {name} | {parameters:,} | {checkpoint:.0f} MB | {image:.0f}, {text:.0f} MB | {precisions} | "
        "{pictures:.0f}, {texts:.0f} MB | {ms:.0f} | {openai_ms:.0f} | {photo_cosine:.5f}, {text_cosine:.5f} |"
    ).format(name=name, **found)


def write(name: str, directory: Path, quick: bool) -> dict:
    from classifier.tests.checkpoints import checkpoint_write

    path = directory / "clip.pt"
    checkpoint_write(name, path)
    return {"checkpoint": path.stat().st_size / 1e6}


def convert(name: str, directory: Path, quick: bool) -> dict:
    from unittest import mock

    from classifier.engine import conversion, image_conversion, prepare, text_conversion

    def text_write(checkpoint, precision, *more):
        return written(checkpoint, "fp16" if quick else precision, *more)

    written = text_conversion.text_write
    with (
        mock.patch.object(conversion, "imagenet_templates", return_value=("a photo of a {}.",)),
        mock.patch.object(text_conversion, "text_write", text_write),
        mock.patch.object(image_conversion, "PROBES", image_conversion.PROBES[: 4 if quick else None]),
        mock.patch.object(image_conversion, "CALIBRATION", image_conversion.CALIBRATION[: 8 if quick else None]),
    ):
        manifest = prepare(config_of(directory))
    sizes = {file: entry["bytes"] / 1e6 for file, entry in manifest["files"].items()}
    tried = [manifest[kind][-1] for kind in ("tried", "text_tried")]
    return {
        "image": next(size for file, size in sizes.items() if file.startswith("image-")),
        "text": sizes["text.safetensors"],
        "precisions": ", ".join(precision_of(attempt) for attempt in tried),
    }


def precision_of(attempt: dict) -> str:
    """ "int8, 5 of 48 layers float16", as the fastest kernel has it."""
    kept = len(min(attempt.get("float16", {}).values(), key=len, default=()))
    return attempt["precision"] + (f" ({kept} of {attempt['layers']} layers float16)" if kept else "")


def ours(name: str, directory: Path, quick: bool) -> dict:
    """What a server does: load, look at one picture after another, and only then read texts."""
    import numpy as np

    from classifier.engine import load_engine

    engine = load_engine(config_of(directory, threads=1))
    embeddings = np.concatenate([engine.embed_images([photo]) for photo in photos()])
    pictures = peak()
    np.savez(directory / "ours.npz", photos=embeddings, texts=engine.embed_texts(TEXTS))
    return {"pictures": pictures, "texts": peak()}


def openais(name: str, directory: Path, quick: bool) -> dict:
    """The `clip` package's network in float32, as `clip.load` gives it on a CPU, and both in turn by the clock."""
    import numpy as np
    import torch

    from classifier.engine import load_engine
    from classifier.engine.preprocess import picture_to_pixels
    from classifier.tests.checkpoints import reference

    tower = load_engine(config_of(directory, threads=1)).tower
    network = reference(directory / "clip.pt")
    embeddings, seconds = [], {"ms": [], "openai_ms": []}
    with torch.inference_mode():
        for photo in photos():
            pixels = torch.from_numpy(picture_to_pixels(photo, network.visual.input_resolution)[None])
            for side, compute in (("ms", tower), ("openai_ms", network.encode_image)):
                started = time.process_time()
                found = compute(pixels)
                seconds[side].append(time.process_time() - started)
            embeddings.append(found)
        texts = network.encode_text(tokens_of(TEXTS)).numpy()
    own = np.load(directory / "ours.npz")
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "photo_cosine": least_cosine(own["photos"], torch.cat(embeddings).numpy()),
        "text_cosine": least_cosine(own["texts"], texts),
        **{side: 1000 * min(each) for side, each in seconds.items()},
    }


def tokens_of(texts):
    """As `clip.tokenize`: (T, 77)"""
    import torch

    from classifier.engine.tokenizer import clip_module

    tokenizer = clip_module("simple_tokenizer").SimpleTokenizer()
    tokens = torch.zeros(len(texts), 77, dtype=torch.long)
    for row_, text in zip(tokens, texts, strict=True):
        encoded = [49406, *tokenizer.encode(text), 49407]
        row_[: len(encoded)] = torch.tensor(encoded)
    return tokens


STEPS = {"write": write, "convert": convert, "ours": ours, "openais": openais}


def config_of(directory: Path, threads: int = 2):
    from classifier.engine import Config

    return Config(str(directory / "clip.pt"), directory / "model", threads=threads, device="cpu")


def photos() -> list:
    from classifier.tests.photos import photo

    names = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
    return [photo(name) for name in names[:TURNS]]


def peak() -> float:
    """The most memory that this process ever had, its mapped files included, in MB. Linux."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def least_cosine(left, right) -> float:
    import numpy as np

    cosines = (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    return float(cosines.min())


if __name__ == "__main__":
    main()
