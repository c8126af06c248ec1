"""What conversion tried."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from classifier.engine.selfcheck import Finding


@dataclass(frozen=True)
class Attempt:
    """One precision that was tried, and what the self-check found, by kernel."""

    precision: str
    findings: dict[str, Finding]  # by kernel
    layers: int = 0  # linear layers in all
    float16: dict[str, list[str]] = field(default_factory=dict)  # by kernel, those kept among int8's
    float16_bytes: int = 0  # by which those that the file holds in float16 make it larger
    losses: dict[str, float] = field(default_factory=dict)  # by layer, the cosine that int8 costs there
    note: str = ""  # what else is not int8

    @property
    def passed(self) -> bool:
        return all(finding["passed"] for finding in self.findings.values())

    def entry(self, taken: bool) -> dict[str, Any]:
        """For the manifest."""
        return {**dataclasses.asdict(self), "taken": taken}
