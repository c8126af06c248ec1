"""How far a share that was counted may be from the true one."""

import math

Z = 1.959964  # of the normal distribution, for 95 %


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson's, https://doi.org/10.1080/01621459.1927.10502953); all of it for none."""
    if count == 0:
        return 0.0, 1.0
    share, z2 = right / count, Z * Z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)
