"""Search by picture and by words, and other labels for an upload."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema, Status
from pydantic import model_validator

from classifier.api.callers import Bearer, Caller, upload_mine
from classifier.api.schemas import (
    TEMPLATE,
    PredictionSchema,
    ProblemSchema,
    RecordSchema,
    SquareSchema,
    labels_json,
)
from classifier.http.problems import Problem
from classifier.http.ratelimits import rate_limit_check
from classifier.http.records import record_of
from classifier.models import Upload
from classifier.pictures.crop import square_within
from classifier.services import search, uploads
from classifier.services.embeddings import owner_of_api_key
from classifier.services.label_sets import choice_make
from classifier.services.labels import DEFAULT_TEMPLATE, MAX_LABELS_ONCE
from classifier.services.live import square_keep

router = Router(tags=["Search"])

RUNS = 20  # rankings of one upload that are listed


class HitSchema(Schema):
    """An upload that was found."""

    similarity: float = Field(description="Cosine between its embedding and what was searched for")
    duplicate: bool = Field(description="Whether it is the same file")
    upload: RecordSchema


class HitsSchema(Schema):
    """Uploads that were found, the best first."""

    items: list[HitSchema]


class ChoiceSchema(Schema):
    """Labels to choose from: your own, or a saved set's; ImageNet's 1000 where both are absent."""

    candidate_labels: list[str] | str | None = Field(
        None,
        description="2 to 100 labels, as a list or separated by commas or line breaks",
        json_schema_extra=labels_json(MAX_LABELS_ONCE, null=True),
    )
    hypothesis_template: str | None = Field(
        None,
        description=f"A sentence with {{}} for the label; `{DEFAULT_TEMPLATE}` where absent",
        json_schema_extra={"anyOf": [TEMPLATE, {"type": "null"}]},
    )
    label_set: str | None = Field(None, description="The name of a saved label set, instead")

    @model_validator(mode="wrap")
    @classmethod
    def object_only(cls, body: Any, handler: Callable[[Any], Any]) -> Any:
        """Ninja reads attributes of whatever came; a list or a number has none of these, which are all optional."""
        if not isinstance(body, dict):
            raise ValueError("Send a JSON object.")
        return handler(body)

    class Config:
        extra = "forbid"
        json_schema_extra = {"example": {"candidate_labels": ["a cat", "a dog", "something else"]}}


class RelabelSchema(ChoiceSchema):
    """Labels, and the part of the picture that is ranked against them."""

    square: SquareSchema | None = Field(None, description="A part of the picture; the model's own crop where absent")


class RunSchema(Schema):
    """One ranking of an upload."""

    created: datetime
    status: Literal["running", "done", "failed"]
    reason: str
    model: str
    precision: str
    label_set: str
    square: SquareSchema | None
    predictions: list[PredictionSchema]


class RunsSchema(Schema):
    """Rankings of an upload, the newest first."""

    items: list[RunSchema]


COUNT = Query(12, ge=1, le=search.MAX_HITS, description="How many")
EVERYONE = Query(False, alias="all", description="Staff only: among everybody's uploads")


@router.api_operation(
    ["GET", "HEAD"],
    "/uploads/{uuid:upload_id}/similar",
    auth=Bearer(),
    operation_id="upload_similar",
    summary="Find similar uploads",
    response={200: HitsSchema, frozenset({401, 403, 404, 422, 500, 503}): ProblemSchema},
)
def upload_similar(request: HttpRequest, upload_id: UUID, n: int = COUNT, everyone: bool = EVERYONE) -> Any:
    """Your uploads that are most like this one, exact duplicates marked.

    An upload that was classified by the stand-in alone has nothing to be compared by, and no hits.
    """
    owner = _owner(request.auth, everyone)
    upload = get_object_or_404(Upload, pk=upload_id)
    return _answer(request, search.uploads_similar(upload=upload, owner=owner, count=n, with_runs=True))


@router.api_operation(
    ["GET", "HEAD"],
    "/search",
    auth=Bearer(),
    operation_id="upload_search",
    summary="Find uploads by words",
    response={200: HitsSchema, frozenset({401, 403, 422, 429, 500, 503}): ProblemSchema},
)
def upload_search(
    request: HttpRequest,
    q: str = Query(
        description="What to look for, such as `a dog on a beach`", max_length=search.MAX_WORDS, example="beach"
    ),
    n: int = COUNT,
    everyone: bool = EVERYONE,
) -> Any:
    """Your uploads that the words describe best. CLIP reads English."""
    owner = _owner(request.auth, everyone)
    rate_limit_check(request, api_key=request.auth.api_key)
    return _answer(request, search.uploads_by_words(words=q, owner=owner, count=n, with_runs=True))


@router.post(
    "/uploads/{uuid:upload_id}/classifications",
    auth=Bearer(secrets_too=True),
    operation_id="upload_relabel",
    summary="Try other labels on an upload",
    response={
        201: RecordSchema,
        frozenset({400, 401, 403, 404, 409, 411, 413, 422, 429, 500, 503}): ProblemSchema,
    },
)
def upload_relabel(request: HttpRequest, upload_id: UUID, choice: RelabelSchema) -> Any:
    """Ranks a stored picture against other labels, without sending it again; the record shows the newest ranking.

    With `square` only that part is looked at, cut from the copy that was kept (at most 512 pixels a side).
    """
    upload = upload_mine(request, upload_id, "have it looked at again")
    labels = choice_make(
        labels=choice.candidate_labels, template=choice.hypothesis_template, label_set=choice.label_set
    )
    rate_limit_check(request, api_key=request.auth.api_key)
    # Its own run, and not a newer one, which somebody else may have begun meanwhile.
    if choice.square:
        where = choice.square
        square = square_within(upload.width, upload.height, where.x, where.y, where.side)
        upload.latest = square_keep(upload=upload, choice=labels, square=square)
    else:
        upload.latest = uploads.upload_relabel(upload=upload, choice=labels)
    return Status(201, record_of(upload, request))


@router.api_operation(
    ["GET", "HEAD"],
    "/uploads/{uuid:upload_id}/classifications",
    auth=Bearer(secrets_too=True),
    operation_id="upload_runs",
    summary="List the rankings of an upload",
    response={200: RunsSchema, frozenset({401, 403, 404, 500, 503}): ProblemSchema},
)
def upload_runs(request: HttpRequest, upload_id: UUID) -> Any:
    """The newest twenty with all their labels, for whoever made the upload."""
    upload = upload_mine(request, upload_id, "read its rankings")
    return {"items": list(upload.classifications.prefetch_related("predictions")[:RUNS])}


def _owner(caller: Caller, everyone: bool) -> str | None:
    """Whose uploads to search; None for everybody's."""
    if everyone:
        if not caller.may("classifier.view_upload"):
            raise Problem(403, "forbidden", "Only staff who may view uploads can search everybody's.")
        return None
    if caller.api_key is not None:
        return owner_of_api_key(caller.api_key.pk)
    if not caller.session:
        detail = "Send the API key that made the uploads, as Authorization: Bearer KEY."
        raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
    return caller.owner


def _answer(request: HttpRequest, hits: list[search.Hit]) -> dict:
    return {
        "items": [
            {"similarity": hit.similarity, "duplicate": hit.duplicate, "upload": record_of(hit.upload, request)}
            for hit in hits
        ]
    }
