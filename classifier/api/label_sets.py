"""Saved label sets: anybody reads them, whoever has an API key makes and changes them."""

from datetime import datetime
from typing import Any, Literal

from django.http import HttpRequest
from ninja import Field, Router, Schema, Status

from classifier.api.callers import Bearer, Caller
from classifier.api.schemas import LABEL, TEMPLATE, ProblemSchema, labels_json
from classifier.http.problems import Problem
from classifier.models import LabelSet
from classifier.services import label_sets
from classifier.services.labels import (
    DEFAULT_TEMPLATE,
    MAX_LABELS_SET,
    MAX_NAME,
    MAX_TEMPLATES,
    set_labels_from_text,
    templates_from_text,
)

router = Router(tags=["Label sets"])


class LabelSetSchema(Schema):
    """A saved set, and how far computing it for this server's model has come."""

    id: int
    name: str
    created: datetime
    state: Literal["ready", "building", "waiting", "failed", "unsupported"]
    done: int = Field(description="Prompts computed so far")
    total: int = Field(description="Labels times templates; 0 before it has begun")
    reason: str = Field(description="Why it failed, or empty")


class FullLabelSetSchema(LabelSetSchema):
    """A saved set with its labels."""

    labels: list[str]
    templates: list[str]


class LabelSetsSchema(Schema):
    """Every saved set."""

    items: list[LabelSetSchema]


class LabelSetBodySchema(Schema):
    """What to save."""

    name: str = Field(description=f"At most {MAX_NAME} characters", json_schema_extra=LABEL)
    labels: list[str] | str = Field(
        description="2 to 5,000 labels, as a list or as text with one on each line",
        json_schema_extra=labels_json(MAX_LABELS_SET),
    )
    templates: list[str] | str = Field(
        DEFAULT_TEMPLATE,
        description="Sentences with {} for the label, as a list or one on each line",
        json_schema_extra={
            "anyOf": [
                {"type": "array", "items": TEMPLATE, "minItems": 1, "maxItems": MAX_TEMPLATES, "uniqueItems": True},
                TEMPLATE,
            ]
        },
    )

    class Config:
        extra = "forbid"
        json_schema_extra = {"example": {"name": "Pets", "labels": ["cat", "dog", "rabbit"]}}


CHANGES = frozenset({400, 401, 403, 404, 411, 413, 422, 500, 503})


@router.api_operation(
    ["GET", "HEAD"],
    "/label-sets",
    auth=Bearer(),
    operation_id="label_set_list",
    summary="List the saved label sets",
    response={200: LabelSetsSchema, frozenset({401, 500, 503}): ProblemSchema},
)
def label_set_list(request: HttpRequest) -> Any:
    """Every set that `label_set` can name, besides the built-in `imagenet`."""
    return {"items": [_short(entry) for entry in label_sets.label_sets_list()]}


@router.api_operation(
    ["GET", "HEAD"],
    "/label-sets/{int:label_set_id}",
    auth=Bearer(),
    operation_id="label_set_read",
    summary="Read one label set",
    response={200: FullLabelSetSchema, frozenset({401, 404, 500, 503}): ProblemSchema},
)
def label_set_read(request: HttpRequest, label_set_id: int) -> Any:
    """With its labels and templates. `state` says when it can be used."""
    return _full(label_sets.label_set_entry(_find(label_set_id).pk))


@router.post(
    "/label-sets",
    auth=Bearer(),
    operation_id="label_set_create",
    summary="Save a label set",
    response={201: FullLabelSetSchema, CHANGES - {404}: ProblemSchema},
)
def label_set_create(request: HttpRequest, body: LabelSetBodySchema) -> Any:
    """Needs an API key. A large set is computed in the background: read it again until its `state` is `ready`."""
    caller = request.auth
    _require(caller, "add")
    made = label_sets.label_set_create(**_checked(body), api_key=caller.api_key)
    return Status(201, _full(label_sets.label_set_entry(made.pk)))


@router.put(
    "/label-sets/{int:label_set_id}",
    auth=Bearer(),
    operation_id="label_set_update",
    summary="Change a label set",
    response={200: FullLabelSetSchema, CHANGES: ProblemSchema},
)
def label_set_update(request: HttpRequest, label_set_id: int, body: LabelSetBodySchema) -> Any:
    """Needs the API key that made it. Computed anew where labels or templates have changed."""
    label_set = _find(label_set_id)
    _require(request.auth, "change", label_set)
    label_sets.label_set_update(label_set=label_set, **_checked(body))
    return _full(label_sets.label_set_entry(label_set_id))


@router.delete(
    "/label-sets/{int:label_set_id}",
    auth=Bearer(),
    operation_id="label_set_delete",
    summary="Delete a label set",
    response={204: None, frozenset({401, 403, 404, 500, 503}): ProblemSchema},
)
def label_set_delete(request: HttpRequest, label_set_id: int) -> Any:
    """Needs the API key that made it. What was classified with it stays as it is."""
    label_set = _find(label_set_id)
    _require(request.auth, "delete", label_set)
    label_sets.label_set_delete(label_set=label_set)
    return Status(204, None)


def _require(caller: Caller, what: str, label_set: LabelSet | None = None) -> None:
    """A program may make sets and change those that it made; people what their permissions say."""
    if caller.may(f"classifier.{what}_labelset"):
        return
    if caller.api_key is None:
        detail = "Label sets are for everybody; to change them send an API key as Authorization: Bearer KEY."
        raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
    if label_set is not None and label_set.api_key_id != caller.api_key.pk:
        raise Problem(403, "forbidden", "This label set was made by somebody else; an API key changes those it made.")


def _find(label_set_id: int) -> LabelSet:
    found = LabelSet.objects.defer("labels").filter(pk=label_set_id).first() if label_set_id < 2**63 else None
    if found is None:
        raise Problem(404, "not-found", "There is no such label set.")
    return found


def _checked(body: LabelSetBodySchema) -> dict:
    """Raises `LabelError`."""
    return {
        "name": body.name,
        "labels": set_labels_from_text(body.labels)
        if isinstance(body.labels, str)
        else [label.strip() for label in body.labels],
        "templates": templates_from_text(body.templates)
        if isinstance(body.templates, str)
        else [template.strip() for template in body.templates],
    }


def _short(entry: label_sets.Entry) -> dict:
    label_set = entry.label_set
    return {
        "id": label_set.pk,
        "name": label_set.name,
        "created": label_set.created,
        "state": entry.state,
        "done": entry.done,
        "total": entry.total,
        "reason": entry.reason,
    }


def _full(entry: label_sets.Entry) -> dict:
    return {**_short(entry), "labels": entry.label_set.label_list, "templates": entry.label_set.template_list}
