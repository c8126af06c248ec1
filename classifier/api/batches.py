"""Batches: many pictures at once, classified when there is time."""

import secrets
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Query, Router, Schema, Status

from classifier.api.bodies import media_type
from classifier.api.callers import Bearer
from classifier.api.known import known_check
from classifier.api.schemas import ProblemSchema, RecordSchema
from classifier.api.uploads import UPLOAD_BODY, choice_of_fields
from classifier.http.batch_bodies import pictures_sent
from classifier.http.owners import owner_keep, owner_new
from classifier.http.problems import Problem
from classifier.http.ratelimits import batch_limit_check
from classifier.http.records import record_of
from classifier.models import Batch, BatchItem
from classifier.services import batches

router = Router(tags=["Batches"])

PAGE = 100  # pictures
_FIELDS = UPLOAD_BODY["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": f"Up to {batches.MOST:,} pictures, each in a field of this name",
                        },
                        "archive": {"type": "string", "format": "binary", "description": "Or one ZIP archive of them"},
                        **{name: schema for name, schema in _FIELDS.items() if name != "image"},
                    },
                    "additionalProperties": False,
                }
            }
        },
    }
}


class BatchSchema(Schema):
    id: UUID
    created: str
    status: str
    label_set: str
    total: int
    waiting: int
    done: int
    failed: int
    seconds_left: float | None
    results: str
    url: str


class ItemSchema(Schema):
    place: int
    name: str
    status: str
    reason: str
    upload: RecordSchema | None


class ItemsSchema(Schema):
    items: list[ItemSchema]
    next: str | None


@router.post(
    "/batches",
    auth=Bearer(),
    operation_id="batch_create",
    summary="Send many pictures at once",
    response={202: BatchSchema, frozenset({400, 401, 403, 409, 411, 413, 415, 422, 429, 500, 503}): ProblemSchema},
    openapi_extra=BODY,
)
def batch_create(request: HttpRequest, response: HttpResponse) -> Any:
    """Takes up to 1,000 pictures in fields `images`, or as a ZIP archive in `archive`, and answers at once.

    They are classified in the background, while uploads keep precedence; the address in the answer says how far that
    has come. Each becomes an upload of its own. A file that is no picture fails alone.
    """
    caller = request.auth
    if media_type(request) != "multipart/form-data":
        raise Problem(415, "unsupported-media-type", "Send multipart/form-data with pictures in fields named images.")
    names = ("candidate_labels", "hypothesis_template", "label_set")
    known_check([*request.POST, *request.FILES], [*names, "images", "archive", "csrfmiddlewaretoken"], "form field")
    batch_limit_check(request, api_key=caller.api_key)
    pictures = pictures_sent(request)
    choice = choice_of_fields(**{name: request.POST.getlist(name) for name in names})
    owner = caller.owner or (owner_new(request) if caller.session else "")
    batch = batches.batch_create(pictures=pictures, owner=owner, api_key=caller.api_key, choice=choice)
    if caller.session:
        owner_keep(request, owner)
    answer = batch_record(batch, request)
    response["Location"] = request.build_absolute_uri(reverse("api:batch_read", args=[batch.pk]))
    return Status(202, answer)


@router.api_operation(
    ["GET", "HEAD"],
    "/batches/{uuid:batch_id}",
    auth=Bearer(),
    operation_id="batch_read",
    url_name="batch_read",
    summary="See how far a batch has come",
    response={200: BatchSchema, frozenset({401, 404, 500, 503}): ProblemSchema},
)
def batch_read(request: HttpRequest, batch_id: UUID) -> Any:
    """Whoever has the id may read it: ids cannot be guessed. `status` is waiting, running or done."""
    return batch_record(get_object_or_404(Batch, pk=batch_id), request)


@router.api_operation(
    ["GET", "HEAD"],
    "/batches/{uuid:batch_id}/results",
    auth=Bearer(),
    operation_id="batch_results",
    url_name="batch_results",
    summary="Read the results of a batch",
    response={200: ItemsSchema, frozenset({401, 404, 422, 500, 503}): ProblemSchema},
)
def batch_results(
    request: HttpRequest,
    batch_id: UUID,
    after: int = Query(0, ge=0, le=1_000_000, description="The last `place` of the page before"),
    limit: int = Query(PAGE, ge=1, le=PAGE, description="How many on a page"),
) -> Any:
    """In the order in which the pictures were sent; those that wait appear, too. `upload` is as `/uploads/{id}`."""
    batch = get_object_or_404(Batch, pk=batch_id)
    found = list(items_of(batch).filter(place__gt=after)[: limit + 1])
    page = found[:limit]
    address = reverse("api:batch_results", args=[batch.pk])
    more = f"{address}?after={page[-1].place}&limit={limit}" if len(found) > limit else None
    return {
        "items": [
            {
                "place": item.place,
                "name": item.name,
                "status": item.status,
                "reason": item.reason,
                "upload": record_of(item.upload, request) if item.upload else None,
            }
            for item in page
        ],
        "next": more and request.build_absolute_uri(more),
    }


@router.delete(
    "/batches/{uuid:batch_id}",
    auth=Bearer(),
    operation_id="batch_delete",
    summary="Give up a batch",
    response={204: None, frozenset({401, 403, 404, 500, 503}): ProblemSchema},
)
def batch_delete(request: HttpRequest, batch_id: UUID) -> Any:
    """What waits is not classified any more. The uploads that it has become stay, and can be deleted by themselves."""
    batch = get_object_or_404(Batch, pk=batch_id)
    caller = request.auth
    if caller.api_key:
        mine = caller.api_key.pk == batch.api_key_id
    else:
        mine = bool(caller.owner) and secrets.compare_digest(caller.owner, batch.owner)
    if not (mine or caller.may("classifier.delete_batch")):
        raise Problem(403, "forbidden", "Only whoever sent this batch can give it up.")
    batches.batch_delete(batch=batch)
    return Status(204, None)


def items_of(batch: Batch) -> Any:
    """With their uploads' records, and without their files."""
    return (
        BatchItem.objects.filter(batch=batch)
        .defer("data", "upload__image", "upload__image_small")
        .select_related("upload__latest")
        .prefetch_related("upload__latest__predictions")
        .order_by("place")
    )


def batch_record(batch: Batch, request: HttpRequest) -> dict:
    progress = batches.batch_progress(batch)
    return {
        "id": batch.pk,
        "created": batch.created.isoformat(),
        "status": progress.status,
        "label_set": batch.label_set,
        "total": progress.total,
        "waiting": progress.waiting,
        "done": progress.done,
        "failed": progress.failed,
        "seconds_left": progress.seconds_left,
        "results": request.build_absolute_uri(reverse("api:batch_results", args=[batch.pk])),
        "url": request.build_absolute_uri(batch.get_absolute_url()),
    }
