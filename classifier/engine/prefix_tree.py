"""Many token sequences as one tree of their prefixes, cut into chunks that fit in memory.

CLIP's text transformer is causal: what it computes for a token depends on that token and on those before it. So
sequences that begin alike share all the work on their common beginning, and a set of sequences costs as many token
computations as it has distinct prefixes: the nodes of this tree. OpenAI's ImageNet prompts (80 templates x 1000 names)
have 328,378; padded to the context length of 77, as the plain loop computes them, they have 6,160,000 tokens.

Nodes are numbered in preorder (parent first, each subtree in one piece), which makes everything else simple:

- node j is i itself or one of its ancestors exactly when `j <= i < end[j]`;
- a run of consecutive nodes attends to nothing but itself and the ancestors of its first node: an ancestor of any
  node of the run that lies before the run is an ancestor of the first one too.

The second fact is used twice: chunks are runs, so that between two chunks only one path of keys and values is carried
over; and within a chunk attention works on short runs ("blocks"), each a small dense matrix with a mask.

numpy alone; no torch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

BLOCK = 32  # nodes that attend together: long enough for efficient matrix products, short enough to waste little


@dataclass(frozen=True)
class Chunk:
    """N consecutive nodes and how they attend. Rows of keys are numbered: C carried ones first, then the N nodes."""

    tokens: np.ndarray  # (N,) int64
    positions: np.ndarray  # (N,) int64, the place in the text, 0 for start-of-text
    queries: np.ndarray  # (blocks, R) int64: nodes of this chunk, 0..N-1; the last block repeats its last node
    keys: np.ndarray  # (blocks, A + R) int64: rows of keys, 0..C+N-1
    mask: np.ndarray  # (blocks, R, A + R) bool: True where a query attends to a key
    leaves: np.ndarray  # (E,) int64: nodes of this chunk, 0..N-1, that end a sequence
    sequences: range  # the sequences they end, by number
    carry: np.ndarray  # (C',) int64: rows of keys that the next chunk needs, in its order
    stop: int  # number of the first node after this chunk


class PrefixTree:
    """The distinct prefixes of token sequences that are distinct, sorted, and do not begin one another.

    Sorted sequences end in preorder. The end-of-text token sees to it that none begins another.
    """

    def __init__(self, sequences: Sequence[tuple[int, ...]]) -> None:
        tokens: list[int] = []
        positions: list[int] = []
        parents: list[int] = []
        end: list[int] = []
        leaves: list[int] = []
        path: list[int] = []  # nodes of the previous sequence
        previous: tuple[int, ...] = ()
        for sequence in sequences:
            shared = _shared(previous, sequence)
            for node in path[shared:]:
                end[node] = len(tokens)
            del path[shared:]
            for position in range(shared, len(sequence)):
                parents.append(path[-1] if path else -1)
                path.append(len(tokens))
                tokens.append(sequence[position])
                positions.append(position)
                end.append(0)
            leaves.append(len(tokens) - 1)
            previous = sequence
        for node in path:
            end[node] = len(tokens)
        self.tokens = np.array(tokens, dtype=np.int64)
        self.positions = np.array(positions, dtype=np.int64)
        self.parents = np.array(parents, dtype=np.int64)
        self.end = np.array(end, dtype=np.int64)
        self.leaves = np.array(leaves, dtype=np.int64)  # (sequences,), ascending

    def __len__(self) -> int:
        """Number of nodes: the tokens that have to be computed."""
        return len(self.tokens)

    def ancestors(self, node: int) -> list[int]:
        """The path from the root down to a node, without the node itself."""
        path = []
        while (node := int(self.parents[node])) >= 0:
            path.append(node)
        return path[::-1]

    def path_chunk(self, node: int) -> Chunk | None:
        """The ancestors of a node as a chunk of their own: what has to be computed to start in the middle."""
        path = np.array(self.ancestors(node), dtype=np.int64)
        if not len(path):
            return None
        rows = np.arange(len(path))
        return Chunk(
            tokens=self.tokens[path],
            positions=self.positions[path],
            queries=rows[None],
            keys=rows[None],
            mask=np.tri(len(path), dtype=bool)[None],
            leaves=rows[:0],
            sequences=range(0),
            carry=rows,
            stop=node,
        )

    def chunks(self, size: int, start: int = 0) -> Iterator[Chunk]:
        """Cut the nodes from `start` on into chunks of at most `size` nodes, in preorder."""
        while start < len(self):
            stop = min(start + size, len(self))
            yield self._chunk(start, stop)
            start = stop

    def _chunk(self, start: int, stop: int) -> Chunk:
        count = stop - start
        rows = min(BLOCK, count)
        firsts = np.arange(start, stop, rows)
        paths = [self.ancestors(int(first)) for first in firsts]
        carried = np.array(paths[0], dtype=np.int64)
        above = max(len(path) for path in paths)

        # Keys by node number: the ancestors of the block's first node, then the block. -1: nothing here.
        keys = np.full((len(firsts), above + rows), -1, dtype=np.int64)
        for block, path in enumerate(paths):
            keys[block, : len(path)] = path
        own = firsts[:, None] + np.arange(rows)  # (blocks, R)
        keys[:, above:] = np.where(own < stop, own, -1)
        queries = np.minimum(own, stop - 1)

        mask = (
            (keys[:, None] <= queries[..., None])
            & (queries[..., None] < self.end[keys][:, None])
            & (keys >= 0)[:, None]
        )
        first, last = np.searchsorted(self.leaves, (start, stop))
        after = np.array(self.ancestors(stop) if stop < len(self) else [], dtype=np.int64)
        return Chunk(
            tokens=self.tokens[start:stop],
            positions=self.positions[start:stop],
            queries=queries - start,
            keys=_rows(keys, start, carried),
            mask=mask,
            leaves=self.leaves[first:last] - start,
            sequences=range(int(first), int(last)),
            carry=_rows(after, start, carried),
            stop=stop,
        )


def _shared(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Length of the common beginning of two sequences."""
    length = min(len(a), len(b))
    return next((i for i in range(length) if a[i] != b[i]), length)


def _rows(nodes: np.ndarray, start: int, carried: np.ndarray) -> np.ndarray:
    """Node numbers to rows of keys: carried nodes first, then the chunk's own; "nothing here" becomes row 0."""
    own = nodes - start + len(carried)
    return np.where(
        nodes >= start, own, np.searchsorted(carried, np.maximum(nodes, 0)).clip(0, max(len(carried) - 1, 0))
    )
