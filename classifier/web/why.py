"""The heat map on a result: which parts of the picture speak for one of its labels."""

import math
from dataclasses import dataclass

from django.http import HttpRequest

from classifier.errors import ClassifierError
from classifier.http.problems import told
from classifier.http.ratelimits import rate_limit_check
from classifier.models import Upload
from classifier.pictures.crop import Crop
from classifier.services.explain import Explanation, upload_explain

FAINT = 0.2  # logits: a map whose strongest part takes less than a fifth of the odds says that no part alone decides
OPAQUE = 0.72  # of the strongest part


@dataclass(frozen=True)
class Cell:
    """A part of the picture that speaks for the label, in the picture's own pixels."""

    x: float
    y: float
    width: float
    height: float
    opacity: str


def why_context(request: HttpRequest, upload: Upload, seen: Crop) -> dict:
    """What the result page shows where its address asks why: `?why=RANK`."""
    asked = request.GET.get("why", "") if request.method in ("GET", "HEAD") else ""
    if not asked.isascii() or not asked.isdecimal() or len(asked) > 4:
        return {}
    try:
        rate_limit_check(request)
        found = upload_explain(upload=upload, rank=int(asked))
    except ClassifierError as error:
        return {"why_error": told(error)}
    strongest = float(found.heat.max())
    return {
        "why": found.prediction,
        "why_faint": strongest < FAINT,
        "why_left": round(100 * math.exp(-max(strongest, 0))),
        "why_cells": [] if strongest < FAINT else cells_of(found, seen),
        "why_blur": f"{seen.width / len(found.heat) / 2:.1f}",
        "why_frame": seen,
    }


def cells_of(found: Explanation, seen: Crop) -> list[Cell]:
    """The parts that speak for the label, the strongest `OPAQUE`."""
    grid, strongest = len(found.heat), float(found.heat.max())
    width, height = seen.width / grid, seen.height / grid
    return [
        Cell(seen.left + column * width, seen.top + row * height, width, height, f"{OPAQUE * heat / strongest:.2f}")
        for row, line in enumerate(found.heat)
        for column, heat in enumerate(line)
        if heat > 0.05 * strongest
    ]
