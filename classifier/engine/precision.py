"""Which layers stay float16 among int8's: the fewest bytes with which what is converted agrees with the original.

The order is that of agreement gained per byte (sensitivity.py), on pictures or texts that calibration saw; how many of
them are kept is found by bisection, each number tried being judged by the self-check, on what calibration saw and on
what it never did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

BUDGET = 0.3  # of a tower's int8 weights that kept layers may add: 25.5 MB of ViT-B/32's. Beyond, float16 is taken


def by_gain(losses: Mapping[str, Tensor], sizes: Mapping[str, int]) -> list[str]:
    """The layers, those first whose keeping gains most agreement per byte."""
    return sorted(losses, key=lambda name: -losses[name].mean().item() / sizes[name])


def affordable(order: list[str], sizes: Mapping[str, int], budget: float) -> int:
    """How many of the first layers the budget, a share of all their bytes, pays for."""
    left = budget * sum(sizes.values())
    for count, name in enumerate(order):
        left -= sizes[name]
        if left < 0:
            return count
    return len(order)


def fewest(passes: Callable[[int], bool], least: int, most: int) -> int | None:
    """The smallest number from `least` to `most` that passes, found by bisection; None where `most` does not."""
    if passes(least):
        return least
    if most <= least or not passes(most):
        return None
    fails, found = least, most
    while found - fails > 1:
        middle = (fails + found) // 2
        fails, found = (fails, middle) if passes(middle) else (middle, found)
    return found


def float16_layers(
    order: list[str], most: int, kernels: list[str], agrees: Callable[[str, list[str], list[str]], bool]
) -> dict[str, list[str]]:
    """By kernel the layers to keep: the fewest that agree, or `most` where even those do not.

    `agrees` is asked with a kernel, the layers that the file holds in float16, and those whose activations stay float.
    The fastest kernel, which comes first and will mostly run, decides about the file; by one that needs more of them
    int8 weights meet float activations there, and only where that does not agree does the file hold more.
    """
    counts: dict[str, int] = {}
    stored, grown = 0, False
    for kernel in kernels:

        def with_file(count: int, kernel: str = kernel) -> bool:
            return agrees(kernel, order[:count], order[:count])

        def beside_file(count: int, kernel: str = kernel, stored: int = stored) -> bool:
            return agrees(kernel, order[:stored], order[:count])

        count = fewest(beside_file, stored, most) if counts else None
        if count is None:
            count = fewest(with_file, stored, most)
            count = most if count is None else count
            stored, grown = count, bool(counts)
        counts[kernel] = count
    # A kernel that agreed need not do so with more layers, if only just: then one more and one more.
    while (
        grown and stored < most and not all(agrees(k, order[:stored], order[: max(counts[k], stored)]) for k in kernels)
    ):
        stored += 1
    return {kernel: order[: max(count, stored)] for kernel, count in counts.items()}
