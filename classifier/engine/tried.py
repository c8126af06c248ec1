"""What conversion tried and why it was taken or refused, a line each, out of the manifest."""

from __future__ import annotations

from collections.abc import Iterator

from classifier.engine import Manifest
from classifier.engine.selfcheck import shortcomings


def tried_lines(manifest: Manifest) -> Iterator[str]:
    """For prepare_model. Of several kernels the one that agrees least speaks: it decided."""
    for entry in manifest.get("tried", []):
        if not entry["findings"]:
            continue  # a ResNet runs as OpenAI's code does
        kernel, finding = min(entry["findings"].items(), key=lambda item: item[1]["cosine_mean"])
        verdict = "taken" if entry["taken"] else "refused"
        reasons = shortcomings(finding)
        yield (
            f"{described(entry)}: cosine {finding['cosine_mean']:.5f} on average, {finding['cosine_min']:.5f} at least "
            f"on {finding['pictures']} pictures by {kernel}; {verdict}{f', {reasons}' if reasons else ''}"
        )


def described(entry: Manifest) -> str:
    """The precision that was tried: "int8, 5 of 48 layers float16 (7.1 MB more; 12 by fbgemm-int8)"."""
    counts = {kernel: len(names) for kernel, names in entry["float16"].items()}
    if not any(counts.values()):
        return str(entry["precision"])
    stored = min(counts.values())
    others = "".join(f"; {count} by {kernel}" for kernel, count in counts.items() if count != stored)
    return (
        f"{entry['precision']}, {stored} of {entry['layers']} layers float16 "
        f"({entry['float16_bytes'] / 1e6:.1f} MB more{others})"
    )
