"""Names that nobody knows are refused: to leave them out would answer another question than was asked."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest
from ninja.params.models import Query

from classifier.http.problems import Problem


def known_check(given: Iterable[str], known: Iterable[str], kind: str) -> None:
    """Raise the problem that names what is given and not known; `kind` is what such a thing is called."""
    known = sorted(known)
    if unknown := [name[:100] for name in given if name not in known]:
        names = ", ".join(filter(str.isprintable, unknown))
        others = f"Known are {', '.join(known)}." if known else "There is none here."
        raise Problem(422, "invalid", f"{names}: no such {kind}. {others}")


def query_known(view: Callable[..., Any]) -> Callable[..., Any]:
    """An operation that refuses query parameters that it has not declared."""
    known = {
        parameter.default.alias or name
        for name, parameter in inspect.signature(view).parameters.items()
        if isinstance(parameter.default, Query)
    }

    @functools.wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        known_check(request.GET, known, "query parameter")
        return view(request, *args, **kwargs)

    return checked
