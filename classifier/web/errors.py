"""What a visitor sees, and whoever runs this reads, where a form came from somewhere that is not trusted."""

import logging
from http import HTTPStatus

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from classifier.http.context import site
from classifier.http.problems import problem_response
from classifier.logs import line, note

logger = logging.getLogger(__name__)

TOO_OLD = "The page was too old, or cookies are switched off. Allow cookies, reload the page and send it again."
WRONG_ORIGIN = "This site does not know the address in your browser as its own. Whoever runs it can change that."


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403; says to the log, and to staff, which origin was refused and which setting allows it."""
    origin = refused_origin(request, reason)
    hint = origin_hint(request, origin) if origin else ""
    logger.warning("%s", line(event="csrf_refused", reason=reason, origin=origin or None, hint=hint or None))
    note(refused="csrf")
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return problem_response(HTTPStatus.FORBIDDEN, "csrf", WRONG_ORIGIN if origin else TOO_OLD)
    context = {**site(request), "origin": origin, "hint": hint if for_staff(request) else ""}
    return render(request, "403_csrf.html", context, status=HTTPStatus.FORBIDDEN)


def refused_origin(request: HttpRequest, reason: str) -> str:
    """The origin that Django did not trust; empty where the token was the reason."""
    if reason.startswith("Origin checking failed"):
        return request.headers.get("Origin", "")
    if reason.startswith("Referer checking failed"):
        return "/".join(request.headers.get("Referer", "").split("/")[:3]) or "no Referer"
    return ""


def origin_hint(request: HttpRequest, origin: str) -> str:
    own = f"{request.scheme}://{request.get_host()}"
    said = f"The form came from {origin}, and this server takes itself for {own}."
    if origin == f"https://{request.get_host()}" and not settings.TRUSTED_PROXIES:
        return f"{said} A proxy in front ends TLS: set TRUSTED_PROXIES=1, and let it send X-Forwarded-Proto."
    if origin == f"https://{request.get_host()}":
        return f"{said} Let the proxy in front send X-Forwarded-Proto, or set CSRF_TRUSTED_ORIGINS={origin}."
    return f"{said} Where both are this site: let the proxy pass Host on, or set CSRF_TRUSTED_ORIGINS={origin}."


def for_staff(request: HttpRequest) -> bool:
    """Staff, and whoever tries to log in as such: without a login that works nobody is."""
    if request.path.startswith(reverse("admin:index")):
        return True
    try:
        return request.user.is_staff
    except DatabaseError:
        return False
