"""The API as a whole: its operations, its errors and its description."""

import copy
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from classifier.api import batches, explanations, huggingface, label_sets, search, uploads
from classifier.api.docs import Docs
from classifier.api.known import query_known
from classifier.api.schemas import ZeroShotSchema
from classifier.http import problems

PROBLEM = "application/problem+json"

RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}}
HEADERS = {
    201: {"Location": {"description": "The upload's address here", "schema": {"type": "string", "format": "uri"}}},
    202: {"Location": {"description": "The batch's address here", "schema": {"type": "string", "format": "uri"}}},
    409: RETRY_AFTER,
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}


class ClipAPI(NinjaAPI):
    """Describes itself in OpenAPI 3.1, with what django-ninja leaves out."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        body = ZeroShotSchema.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"].update(body.pop("$defs"), ZeroShotSchema=body)
        for methods in schema["paths"].values():
            methods.pop("head", None)  # the same operation as get, whose operationId must not appear twice
            for operation in methods.values():
                operation["security"] = [{}, *operation["security"]]  # credentials are never required
                operation["responses"].setdefault(422, copy.deepcopy(operation["responses"][500]))  # see known.py
                operation["responses"] = dict(sorted(operation["responses"].items()))
                for status, answer in operation["responses"].items():
                    if int(status) >= 400:
                        answer["content"] = {PROBLEM: answer["content"].popitem()[1]}
                    if int(status) in HEADERS:
                        answer["headers"] = HEADERS[int(status)]
        return schema


api = ClipAPI(
    title="Heroku CLIP",
    version="1.0.0",
    urls_namespace="api",
    docs=Docs(),
    description="OpenAI's CLIP ranks ImageNet's 1000 labels, or any others, for your picture.",
)
problems.register(api)
api.add_decorator(query_known)
api.add_router("", uploads.router)
api.add_router("", explanations.router)
api.add_router("", batches.router)
api.add_router("", search.router)
api.add_router("", label_sets.router)
api.add_router("", huggingface.router)
