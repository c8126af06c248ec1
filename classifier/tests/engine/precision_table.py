"""How int8 fares on checkpoints with outliers, at full size: the table of docs/models.md.

    python -m classifier.tests.engine.precision_table ViT-B/32 --outliers norm hidden --gains 40 100 --seeds 0 1

Each row is a checkpoint of random weights with outliers, converted in a process of its own, so that its peak of memory
can be told, and judged on the probes and on photos: scikit-image's, cut into squares. The checkpoints are deleted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from classifier.tests.photos import photo

CROPS = 3  # of each photo: 48 in all
PHOTOS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg",
    "text.png",
)  # fmt: skip
HEADER = (
    "| | outliers, gain, seed | float16 layers (by fbgemm) | more | all int8: probes, mean and least | taken: probes | "
    "calibration's | photos | label gain, photos | processor seconds | peak |\n" + "|---" * 11 + "|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="+", metavar="SHAPE", help="ViT-B/32, ViT-B/16, ViT-L/14")
    parser.add_argument("--outliers", nargs="+", default=["norm", "hidden", "residual"])
    parser.add_argument("--gains", nargs="+", type=float, default=[10, 40, 100])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--convert", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.convert:
        print(json.dumps(convert(options.convert, options.threads)))
        return
    print(HEADER, flush=True)
    for case in itertools.product(options.shapes, options.seeds, options.outliers, options.gains):
        print(row(*case, options.threads), flush=True)


def row(shape: str, seed: int, outliers: str, gain: float, threads: int) -> str:
    """One checkpoint, made, converted and thrown away."""
    write = (
        "import sys; from pathlib import Path; from classifier.tests.checkpoints import checkpoint_write as write; "
        "write(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))"
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "clip.pt"
        arguments = [shape, str(path), outliers, str(gain), str(seed)]
        subprocess.run([sys.executable, "-W", "ignore", "-c", write, *arguments], check=True)
        command = [sys.executable, "-m", __spec__.name, shape, "--convert", str(path), "--threads", str(threads)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return f"| {shape} | {outliers}, {gain:g}, {seed} | {' | '.join(found)} |"


def convert(path: Path, threads: int) -> list[str]:
    """The cells of a row, the first two aside."""
    import torch

    from classifier.engine import Config
    from classifier.engine.checkpoint import checkpoint_open
    from classifier.engine.image_conversion import image_write, judge_of
    from classifier.engine.imagenet import imagenet_names
    from classifier.engine.prompts import head_weights
    from classifier.engine.text_tower import TextTower
    from classifier.engine.tokenizer import Tokenizer

    torch.set_num_threads(threads)
    opened = checkpoint_open(path)
    head = head_weights(TextTower(opened.text_state()), Tokenizer(), imagenet_names(), ["a photo of a {}."], chunk=512)
    judge = head, opened.state["logit_scale"].float().exp().item()
    started = time.process_time()
    config = Config(str(path), path.parent, threads=threads, device="cpu")
    attempts = image_write(config, opened, path.parent, judge_of(opened, *judge), lambda *_: None)
    seconds, peak = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    taken = attempts[-1]
    counts = {kernel: len(names) for kernel, names in taken.float16.items()}
    findings = list(taken.findings.values())
    onphotos = photo_findings(opened, path.parent, taken, judge)
    kept = (
        f"{min(counts.values())} of {taken.layers} ({max(counts.values())})" if counts else f"{taken.precision} taken"
    )
    return [
        kept,
        f"{taken.float16_bytes / 1e6:.1f} MB",
        cosines(list(attempts[0].findings.values())),
        cosines(findings),
        cosines([finding.get("calibration") for finding in findings]),
        cosines(onphotos),
        f"{max(finding['intruder_logits'] for finding in onphotos):.2f}",
        f"{seconds:.0f}",
        f"{peak / 1e6:.0f} MB",
    ]


def cosines(findings: list[dict | None]) -> str:
    """Mean and least, of the kernel that agrees least."""
    known = [finding for finding in findings if finding]
    if not known:
        return ""
    return f"{min(f['cosine_mean'] for f in known):.5f}, {min(f['cosine_min'] for f in known):.5f}"


def photo_findings(opened, directory: Path, taken, judge) -> list[dict]:
    """The self-check's findings on real photos, by each kernel."""
    import numpy as np
    import torch

    from classifier.engine.artifact import image_file
    from classifier.engine.image_tower import BATCH, ImageTower, embed_with_openais_weights
    from classifier.engine.preprocess import picture_to_pixels
    from classifier.engine.selfcheck import self_check
    from classifier.engine.weights_file import WeightsFile

    side = opened.shape.resolution
    pixels = torch.from_numpy(np.stack([picture_to_pixels(photo, side) for photo in photo_crops()]))
    with torch.inference_mode():
        state = opened.image_state()
        originals = torch.cat([embed_with_openais_weights(state, opened.shape, x) for x in pixels.split(BATCH)]).numpy()
        weights = WeightsFile(directory / image_file(taken.precision))
        towers = (
            ImageTower(weights, opened.shape, taken.precision, kernel, taken.float16.get(kernel, ()))
            for kernel in taken.findings
        )
        return [self_check(tower(pixels).numpy(), originals, *judge) for tower in towers]


def photo_crops() -> list:
    """scikit-image's photos, cut into squares of half its shorter side, from corner to corner."""
    crops = []
    for name in PHOTOS:
        picture = photo(name)
        side = min(picture.size) // 2
        for place in range(CROPS):
            left, top = ((picture.width - side) * place // (CROPS - 1), (picture.height - side) * place // (CROPS - 1))
            crops.append(picture.crop((left, top, left + side, top + side)))
    return crops


if __name__ == "__main__":
    main()
