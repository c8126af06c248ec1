"""Zero-shot image classification in the shape of Hugging Face's Inference API, so that its clients work here.

https://huggingface.co/docs/inference-providers/tasks/zero-shot-image-classification
https://huggingface.co/docs/inference-providers/tasks/image-classification
"""

from typing import Any, BinaryIO

from django.http import HttpRequest
from ninja import Router
from pydantic import ValidationError

from classifier.api.base64json import json_image
from classifier.api.bodies import CHUNK, media_type, raw_image
from classifier.api.callers import Bearer
from classifier.api.known import known_check
from classifier.api.schemas import ParametersSchema, ProblemSchema, ScoreSchema
from classifier.http.problems import Problem
from classifier.http.ratelimits import rate_limit_check
from classifier.services import uploads
from classifier.services.label_sets import choice_make

router = Router(tags=["Hugging Face"])

# Hugging Face's client names no type for bytes, and curl --data-binary calls everything a form.
BYTES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
SPELLINGS = {"candidateLabels": "candidate_labels"}  # as Hugging Face's clients wrote it until 2024
BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/zero-shot-image-classification",
    auth=Bearer(ignored="hf_"),  # Hugging Face's client sends its user's token wherever it is pointed
    operation_id="zero_shot_image_classification",
    summary="Classify a picture without keeping it",
    response={200: list[ScoreSchema], frozenset({400, 401, 403, 411, 413, 415, 422, 429, 500, 503}): ProblemSchema},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/ZeroShotSchema"}},
                "application/octet-stream": BINARY,
                "image/*": BINARY,
            },
        }
    },
)
def zero_shot_image_classification(request: HttpRequest) -> Any:
    """Hugging Face's shape: JSON with the picture in base64, or the picture's bytes alone. Nothing is stored.

    With `candidate_labels`, 2 to 100 of them, every label is returned, the likeliest first. Without, the five likeliest
    of ImageNet's 1000 labels are (`top_k` says how many).
    """
    rate_limit_check(request, api_key=request.auth.api_key)
    file, parameters = _parse(request)
    choice = choice_make(labels=parameters.candidate_labels, template=parameters.hypothesis_template)
    top = len(choice.labels) or parameters.top_k
    answer = uploads.picture_classify(file=file, top=top, choice=choice)
    return [{"label": ranked.label, "score": ranked.score} for ranked in answer.predictions]


def _parse(request: HttpRequest) -> tuple[BinaryIO, ParametersSchema]:
    kind = media_type(request)
    if kind.startswith("image/"):
        return raw_image(request), ParametersSchema()
    if kind not in (*BYTES, "application/json"):
        raise Problem(415, "unsupported-media-type", "Send application/json, or the bytes of a picture as image/*.")
    start = request.read(CHUNK)
    # Hugging Face's clients of 2025 send JSON and do not say so; no picture begins with a brace.
    if kind in BYTES and not start.lstrip().startswith(b"{"):
        return raw_image(request, start), ParametersSchema()
    waiting = [start] if start else []
    file, body = json_image(lambda size: waiting.pop() if waiting else request.read(size))
    parameters = _parameters(body)
    if file is None:
        raise Problem(422, "invalid", "inputs: send the picture in base64 or as a data: URL in base64.")
    return file, parameters


def _parameters(body: dict[str, Any]) -> ParametersSchema:
    """What is asked for beside the picture, wherever a client writes it. Raises `Problem`."""
    members, places = _members(body)
    unknown = [place for name, place in places.items() if name not in ParametersSchema.model_fields]
    known_check(unknown, ParametersSchema.model_fields, "member")
    try:
        return ParametersSchema.model_validate(members)
    except ValidationError as error:
        told = [f"{places[str(each['loc'][0])]}: {each['msg']}" for each in error.errors()]
        raise Problem(422, "invalid", "; ".join(told)) from error


def _members(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters by our names for them, and where each was written."""
    members: dict[str, Any] = {}
    places: dict[str, str] = {}
    parts = {f"{name}.": body.pop(name, None) for name in ("parameters", "inputs", "options")}
    for prefix, part in {**parts, "": body}.items():
        if part is not None and not isinstance(part, dict):
            raise Problem(422, "invalid", f"{prefix.removesuffix('.')}: this is not of the kind that belongs here.")
        if prefix == "options.":
            continue  # Hugging Face's own switches: whether to wait, whether a cache may answer
        for name, value in (part or {}).items():
            ours = SPELLINGS.get(name, name)
            if ours in members:
                raise Problem(422, "invalid", f"{prefix}{name}: this was said already, as {places[ours]}.")
            members[ours], places[ours] = value, f"{prefix}{name}"
    return members, places
