"""Labels x prompt templates -> text embeddings -> zero-shot head.

A head is OpenAI's (notebooks/Prompt_Engineering_for_ImageNet.ipynb, `zeroshot_classifier`): per label the mean of the
normalised embeddings of all its prompts, normalised again. The notebook encodes one label's prompts after another,
padded to 77 tokens; here all prompts become one tree of prefixes, no token of which is computed twice.

Memory, beside the tower and the tokenizer, at ViT-B/32's width: some 8 MB while a chunk is computed (50 if it is one of
`CHUNK_ALONE`), whatever the number of prompts; the sums of the head (labels x dimension x 4 bytes); and the tree of the
prompts, 37 MB for ImageNet's 80,000.
"""

import hashlib
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from classifier.engine.norm import normalised
from classifier.engine.prefix_tree import PrefixTree
from classifier.engine.text_tower import TextTower
from classifier.engine.tokenizer import Tokenizer
from classifier.errors import LabelError

CHUNK = 64  # tokens computed together; several requests may bring labels at a time, each with a chunk in memory
CHUNK_ALONE = 512  # a sixth faster, where there is nothing else to do
LONGEST_TOKEN = 32  # characters, in OpenAI's vocabulary; spaces between count for none, but nobody types so many
SAVE_SECONDS = 2  # how much work an interruption may cost

Progress = Callable[[int, int], None]  # prompts done, prompts in all
Tokens = tuple[int, ...]


def embed_texts(tower: TextTower, tokenizer: Tokenizer, texts: Sequence[str], chunk: int | None = None) -> np.ndarray:
    """Embeddings of texts, (T, P) float32, rows L2-normalised. Raises LabelError for a text that is too long."""
    sequences, numbers = _distinct(_encode(tower, tokenizer, text) for text in texts)
    found = [embeddings for _, _, embeddings in _embed(tower, PrefixTree(sequences), 0, chunk)]
    rows: np.ndarray = np.concatenate([np.empty((0, tower.dim), np.float32), *found])[numbers]
    return rows


def head_weights(
    tower: TextTower,
    tokenizer: Tokenizer,
    labels: Sequence[str],
    templates: Sequence[str],
    *,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
    weights_sha256: str = "",
    chunk: int | None = None,
) -> np.ndarray:
    """The rows of a zero-shot head, (K, P) float32, L2-normalised, one per label.

    With `cache_dir` the sums so far are kept there every few seconds, under a name made of `weights_sha256`, the
    labels and the templates, and an interrupted build goes on from them; the file is deleted when the head is complete.
    Raises LabelError for a template without {} and for a prompt that is longer than the tower's context.
    """
    check_templates(templates)
    sequences, numbers = _distinct(
        _encode(tower, tokenizer, template.replace("{}", label), label) for label in labels for template in templates
    )
    tree = PrefixTree(sequences)
    by_sequence = np.argsort(numbers, kind="stable")  # prompts, which are numbered label by label
    bounds = np.searchsorted(numbers[by_sequence], np.arange(len(sequences) + 1))

    partial = Partial(cache_dir, weights_sha256, labels, templates)
    start, sums = partial.load() or (0, np.zeros((len(labels), tower.dim), np.float32))
    for stop, ended, embeddings in _embed(tower, tree, start, chunk):
        prompts = by_sequence[bounds[ended.start] : bounds[ended.stop]]  # those whose text ended in this chunk
        np.add.at(sums, prompts // len(templates), embeddings[numbers[prompts] - ended.start])
        partial.save(stop, sums)
        if progress:
            progress(int(bounds[ended.stop]), len(numbers))
    partial.delete()
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)  # in place: of 5,000 labels these are 10 MB
    return sums


def check_templates(templates: Sequence[str]) -> None:
    """Raise LabelError where there is no template, or one without a place for the label."""
    if not templates:
        raise LabelError("Give at least one prompt template, such as “a photo of a {}.”")
    for template in templates:
        if "{}" not in template:
            raise LabelError(f"The prompt template “{_short(template)}” has no {{}}, where the label goes.")


class Partial:
    """The sums of a head that is being built, kept in a file so that an interrupted build can go on."""

    def __init__(
        self, cache_dir: Path | None, weights_sha256: str, labels: Sequence[str], templates: Sequence[str]
    ) -> None:
        key = repr((weights_sha256, list(labels), list(templates))).encode()
        self.path = Path(cache_dir) / f"head-{hashlib.sha256(key).hexdigest()[:32]}.partial.npz" if cache_dir else None
        self.saved = time.monotonic()

    def load(self) -> tuple[int, np.ndarray] | None:
        """The first node that is still to be computed, and the sums up to it; None where nothing usable is kept."""
        if not self.path or not self.path.exists():
            return None
        try:
            with np.load(self.path) as kept:
                return int(kept["stop"]), kept["sums"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # damaged: begin again
            return None

    def save(self, stop: int, sums: np.ndarray) -> None:
        """Keep the sums if the last time is long enough ago. Readers see the old file or the new one, never a half."""
        if not self.path or time.monotonic() - self.saved < SAVE_SECONDS:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(f".{os.getpid()}")
        with temporary.open("wb") as file:
            np.savez(file, stop=stop, sums=sums)
        temporary.replace(self.path)
        self.saved = time.monotonic()

    def delete(self) -> None:
        if self.path:
            self.path.unlink(missing_ok=True)


def _encode(tower: TextTower, tokenizer: Tokenizer, text: str, label: str | None = None) -> Tokens:
    most = tower.context_length
    # The longest token has LONGEST_TOKEN characters: what is longer than so many of those is refused unread.
    tokens = tokenizer.encode(text, most) if len(text) <= most * LONGEST_TOKEN else ()
    if not 0 < len(tokens) <= most:
        what = f"The text “{_short(text)}” is" if label is None else f"The label “{_short(label)}” makes a prompt of"
        raise LabelError(f"{what} over {most} tokens; CLIP reads at most {most}. Make it shorter.")
    return tokens


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _distinct(texts: Iterator[Tokens]) -> tuple[list[Tokens], np.ndarray]:
    """The distinct token sequences, sorted, and the number of each text among them, (T,) int64."""
    seen: dict[Tokens, int] = {}
    firsts = np.fromiter((seen.setdefault(tokens, len(seen)) for tokens in texts), dtype=np.int64)
    sequences = sorted(seen)
    rank = np.empty(len(seen), np.int64)
    rank[[seen[tokens] for tokens in sequences]] = np.arange(len(seen))
    return sequences, rank[firsts]


def _embed(
    tower: TextTower, tree: PrefixTree, start: int = 0, size: int | None = None
) -> Iterator[tuple[int, range, np.ndarray]]:
    """Walk a tree from node `start` on, `size` nodes (`CHUNK` where None) at a time.

    Yields the next node, the sequences that ended, their embeddings (E, P).
    """
    above = tree.path_chunk(start) if start < len(tree) else None
    carried = tower.forward(above, None)[1] if above else None
    for chunk in tree.chunks(size or CHUNK, start):
        embeddings, carried = tower.forward(chunk, carried)
        tower.forget()
        yield chunk.stop, chunk.sequences, normalised(embeddings.numpy())
