"""`manage.py benchmark`: the engine against OpenAI's code, ONNX Runtime and OpenVINO, side by side in one run.

Other work on the machine slows whoever runs at that moment. So each contestant takes turns with OpenAI's code, batch by
batch, and a ratio compares the medians of those turns only. Pauses let threads that wait for more work fall asleep.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from classifier.benchmark.contestants import OPENAI, PEERS, Contestant, contestants, openais_network
from classifier.engine import Config
from classifier.engine.checkpoint import Checkpoint
from classifier.engine.imagenet import imagenet_names, imagenet_templates
from classifier.engine.norm import normalised
from classifier.engine.preprocess import picture_to_pixels
from classifier.engine.prompts import CHUNK_ALONE, head_weights
from classifier.engine.text_tower import TextTower
from classifier.engine.tokenizer import Tokenizer

PAUSE = 0.02  # seconds
BATCHES = (1, 4, 16)
PLAIN_NAMES, OUR_NAMES = 8, 60  # how many of ImageNet's names each head builder is timed on


@dataclass(frozen=True)
class Row:
    """One contestant: milliseconds per picture and ratio to OpenAI's code by batch size, and its agreement with it."""

    name: str
    weights: int  # bytes
    milliseconds: dict[int, float]
    ratios: dict[int, float]
    cosine_min: float
    cosine_mean: float


class Comparison:
    """The contestants, and photos to embed."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        photos: Sequence[Image.Image],
        scratch: Path,
        threads: int,
        repeats: int,
        float16: dict[str, list[str]],
    ) -> None:
        torch.set_num_threads(threads)
        self.pixels = np.stack([picture_to_pixels(photo, checkpoint.shape.resolution) for photo in photos])
        self.batches = {size: np.resize(self.pixels, (size, *self.pixels.shape[1:])) for size in BATCHES}
        self.repeats = repeats
        found = contestants(checkpoint, scratch, threads, openais_network(checkpoint), float16)
        self.contestants = {contestant.name: contestant for contestant in found}

    def rows(self) -> Iterator[Row]:
        """A row per contestant, OpenAI's code first."""
        openai = self.contestants[OPENAI]
        original = openai.embed(self.pixels)
        for contestant in self.contestants.values():
            turns = {size: self.take_turns(openai, contestant, size) for size in BATCHES}
            cosines = row_cosines(contestant.embed(self.pixels), original)
            yield Row(
                contestant.name,
                contestant.weights,
                {size: 1000 * ours / size for size, (_, ours) in turns.items()},
                {size: theirs / ours for size, (theirs, ours) in turns.items()},
                float(cosines.min()),
                float(cosines.mean()),
            )

    def against_peers(self) -> Iterator[tuple[str, dict[int, float]]]:
        """How many times faster int8 is than each other int8 that is installed, by batch size."""
        for name in PEERS:
            if name in self.contestants:
                turns = {
                    size: self.take_turns(self.contestants[name], self.contestants["int8"], size) for size in BATCHES
                }
                yield name, {size: theirs / ours for size, (theirs, ours) in turns.items()}

    def take_turns(self, left: Contestant, right: Contestant, size: int) -> tuple[float, float]:
        """Each one's median seconds for a batch."""
        seconds: dict[int, list[float]] = {0: [], 1: []}
        for turn in range(1 + max(3, int(self.repeats / size**0.5))):
            for place, contestant in enumerate((left, right)):
                time.sleep(PAUSE)
                spent = timed(lambda contestant=contestant: contestant.embed(self.batches[size]))
                if turn:  # the first is for warming up
                    seconds[place].append(spent)
        return statistics.median(seconds[0]), statistics.median(seconds[1])


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def row_cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (normalised(left) * normalised(right)).sum(axis=1)


# --- The zero-shot head ----------------------------------------------------------------------------------------------


def compare_heads(checkpoint: Checkpoint) -> Iterator[tuple[str, str]]:
    """Rows of (figure, value): the head builder against the loop of OpenAI's notebook."""
    network, tokenizer, templates = openais_network(checkpoint), Tokenizer(), imagenet_templates()
    names = imagenet_names()[:: len(imagenet_names()) // OUR_NAMES][:OUR_NAMES]
    tower = TextTower(checkpoint.text_state())
    head_weights(tower, tokenizer, names[:2], templates)  # warms both up
    plain_head(network, tokenizer, names[:1], templates[:4])
    found: list[np.ndarray] = []
    plain = timed(lambda: found.append(plain_head(network, tokenizer, names[:PLAIN_NAMES], templates))) / PLAIN_NAMES
    ours = timed(lambda: found.append(head_weights(tower, tokenizer, names, templates, chunk=CHUNK_ALONE))) / OUR_NAMES
    yield "head build, plain loop", f"{1000 * plain:.0f} ms a name ({PLAIN_NAMES} names)"
    yield (
        "head build, this project",
        f"{1000 * ours:.0f} ms a name ({OUR_NAMES} names), {plain / ours:.1f} times faster",
    )
    yield "head build, cosine to the plain loop", f"{row_cosines(found[0], found[1][:PLAIN_NAMES]).min():.7f} (minimum)"


@torch.inference_mode()
def plain_head(
    network: torch.nn.Module, tokenizer: Tokenizer, names: Sequence[str], templates: Sequence[str]
) -> np.ndarray:
    """As OpenAI's notebook Prompt_Engineering_for_ImageNet does it: a name's prompts at a time, padded. (K, D)"""
    rows = []
    for name in names:
        tokens = torch.zeros(len(templates), network.context_length, dtype=torch.long)
        for row, template in zip(tokens, templates, strict=True):
            encoded = tokenizer.encode(template.replace("{}", name))
            row[: len(encoded)] = torch.tensor(encoded)
        embeddings = network.encode_text(tokens)
        mean = (embeddings / embeddings.norm(dim=-1, keepdim=True)).mean(dim=0)
        rows.append((mean / mean.norm()).numpy())
    return np.stack(rows)


# --- From nothing to the first prediction ----------------------------------------------------------------------------

START = """
import sys, time
from pathlib import Path
from PIL import Image
from classifier.engine import Config, get_engine
engine = get_engine(Config(sys.argv[1], Path(sys.argv[2]), threads=int(sys.argv[3])))
engine.classify(Image.open(sys.argv[4]).convert("RGB"))
"""


def start_seconds(config: Config, photo: Path, runs: int = 3) -> float:
    """From the start of a process to its first prediction, the artifact being prepared: the median of some runs."""
    command = [sys.executable, "-c", START, config.model, str(config.model_dir), str(config.threads), str(photo)]
    return statistics.median(timed(lambda: subprocess.run(command, check=True)) for _ in range(runs))
