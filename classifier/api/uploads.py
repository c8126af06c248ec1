"""Uploads: make, list, read, delete."""

import hashlib
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Header, Query, Router, Status

from classifier.api.bodies import multipart_image
from classifier.api.callers import Bearer, upload_mine
from classifier.api.known import known_check
from classifier.api.schemas import CreatedSchema, PageSchema, ProblemSchema, RecordSchema, created_of
from classifier.http.idempotency import Stored, request_once
from classifier.http.owners import owner_keep, owner_new
from classifier.http.paging import cursor_of, cursor_read, older_than
from classifier.http.problems import Problem
from classifier.http.ratelimits import rate_limit_check
from classifier.http.records import record_of
from classifier.models import Upload, UploadQuerySet
from classifier.services import uploads
from classifier.services.heads import Choice
from classifier.services.label_sets import choice_make
from classifier.services.labels import DEFAULT_TEMPLATE

router = Router(tags=["Uploads"])

FIELDS = ("candidate_labels", "hypothesis_template", "label_set")
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {
                            "type": "string",
                            "format": "binary",
                            "description": "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF",
                        },
                        "candidate_labels": {
                            "type": "string",
                            "description": "2 to 100 labels to choose from, separated by commas or line breaks, or one "
                            "in each of several such fields; ImageNet's 1000 where absent",
                        },
                        "hypothesis_template": {
                            "type": "string",
                            "description": f"A sentence with {{}} for the label; `{DEFAULT_TEMPLATE}` where absent",
                        },
                        "label_set": {"type": "string", "description": "The name of a saved label set, instead"},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}


@router.post(
    "/uploads",
    auth=Bearer(),
    operation_id="upload_create",
    summary="Classify and keep a picture",
    response={201: CreatedSchema, frozenset({400, 401, 403, 409, 411, 413, 415, 422, 429, 500, 503}): ProblemSchema},
    openapi_extra=UPLOAD_BODY,
)
def upload_create(
    request: HttpRequest,
    response: HttpResponse,
    idempotency_key: str = Header(
        "",
        alias="Idempotency-Key",
        max_length=255,
        description="A fresh random value, such as a UUID, for each new picture. Repeating a request with the same "
        "value within 24 hours repeats the answer and stores nothing again.",
    ),
) -> Any:
    """Takes one picture in the multipart field `image`, and stores it with its likeliest labels.

    They are the five likeliest of ImageNet's 1000 or of a saved set, or all of the labels that came with the picture.

    The answer carries a `secret`, which can delete the upload later. With an API key the upload belongs to the key.
    """
    caller = request.auth
    rate_limit_check(request, api_key=caller.api_key)
    file = multipart_image(request)
    known_check([*request.POST, *request.FILES], [*FIELDS, "image", "csrfmiddlewaretoken"], "form field")
    fields = {name: request.POST.getlist(name) for name in FIELDS}
    choice = choice_of_fields(**fields)

    owner = caller.owner or (owner_new(request) if caller.session else "")

    def make(stored: Stored = None) -> Upload:
        return uploads.upload_create(
            file=file, name=file.name or "", owner=owner, api_key=caller.api_key, choice=choice, stored=stored
        )

    def answer(upload: Upload) -> dict:
        return record_of(upload, request)

    if idempotency_key:
        digest = hashlib.file_digest(file, "sha256")
        digest.update(repr(fields).encode() if any(fields.values()) else b"")
        fingerprint = digest.hexdigest()
        record, repeated = request_once(
            caller=caller.identity, key=idempotency_key, fingerprint=fingerprint, make=make, answer=answer
        )
    else:
        record, repeated = answer(make()), False
    if caller.session and not repeated:
        owner_keep(request, owner)
    if repeated:
        response["Idempotent-Replayed"] = "true"
    response["Location"] = request.build_absolute_uri(reverse("api:upload_read", args=[record["id"]]))
    return Status(201, created_of(record))


def choice_of_fields(candidate_labels: list[str], hypothesis_template: list[str], label_set: list[str]) -> Choice:
    """From the form's fields. Raises `LabelError`."""
    return choice_make(
        labels=candidate_labels if len(candidate_labels) > 1 else "".join(candidate_labels),
        template=" ".join(hypothesis_template),
        label_set=" ".join(label_set),
    )


@router.api_operation(
    ["GET", "HEAD"],
    "/uploads",
    auth=Bearer(),
    operation_id="upload_list",
    summary="List your uploads",
    response={200: PageSchema, frozenset({401, 403, 422, 500, 503}): ProblemSchema},
)
def upload_list(
    request: HttpRequest,
    cursor: str = Query("", description="From `next` of the page before", max_length=200),
    limit: int = Query(20, ge=1, le=100, description="How many on a page"),
    everyone: bool = Query(False, alias="all", description="Staff only: everybody's uploads"),
) -> Any:
    """Newest first: those made with your API key, or in your browser's session."""
    caller = request.auth
    if caller.api_key is None and not caller.session:
        detail = "Send the API key that made the uploads, as Authorization: Bearer KEY."
        raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
    if everyone and not caller.may("classifier.view_upload"):
        raise Problem(403, "forbidden", "Only staff who may view uploads can list everybody's.")
    uploads = Upload.objects.all() if everyone else caller.uploads()
    found = list(_older(uploads.with_latest(), cursor)[: limit + 1])
    page = found[:limit]
    address = None
    if len(found) > limit:
        query = request.GET.copy()
        query["cursor"] = cursor_of(page[-1])
        address = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
    return {"items": [record_of(upload, request) for upload in page], "next": address}


def _older(uploads: UploadQuerySet, cursor: str) -> UploadQuerySet:
    if not cursor:
        return uploads.order_by("-created", "-id")
    place = cursor_read(cursor)
    if place is None:
        raise Problem(422, "invalid", "cursor: this is not one of ours. Take it from `next` of the page before.")
    return older_than(uploads, *place)


@router.api_operation(
    ["GET", "HEAD"],
    "/uploads/{uuid:upload_id}",
    auth=Bearer(secrets_too=True),
    operation_id="upload_read",
    url_name="upload_read",
    summary="Read one upload",
    response={200: RecordSchema, frozenset({401, 404, 500, 503}): ProblemSchema},
)
def upload_read(request: HttpRequest, upload_id: UUID) -> Any:
    """Whoever has the id may read it, as on its page: ids cannot be guessed."""
    return record_of(get_object_or_404(Upload.objects.with_latest(), pk=upload_id), request)


@router.delete(
    "/uploads/{uuid:upload_id}",
    auth=Bearer(secrets_too=True),
    operation_id="upload_delete",
    summary="Delete one upload",
    response={204: None, frozenset({401, 403, 404, 500, 503}): ProblemSchema},
)
def upload_delete(request: HttpRequest, upload_id: UUID) -> Any:
    """With the upload's secret, the API key that made it, the session that made it, or as staff. For good."""
    upload = upload_mine(request, upload_id, "delete it", "delete")
    uploads.upload_delete(upload=upload)
    return Status(204, None)
