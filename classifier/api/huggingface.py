"""Zero-shot image classification in the shape of Hugging Face's Inference API, so that its clients work here.

https://huggingface.co/docs/inference-providers/tasks/zero-shot-image-classification
https://huggingface.co/docs/inference-providers/tasks/image-classification
"""

from typing import Any, BinaryIO

from django.http import HttpRequest
from ninja import Router
from pydantic import ValidationError

from classifier.api.base64json import json_image
from classifier.api.bodies import media_type, raw_image
from classifier.api.callers import Bearer
from classifier.api.schemas import ParametersSchema, ProblemSchema, ScoreSchema, ZeroShotSchema
from classifier.http.problems import Problem
from classifier.http.ratelimits import rate_limit_check
from classifier.services import uploads
from classifier.services.label_sets import choice_make

router = Router(tags=["Hugging Face"])

# Hugging Face's client names no type for bytes, and curl --data-binary calls everything a form.
BYTES = ("", "application/octet-stream", "application/x-www-form-urlencoded")
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
    if kind in BYTES or kind.startswith("image/"):
        return raw_image(request), ParametersSchema()
    if kind != "application/json":
        raise Problem(415, "unsupported-media-type", "Send application/json, or the bytes of a picture as image/*.")
    file, body = json_image(request.read)
    try:
        parsed = ZeroShotSchema.model_validate({**body, "inputs": "" if file else None})
    except ValidationError as error:
        errors = [{"loc": [str(part) for part in each["loc"]], "msg": each["msg"]} for each in error.errors()]
        detail = "; ".join(f"{'.'.join(each['loc'])}: {each['msg']}" for each in errors)
        raise Problem(422, "invalid", detail) from error
    return file, parsed.parameters or ParametersSchema()
