"""Why a label was given: a heat map over the picture."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema

from classifier.api.callers import Bearer
from classifier.api.schemas import ProblemSchema
from classifier.http.ratelimits import rate_limit_check
from classifier.models import Upload
from classifier.services.explain import upload_explain

router = Router(tags=["Uploads"])


class ExplanationSchema(Schema):
    """Where in the picture a label comes from."""

    rank: int
    label: str
    grid: int = Field(description="Parts along each side of the square that the model sees")
    heat: list[list[float]] = Field(
        description="Rows from the top, each from the left: how many logits, against the mean of all labels, the label "
        "loses when that part is covered; negative where it gains"
    )


@router.api_operation(
    ["GET", "HEAD"],
    "/uploads/{uuid:upload_id}/explanation",
    auth=Bearer(secrets_too=True),
    operation_id="upload_explain",
    summary="See which parts speak for a label",
    response={
        200: ExplanationSchema,
        frozenset({401, 404, 409, 422, 429, 500, 503}): ProblemSchema,
    },
)
def explanation(
    request: HttpRequest,
    upload_id: UUID,
    rank: int = Query(1, ge=1, le=1000, description="Which of the record's predictions"),
) -> Any:
    """Covers each part of the picture in turn, once, and measures what the label loses."""
    upload = get_object_or_404(Upload.objects.with_latest(), pk=upload_id)
    rate_limit_check(request, api_key=request.auth.api_key)
    found = upload_explain(upload=upload, rank=rank)
    heat = [[round(float(value), 4) for value in row] for row in found.heat]
    return {"rank": rank, "label": found.prediction.label, "grid": len(heat), "heat": heat}
