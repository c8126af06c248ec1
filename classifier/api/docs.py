"""The API's documentation, written from its OpenAPI description: readable without JavaScript, tried out with it."""

import json
import re
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from classifier.http.compress import compressed
from classifier.http.problems import PROBLEMS


class Docs(DocsBase):
    """Our own page, in place of django-ninja's, which loads Swagger UI: 1.7 MB, inline scripts and no dark mode."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        schema = api.get_openapi_schema()
        operations = [
            _operation(request, schema, path, method, details)
            for path, methods in schema["paths"].items()
            for method, details in methods.items()
        ]
        problems = [{"code": code, "status": status, "title": title} for code, (status, title) in PROBLEMS.items()]
        context = {
            "api": api,
            "operations": operations,
            "problems": sorted(problems, key=lambda problem: problem["status"]),
            "openapi_url": self.get_openapi_url(api, kwargs),
            "bearer": prose(schema["components"]["securitySchemes"]["Bearer"]["description"]),
            "csrf": get_token(request),  # for trying out in the visitor's own session
        }
        return compressed(request, render(request, "api_docs.html", context))


def prose(text: str) -> SafeString:
    """Text with `code` in it, as HTML."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _operation(request: HttpRequest, schema: dict, path: str, method: str, details: dict) -> dict:
    content = details.get("requestBody", {}).get("content", {})
    return {
        "id": details["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": details["summary"],
        "paragraphs": [prose(part) for part in details["description"].split("\n\n")],
        "parameters": [_parameter(each) for each in details["parameters"]],
        "body": list(content),
        "fields": _fields(schema, next(iter(content.values()))["schema"]) if content else [],
        "sends": _sends(content),
        "json": _json_example(schema, content),
        "example": _example(request, path, method, details, _json_example(schema, content)),
        "answers": [_answer(schema, status, each) for status, each in details["responses"].items() if _fine(status)],
        "errors": [status for status in details["responses"] if not _fine(status)],
    }


def _parameter(details: dict) -> dict:
    kind = details["schema"]
    default = kind.get("default")
    return {
        "name": details["name"],
        "where": details["in"],
        "type": kind.get("format") or kind.get("type", ""),
        "required": details["required"],
        "default": "" if default in ("", None) else str(default).lower() if isinstance(default, bool) else default,
        "minimum": kind.get("minimum", ""),
        "maximum": kind.get("maximum", ""),
        "description": prose(details.get("description", "")),
    }


def _fine(status: int | str) -> bool:
    return int(status) < 400


def _answer(schema: dict, status: int | str, details: dict) -> dict:
    content = details.get("content", {})
    kind, body = next(iter(content.items())) if content else ("", {"schema": {}})
    return {
        "status": status,
        "description": details["description"],
        "type": kind,
        "fields": _fields(schema, body["schema"]),
    }


def _fields(schema: dict, kind: dict, prefix: str = "") -> list[dict]:
    """The fields of an object, those of objects inside it with their path: image.width."""
    kind = _resolve(schema, kind)
    if kind.get("type") == "array":
        return _fields(schema, kind["items"], f"{prefix}[].")
    fields = []
    for name, field in kind.get("properties", {}).items():
        inner = _resolve(schema, field)
        description = field.get("description") or inner.get("description", "")
        path = f"{prefix}{name}"
        fields.append({"name": path, "type": _type(inner), "description": prose(description)})
        if inner.get("type") == "array":
            fields += _fields(schema, inner["items"], f"{path}[].")
        else:
            fields += _fields(schema, inner, f"{path}.")
    return fields


def _resolve(schema: dict, kind: dict) -> dict:
    """What a reference stands for; of "this or null", this."""
    others = [each for each in kind.get("anyOf", []) if each.get("type") != "null"]
    if len(others) == 1:
        kind = {**others[0], **{key: value for key, value in kind.items() if key != "anyOf"}}
    if "$ref" in kind:
        return schema["components"]["schemas"][kind["$ref"].rsplit("/", 1)[1]]
    return kind


def _type(kind: dict) -> str:
    if "anyOf" in kind:
        return " or ".join(_type(each) for each in kind["anyOf"])
    if "enum" in kind:
        return " or ".join(f'"{value}"' for value in kind["enum"])
    return str(kind.get("format") or kind.get("const") or kind.get("type", ""))


def _sends(content: dict) -> str:
    """What trying out puts into the body: a form, a file's bytes, JSON, or nothing."""
    if not content:
        return ""
    return "form" if "multipart/form-data" in content else "json" if list(content) == ["application/json"] else "bytes"


def _json_example(schema: dict, content: dict) -> str:
    """The body that the description of an operation gives as its example."""
    if _sends(content) != "json":
        return ""
    return json.dumps(_resolve(schema, content["application/json"]["schema"]).get("example", {}))


def _example(request: HttpRequest, path: str, method: str, details: dict, body: str) -> str:
    """How curl asks."""
    content = details.get("requestBody", {}).get("content", {})
    address = request.build_absolute_uri(re.sub(r"{\w+}", "ID", path))
    if body:
        key = "-H 'Authorization: Bearer KEY' -H 'Content-Type: application/json'"
        return f"curl -X {method.upper()} {key} -d '{body}' {address}"
    if "multipart/form-data" in content:
        fields = content["multipart/form-data"]["schema"]["properties"]
        files = "image=@photo.jpg" if "image" in fields else "archive=@photos.zip"
        return f"curl -F {files} {address}"
    if content:
        return f"curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg {address}"
    if method == "delete":
        token = "SECRET" if "{upload_id}" in path else "KEY"
        return f"curl -X DELETE -H 'Authorization: Bearer {token}' {address}"
    asked = "&".join(f"{each['name']}={each['example']}" for each in details["parameters"] if "example" in each)
    if address.endswith("ID"):
        return f"curl {address}"
    return f"curl -H 'Authorization: Bearer KEY' {address}" + (f"?{asked}" if asked else "")
