"""What happens around every request: one log line, a limit on what is read, and an answer when the database is away."""

import logging
import sys
import time
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from classifier import logs
from classifier.capacity.admission import admission
from classifier.errors import BatchTooLarge, Busy, ClassifierError, Gone, ImageTooLarge
from classifier.http.context import site
from classifier.http.packed import PackedUploads
from classifier.http.problems import problem_response
from classifier.services.storage import database_trouble

Answer = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger("classifier.requests")

JSON = "application/json"
RETRY_SECONDS = 5  # after the database was away
PICTURE_PATHS = ("/", "/api/v1/uploads", "/api/v1/zero-shot-image-classification")  # where pictures are sent to


class RequestLog:
    """One line per request on stdout. Paths are quoted and cut; bodies, headers and addresses do not appear."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        with logs.collect() as noted:
            response = self.get_response(request)
        logger.info(
            "%s",
            logs.line(
                method=request.method,
                path=request.path,
                status=response.status_code,
                bytes_in=request.META.get("CONTENT_LENGTH") or 0,
                bytes_out="stream" if response.streaming else len(response.content),
                ms=1000 * (time.perf_counter() - started),
                **noted,
            ),
        )
        return response


class PolicyHeaders:
    """What Django's own security middleware does not say: no page uses a device, and no other site our pictures."""

    headers = {
        "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",  # pages and exports are for whoever asked; static files and pictures say otherwise
    }

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        return response


class PlainQuery:
    """Answers 422 to a NUL in an address, which PostgreSQL does not take for text, whatever would look for it."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", ""):
            message = "The address has a NUL character in it, which is no text. Leave it out."
            return _refuse(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message)
        return self.get_response(request)


class Unavailable:
    """Answers 503 and when to come back where the database is away or too much is waiting."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return unavailable(request, error)


def unavailable(request: HttpRequest, error: BaseException | None) -> HttpResponse | None:
    """The answer to an error that passes by itself, or None for any other."""
    if isinstance(error, DatabaseError) and (trouble := database_trouble(error)):
        logger.error("%s", logs.line(event=trouble.code, error=error))
        return _refuse(request, trouble.status, trouble.code, str(trouble), getattr(trouble, "retry_after", None))
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("event=database_unreachable error=%s", logs.escape(str(error).partition("\n")[0]))
        return _refuse(
            request,
            HTTPStatus.SERVICE_UNAVAILABLE,
            "database-away",
            "The database does not answer just now. Nothing is lost; try again in a few seconds.",
            RETRY_SECONDS,
        )
    if isinstance(error, Gone):
        return _refuse(request, error.status, error.code, str(error))
    if isinstance(error, Busy):
        return _refuse(request, error.status, error.code, str(error), error.retry_after)
    return None


def handler500(request: HttpRequest) -> HttpResponse:
    """The last resort. An error inside another middleware, such as a session that cannot be saved, arrives here."""
    error = unavailable(request, sys.exc_info()[1])
    return error or HttpResponse(render_to_string("500.html", site(request)), status=HTTPStatus.INTERNAL_SERVER_ERROR)


class BodyLimit:
    """Answers 413 to a body that is announced larger than what is taken, and 503 to a picture that nobody has time for.

    The last of the middleware, and before the CSRF check, which would parse the body: so neither costs more than this.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method == "POST" and request.path in settings.BATCH_PATHS:
            request.upload_handlers = [PackedUploads(request)]
        if error := too_large(request):
            response = _refuse(request, error.status, error.code, str(error))
            response["Connection"] = "close"  # the rest of the body is still on its way
            return response
        if brings_picture(request) and (error := admission().full()):
            return _refuse(request, error.status, error.code, str(error), error.retry_after, sent=True)
        return self.get_response(request)


def brings_picture(request: HttpRequest) -> bool:
    """Not the empty form, which the script sends first to be known to us."""
    return (
        request.method == "POST"
        and request.path in PICTURE_PATHS
        and request.META.get("CONTENT_LENGTH", "") not in ("", "0")
    )


def too_large(request: HttpRequest) -> ClassifierError | None:
    """What is wrong with the length that the request announces, if anything."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return None
    if request.path in settings.BATCH_PATHS:
        most = settings.MAX_BATCH_BYTES
        sentence = f"That is {length / 1e6:,.0f} MB; send {settings.MAX_BATCH_MB:,.6g} MB of pictures at once at most."
        return BatchTooLarge(sentence) if length > most else None
    limit = settings.MAX_BODY_BYTES if request.content_type == "application/json" else settings.MAX_FORM_BYTES
    if length <= limit:
        return None
    return ImageTooLarge.of(length, int(settings.MAX_UPLOAD_MB * 1e6))


def _refuse(
    request: HttpRequest, status: int, code: str, message: str, retry_after: int | None = None, sent: bool = False
) -> HttpResponse:
    """An error as a page, or for a program as RFC 9457's JSON. Asks neither the database nor the session.

    `sent`: what came was a picture, of which nothing is kept; its page can be had again.
    """
    if request.path.startswith("/api/") or request.get_preferred_type(["text/html", JSON]) == JSON:
        response = problem_response(status, code, message)
    else:
        logs.note(refused=code)
        again = retry_after and (sent or request.method in ("GET", "HEAD"))
        context = {**site(request), "message": message, "again": again, "sent": sent}
        response = HttpResponse(render_to_string(f"{int(status)}.html", context), status=status)
        if again:
            response["Refresh"] = str(retry_after)  # browsers try again by themselves
    if retry_after:
        response["Retry-After"] = str(retry_after)
    response["Cache-Control"] = "no-store"
    return response
