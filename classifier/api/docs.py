"""The API's documentation, written from its OpenAPI description: readable without JavaScript, tried out with it."""

import re
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from classifier.api.snippets import snippets_of
from classifier.http.compress import compressed
from classifier.http.problems import PROBLEMS

TYPES = {"binary": "file", "byte": "file in base64"}  # what a person calls a format


class Docs(DocsBase):
    """Our own page, in place of django-ninja's, which loads Swagger UI; docs/api.md compares it with three others."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        schema = api.get_openapi_schema()
        operations = operations_of(request, schema)
        problems = [{"code": code, "status": status, "title": title} for code, (status, title) in PROBLEMS.items()]
        context = {
            "api": api,
            "groups": [(tag, list(group)) for tag, group in groupby(operations, key=itemgetter("tag"))],
            "problems": sorted(problems, key=lambda problem: problem["status"]),
            "openapi_url": self.get_openapi_url(api, kwargs),
            "bearer": prose(schema["components"]["securitySchemes"]["Bearer"]["description"]),
            "csrf": get_token(request),  # for trying out in the visitor's own session
        }
        return compressed(request, render(request, "api_docs.html", context))


def operations_of(request: HttpRequest, schema: dict) -> list[dict]:
    """What the page says of each operation."""
    return [
        _operation(request, schema, path, method, details)
        for path, methods in schema["paths"].items()
        for method, details in methods.items()
    ]


def prose(text: str) -> SafeString:
    """Text with `code` in it, as HTML."""
    return mark_safe(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _operation(request: HttpRequest, schema: dict, path: str, method: str, details: dict) -> dict:
    content = details.get("requestBody", {}).get("content", {})
    body = _resolve(schema, _read(content)["schema"]) if content else {}
    return {
        "id": details["operationId"],
        "tag": details["tags"][0],
        "method": method.upper(),
        "path": path,
        "summary": details["summary"],
        "paragraphs": [prose(part) for part in details["description"].split("\n\n")],
        "fields": [_parameter(each) for each in details["parameters"]] + _controls(schema, body),
        "body": list(content),
        "sends": "form" if "multipart/form-data" in content else "json" if content else "",
        "snippets": snippets_of(
            method=method.upper(),
            root=request.build_absolute_uri("/").rstrip("/"),
            path=path,
            details=details,
            example=body.get("example", {}),
        ),
        "answers": [_answer(schema, status, each) for status, each in details["responses"].items() if _fine(status)],
        "errors": [status for status in details["responses"] if not _fine(status)],
    }


def _read(content: dict) -> dict:
    """Of the kinds of body that an operation takes, the one that can say everything."""
    return content.get("application/json") or next(iter(content.values()))


def _parameter(details: dict) -> dict:
    kind = {"description": details.get("description", ""), **details["schema"]}
    return _control(details["name"], details["in"], kind, details["required"])


def _controls(schema: dict, kind: dict, prefix: str = "", example: dict | None = None) -> list[dict]:
    """What can be said in a body, each with its path: parameters.candidate_labels."""
    example = kind.get("example", {}) if example is None else example
    controls = []
    for name, field in kind.get("properties", {}).items():
        inner, said = _resolve(schema, field), example.get(name, "")
        if "properties" in inner:
            controls += _controls(schema, inner, f"{prefix}{name}.", said or {})
        else:
            control = _control(f"{prefix}{name}", "body", inner, name in kind.get("required", []))
            controls.append({**control, "example": ", ".join(said) if isinstance(said, list) else said})
    return controls


def _control(name: str, where: str, kind: dict, required: bool) -> dict:
    default = kind.get("default")
    return {
        "name": name,
        "where": where,
        "type": _type(kind),
        "input": _input(kind),
        "choices": kind.get("enum") or ([kind["const"]] if "const" in kind else []),
        "required": required,
        "default": "" if default in ("", None) else str(default).lower() if isinstance(default, bool) else default,
        "minimum": kind.get("minimum", ""),
        "maximum": kind.get("maximum", ""),
        "description": prose(kind.get("description", "")),
    }


def _input(kind: dict) -> str:
    """What a field is filled in with: file, files, lines (a list, as text), choice, yes, object, number or text."""
    if kind.get("format") in ("binary", "byte"):
        return "file"
    if kind.get("items", {}).get("format") == "binary":
        return "files"
    if kind.get("type") == "boolean":
        return "yes"
    if kind.get("type") == "object":
        return "object"
    if "enum" in kind or "const" in kind:
        return "choice"
    lists = any(each.get("type") == "array" for each in kind.get("anyOf", []))
    return "lines" if lists else "number" if kind.get("type") in ("integer", "number") else "text"


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
        return " or ".join(dict.fromkeys(_type(each) for each in kind["anyOf"] if each.get("type") != "null"))
    if "enum" in kind:
        return " or ".join(f'"{value}"' for value in kind["enum"])
    if kind.get("type") == "array":
        return f"list of {_type(kind['items'])}" if "properties" not in kind["items"] else "list"
    if kind.get("format") in ("label", "labels", "prompt-template"):
        return "text"
    return str(TYPES.get(kind.get("format")) or kind.get("format") or kind.get("const") or kind.get("type", ""))
