"""Every error under /api/ in one shape: RFC 9457, application/problem+json."""

import http.client
import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from classifier.errors import ClassifierError, ModelError, ModelUnavailable
from classifier.logs import note
from classifier.services.storage import database_trouble

logger = logging.getLogger(__name__)

PREFIX = "/api/"
DOCS = "/api/v1/docs"  # relative, with the full path, as RFC 9457 section 3.1.1 advises; each code has its anchor there

# code -> status and title: the same each time; what happened this time is in `detail`.
PROBLEMS = {
    "bad-request": (400, "The request cannot be read"),
    "unauthorized": (401, "Who are you?"),
    "forbidden": (403, "Not yours"),
    "csrf": (403, "The session needs a CSRF token"),
    "not-found": (404, "Nothing is here"),
    "method-not-allowed": (405, "This address has other methods"),
    "request-in-progress": (409, "Still being answered"),
    "label-set-not-ready": (409, "The label set is still being computed"),
    "nothing-to-explain": (409, "There is nothing to explain"),
    "length-required": (411, "Content-Length is missing"),
    "too-large": (413, "The file is too large"),
    "batch-too-large": (413, "Too many pictures at once"),
    "unsupported-media-type": (415, "Not a content type this address takes"),
    "unsupported-image": (415, "Not a picture we read"),
    "invalid": (422, "A parameter is not right"),
    "no-image": (422, "No picture was sent"),
    "bad-image": (422, "The picture cannot be classified"),
    "broken-image": (422, "The picture is damaged"),
    "too-many-pixels": (422, "The picture has too many pixels"),
    "bad-archive": (422, "The archive cannot be read"),
    "bad-labels": (422, "The labels cannot be used"),
    "text-unsupported": (422, "This needs CLIP's text tower"),
    "idempotency-key-reused": (422, "The Idempotency-Key was used for something else"),
    "rate-limited": (429, "Too many pictures"),
    "internal": (500, "Something broke here"),
    "busy": (503, "Too many pictures are waiting"),
    "model-unavailable": (503, "The model is not ready"),
    "database-away": (503, "The database does not answer"),
    "database-read-only": (503, "The database takes no changes"),
    "storage-full": (507, "There is no room left"),
}
CODES = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid",
    429: "rate-limited",
    500: "internal",
    503: "busy",
}
MODEL_RETRY_AFTER = 30  # seconds


class Problem(Exception):
    """An error that only this interface has."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.headers = status, code, headers or {}


def problem_response(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
) -> HttpResponse:
    """The one shape."""
    note(refused=code)
    body = problem_body(status, code, detail, **members)
    return JsonResponse(body, status=status, content_type="application/problem+json", headers=headers)


def problem_body(status: int, code: str, detail: str, **members: Any) -> dict[str, Any]:
    title = PROBLEMS[code][1] if code in PROBLEMS else http.client.responses.get(status, "Error")
    return {"type": f"{DOCS}#{code}", "title": title, "status": status, "detail": detail, **members}


def told(error: ClassifierError) -> str:
    """What a visitor is told: the error's own sentence; that of a missing model is for the log instead."""
    if isinstance(error, ModelUnavailable):
        note(reason=str(error))
        return ModelUnavailable.visitors
    return str(error)


def register(api: NinjaAPI) -> None:
    """Answer whatever an operation raises."""
    for kind, handler in HANDLERS.items():
        api.add_exception_handler(kind, handler)


def _ours(request: HttpRequest, error: ClassifierError) -> HttpResponse:
    wait = getattr(error, "retry_after", MODEL_RETRY_AFTER if isinstance(error, ModelError) else None)
    code = error.code if error.code in PROBLEMS else CODES.get(error.status, "internal")
    headers = {"Retry-After": str(wait)} if wait is not None and error.status in (409, 429, 503) else None
    return problem_response(error.status, code, told(error), headers=headers)


def _problem(request: HttpRequest, error: Problem) -> HttpResponse:
    return problem_response(error.status, error.code, str(error), headers=error.headers)


def _validation(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [{"loc": [str(part) for part in each["loc"]], "msg": each["msg"]} for each in error.errors]
    detail = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in errors)
    return problem_response(422, "invalid", detail, errors=errors)


def _not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return problem_response(404, "not-found", "There is no such upload; it may have been deleted.")


def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    return problem_response(error.status_code, CODES.get(error.status_code, "bad-request"), str(error))


def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return problem_response(413, "too-large", "The fields beside the picture are too large.")


def _unreadable(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem_response(400, "bad-request", "The request's body is cut short or malformed.")


def _elsewhere(request: HttpRequest, error: Exception) -> HttpResponse:
    """The middleware answers when the database is away, for pages and API alike."""
    raise error


def _database(request: HttpRequest, error: DatabaseError) -> HttpResponse:
    if isinstance(error, OperationalError) or database_trouble(error):
        raise error
    return _unexpected(request, error)


def _unexpected(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.exception("event=api_error path=%s", request.path)
    return problem_response(500, "internal", "Something broke on our side, and was noted. Try again later.")


HANDLERS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    ClassifierError: _ours,
    Problem: _problem,
    ValidationError: _validation,
    Http404: _not_found,
    HttpError: _http,
    RequestDataTooBig: _too_big,
    SuspiciousOperation: _unreadable,
    BadRequest: _unreadable,
    MultiPartParserError: _unreadable,
    UnreadablePostError: _unreadable,
    DatabaseError: _database,
    InterfaceError: _elsewhere,
    Exception: _unexpected,
}

DETAILS = {
    400: "The request cannot be read.",
    404: f"There is nothing at this address. {DOCS} lists what there is.",
    405: "This address does not have this method.",
}


def api_errors(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: errors under /api/ that no operation answered (no such address, bad host, ...) get the same shape.

    Answers there are for whoever asked, so they are not kept by anything in between either.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if not request.path.startswith(PREFIX):
            return response
        if response.status_code >= 400 and response.headers.get("Content-Type") != "application/problem+json":
            problem = _of_status(response.status_code)
            response.content = problem.content  # in place, since the headers are to stay
            response.headers["Content-Type"] = problem.headers["Content-Type"]
            response.headers["Content-Length"] = str(len(problem.content))
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def _of_status(status: int) -> HttpResponse:
    ours = status >= 500
    code = CODES.get(status, "internal" if ours else "bad-request")
    detail = "Something broke on our side. Try again later." if ours else http.client.responses.get(status, "Error")
    return problem_response(status, code, DETAILS.get(status, detail))
