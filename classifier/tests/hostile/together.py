"""Large pictures read by several threads at once, and the memory that takes: `... together THREADS ROUNDS`.

With the allocator as gunicorn.conf.py sets it; as glibc has it by itself, every thread keeps what it once held.
"""

from __future__ import annotations

import io
import json
import sys
import threading
import time

from classifier.pictures import reading
from classifier.tests.hostile.common import LIMITS, flat
from classifier.tests.hostile.measure import allocator_as_deployed, measured
from classifier.tests.photos import encoded


def pictures() -> list[bytes]:
    """About the largest that are read, of each kind."""
    size = (4000, 3000)
    return [
        encoded(flat(*size, "RGB"), "JPEG"),
        encoded(flat(*size, "CMYK"), "JPEG"),
        encoded(flat(*size, "RGB"), "JPEG", progressive=True, subsampling=0),
        encoded(flat(8000, 6000, "RGB"), "JPEG"),
        encoded(flat(5470, 5470, "RGB"), "PNG", compress_level=1),
        encoded(flat(*size, "RGBA"), "PNG", compress_level=1),
        encoded(flat(*size, "RGB"), "WEBP", quality=0, method=0),
        encoded(flat(7000, 7000), "GIF"),
    ]


def run(threads: int, rounds: int) -> dict[str, float]:
    large, slowest = pictures(), [0.0]

    def read(number: int) -> None:
        for turn in range(rounds):
            started = time.monotonic()
            with reading.picture_open(io.BytesIO(large[(number + turn) % len(large)]), **LIMITS) as picture:
                reading.picture_to_jpeg(picture.image)
            slowest[0] = max(slowest[0], time.monotonic() - started)

    def together() -> None:
        running = [threading.Thread(target=read, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    took = measured(together)
    return {"memory": took.memory, "read": threads * rounds, "slowest": round(slowest[0], 2)}


if __name__ == "__main__":
    allocator_as_deployed()
    print(json.dumps(run(*map(int, sys.argv[1:]))))
