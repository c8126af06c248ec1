"""Does a converted tower still agree with OpenAI's weights? Measured on pictures that calibration never saw.

An embedding of cosine c to the original is off by a vector of length sqrt(2 - 2c). Along the line between two labels'
text embeddings (typically 0.8 apart, of D = 512 dimensions) a random error of that length moves their logits'
difference by about 100 * 0.8 * sqrt((2 - 2c) / 512): 0.16 at c = 0.999 and 0.35 at c = 0.995, where the first and
second label of a photo are commonly one or more apart. Hence the thresholds: on average a sixth of a logit, at worst a
third; and no label may reach the top five that the original puts more than half a logit below its own fifth, which is
a factor of 1.6 in odds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from classifier.engine.norm import normalised

COSINE_MEAN, COSINE_MIN = 0.999, 0.995
INTRUDER = 0.5  # logits below the original's fifth label
TOP = 5
# Of the loss that is allowed, what layers are chosen for: photos lose up to 1.2 times what the worse of both sets of
# drawn pictures does, as docs/models.md shows.
COMFORT = 0.7
TEXT_COSINE_MIN = 0.9995
TEXT_INTRUDER = 0.25  # logits: labels that lie closer may change places at the end of the top five

Finding = dict[str, Any]  # what a self-check found, as the manifest keeps it


def self_check(embeddings: np.ndarray, originals: np.ndarray, head: np.ndarray, logit_scale: float) -> Finding:
    """Compare (B, D) embeddings of the same pictures by a (K, D) head. Everything goes into the manifest."""
    ours, theirs = normalised(embeddings), normalised(originals)
    cosines = (ours * theirs).sum(axis=1)  # (B,)
    logits, truth = logit_scale * ours @ head.T, logit_scale * theirs @ head.T  # (B, K)
    top, true_top = np.argsort(-logits, axis=1)[:, :TOP], np.argsort(-truth, axis=1)[:, :TOP]
    fifth = np.take_along_axis(truth, true_top, axis=1)[:, -1:]  # (B, 1)
    intruder = float((fifth - np.take_along_axis(truth, top, axis=1)).max())
    found = {
        "pictures": len(ours),
        "cosine_mean": round(float(cosines.mean()), 7),
        "cosine_min": round(float(cosines.min()), 7),
        "same_first": round(float((top[:, 0] == true_top[:, 0]).mean()), 4),
        "shared_top_5": round(
            float(np.mean([len(set(a) & set(b)) / TOP for a, b in zip(top, true_top, strict=True)])), 4
        ),
        "intruder_logits": round(max(intruder, 0.0), 4),
    }
    return {**found, "passed": bool(np.isfinite(logits).all() and np.isfinite(truth).all()) and judged(found)}


def text_shortcomings(finding: Finding) -> str:
    """Why a text tower did not pass; "" where it did."""
    reasons = [
        (finding["cosine_min"] <= TEXT_COSINE_MIN, f"the least is not above {TEXT_COSINE_MIN}"),
        (finding["intruder_logits"] > TEXT_INTRUDER, f"a label gains {finding['intruder_logits']:.2f} logits"),
    ]
    return "" if finding["passed"] else " and ".join(reason for holds, reason in reasons if holds) or "it is not finite"


def judged(found: Finding, share: float = 1.0) -> bool:
    """Whether these figures pass, by no more than a share of the loss that is allowed."""
    return bool(
        1 - found["cosine_mean"] <= share * (1 - COSINE_MEAN)
        and 1 - found["cosine_min"] <= share * (1 - COSINE_MIN)
        and found["intruder_logits"] <= share * INTRUDER
    )


def comfortable(finding: Finding) -> bool:
    """Whether it passes with something to spare, on pictures that calibration saw as on those it did not."""
    return bool(finding["passed"]) and all(
        judged(found, COMFORT) for found in (finding, finding.get("calibration", finding))
    )


def shortcomings(finding: Finding) -> str:
    """Why it did not pass, for a person; "" where it did."""
    if finding["passed"]:
        return ""
    seen = finding.get("calibration", finding)
    for where, found in (("", finding), (" on the calibration's pictures", seen)):
        if judged(found):
            continue
        reasons = [
            (found["cosine_mean"] < COSINE_MEAN, f"the average is below {COSINE_MEAN}"),
            (found["cosine_min"] < COSINE_MIN, f"the least is below {COSINE_MIN}"),
            (found["intruder_logits"] > INTRUDER, f"a label gains {found['intruder_logits']:.2f} logits"),
        ]
        return (" and ".join(reason for holds, reason in reasons if holds) or "it is not finite") + where
    return ""


def text_check(embeddings: np.ndarray, originals: np.ndarray, pictures: np.ndarray, logit_scale: float) -> Finding:
    """Compare (K, D) embeddings of the same texts, by themselves and as a head that ranks (B, D) pictures."""
    ours, theirs, seen = normalised(embeddings), normalised(originals), normalised(pictures)
    cosines = (ours * theirs).sum(axis=1)  # (K,)
    logits, truth = logit_scale * seen @ ours.T, logit_scale * seen @ theirs.T  # (B, K)
    top, true_top = np.argsort(-logits, axis=1)[:, :TOP], np.argsort(-truth, axis=1)[:, :TOP]
    fifth = np.take_along_axis(truth, true_top, axis=1)[:, -1:]  # (B, 1)
    intruder = max(float((fifth - np.take_along_axis(truth, top, axis=1)).max()), 0.0)
    found = {
        "texts": len(ours),
        "cosine_mean": round(float(cosines.mean()), 7),
        "cosine_min": round(float(cosines.min()), 7),
        "same_top_5": round(float(np.mean([set(a) == set(b) for a, b in zip(top, true_top, strict=True)])), 4),
        "intruder_logits": round(intruder, 4),
    }
    return {**found, "passed": bool(found["cosine_min"] > TEXT_COSINE_MIN and intruder <= TEXT_INTRUDER)}


def thresholds() -> dict[str, float]:
    """What `passed` stands for."""
    return {
        "cosine_mean": COSINE_MEAN,
        "cosine_min": COSINE_MIN,
        "intruder_logits": INTRUDER,
        "text_cosine_min": TEXT_COSINE_MIN,
        "text_intruder_logits": TEXT_INTRUDER,
    }
