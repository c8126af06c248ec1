"""What conversion tried and why it was taken or refused, a line each, out of the manifest."""

from __future__ import annotations

from collections.abc import Iterator

from classifier.engine import Manifest
from classifier.engine.selfcheck import Finding, shortcomings, text_shortcomings


def tried_lines(manifest: Manifest) -> Iterator[str]:
    """For prepare_model."""
    for entry in manifest.get("tried", []):
        if entry["findings"]:  # a ResNet runs as OpenAI's code does
            kernel, finding = decisive(entry)
            where = f"{finding['pictures']} pictures by {kernel}"
            yield line(described(entry), finding, where, entry["taken"], shortcomings(finding))
    for entry in manifest.get("text_tried", []):
        if entry["findings"]:
            kernel, finding = decisive(entry)
            name, where = f"text tower {described(entry)}", f"{finding['texts']} texts by {kernel}"
            yield line(name, finding, where, entry["taken"], text_shortcomings(finding))
        elif len(manifest["text_tried"]) > 1:
            yield "text tower as published; taken"


def decisive(entry: Manifest) -> tuple[str, Finding]:
    """Of several kernels the one that decided: one that failed, or else the one that agrees least."""
    findings: dict[str, Finding] = entry["findings"]
    return min(findings.items(), key=lambda item: (item[1]["passed"], item[1]["cosine_mean"]))


def line(name: str, finding: Finding, where: str, taken: bool, reasons: str) -> str:
    verdict = "taken" if taken else "refused"
    return (
        f"{name}: cosine {finding['cosine_mean']:.5f} on average, {finding['cosine_min']:.5f} at least on {where}; "
        f"{verdict}{f', {reasons}' if reasons else ''}"
    )


def described(entry: Manifest) -> str:
    """The precision that was tried: "int8, 5 of 48 layers float16 (7.1 MB more; 12 by fbgemm-int8)"."""
    counts = {kernel: len(names) for kernel, names in entry["float16"].items()}
    name = ", ".join(part for part in (entry["precision"], entry["note"]) if part)
    if not any(counts.values()):
        return name
    stored = min(counts.values())
    others = "".join(f"; {count} by {kernel}" for kernel, count in counts.items() if count != stored)
    return f"{name}, {stored} of {entry['layers']} layers float16 ({entry['float16_bytes'] / 1e6:.1f} MB more{others})"
