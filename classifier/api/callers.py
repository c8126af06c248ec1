"""Who is calling: a program with an API key, somebody with an upload's secret, a visitor's session, or nobody."""

import secrets
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja.security.base import AuthBase
from ninja.utils import check_csrf

from classifier.api.bodies import length_check
from classifier.http.owners import owner_key
from classifier.http.problems import Problem
from classifier.http.ratelimits import client_address
from classifier.models import ApiKey, Upload, UploadQuerySet
from classifier.services.keys import KEY_PREFIX, SECRET_PREFIX, api_key_find, token_hash

SAFE = ("GET", "HEAD", "OPTIONS")


class Caller:
    """What a request may do. Reading one upload needs nothing but its unguessable address, as on the pages."""

    def __init__(
        self, request: HttpRequest, *, api_key: ApiKey | None = None, secret: str = "", session: bool = False
    ) -> None:
        self.request, self.api_key, self.secret, self.session = request, api_key, secret, session

    @property
    def owner(self) -> str:
        """The visitor's key; empty without a session, and until something is stored in it."""
        return owner_key(self.request) if self.session else ""

    def may(self, permission: str) -> bool:
        """Whether somebody is logged in who has it, as in the admin; an API key and a secret have none."""
        return self.session and self.request.user.has_perm(permission)

    @property
    def identity(self) -> str:
        """Keeps the Idempotency-Keys of different callers apart."""
        if self.api_key is not None:
            return f"key {self.api_key.pk}"
        return f"owner {self.owner}" if self.owner else f"address {client_address(self.request)}"

    def uploads(self) -> UploadQuerySet:
        """What the caller made."""
        if self.api_key is not None:
            return Upload.objects.filter(api_key=self.api_key)
        return Upload.objects.of_owner(self.owner)

    def may_change(self, upload: Upload, permission: str = "change") -> bool:
        """Whoever made it, and whom a permission over uploads (change or delete) allows it."""
        if self.api_key is not None:
            return upload.api_key_id == self.api_key.pk
        if self.secret:
            return secrets.compare_digest(token_hash(self.secret), upload.secret_hash)
        mine = bool(self.owner) and secrets.compare_digest(self.owner, upload.owner)
        return mine or self.may(f"classifier.{permission}_upload")


class Bearer(AuthBase):
    """Puts the `Caller` into `request.auth`. Nobody is refused for coming without credentials, only for wrong ones."""

    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_description = f"An API key (`{KEY_PREFIX}…`), or the secret of one upload (`{SECRET_PREFIX}…`)."

    def __init__(self, *, secrets_too: bool = False, ignored: str = "") -> None:
        """`secrets_too`: an upload's secret counts here. `ignored`: tokens that begin so count as none."""
        super().__init__()
        self.secrets_too, self.ignored = secrets_too, ignored

    def __call__(self, request: HttpRequest) -> Any:
        length_check(request)
        header = request.headers.get("Authorization", "")
        if header:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer":
                raise _unauthorized("Send the token as Authorization: Bearer TOKEN.")
            token = token.strip()
            if not (self.ignored and token.startswith(self.ignored)):
                return self._bearer(request, token)
        return Caller(request, session=_session_counts(request))

    def _bearer(self, request: HttpRequest, token: str) -> Caller:
        if self.secrets_too and token.startswith(SECRET_PREFIX):
            return Caller(request, secret=token)
        api_key = api_key_find(token=token)
        if api_key is None:
            raise _unauthorized("This API key is not known, or was withdrawn.")
        return Caller(request, api_key=api_key)


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})


def _session_counts(request: HttpRequest) -> bool:
    """Whether the request comes from our own pages, so that its cookies speak for the visitor.

    A browser sends cookies along with requests that other sites make; those must not act in the visitor's name.
    """
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    if request.method in SAFE:
        return has_session
    if not has_session and "X-CSRFToken" not in request.headers:
        return False
    if check_csrf(request) is not None:
        raise Problem(403, "csrf", "With a session cookie, send the CSRF token in X-CSRFToken; or send no cookies.")
    return True


def upload_mine(request: HttpRequest, upload_id: UUID, what: str, may: str = "change") -> Upload:
    """An upload that the caller may change, or delete; `what`, for the refusal, says what for."""
    caller = request.auth
    upload = get_object_or_404(Upload, pk=upload_id)
    if not (caller.api_key or caller.secret or caller.session):
        detail = "Send the secret of this upload, or the API key that made it, as Authorization: Bearer TOKEN."
        raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})
    if not caller.may_change(upload, may):
        raise Problem(403, "forbidden", f"Only whoever made this upload can {what}.")
    return upload
