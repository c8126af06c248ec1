"""Compression of pages that hold nothing secret.

Compressed, a page that holds a secret and repeats what somebody else wrote tells the secret by its length (BREACH).
So only pages without one are: the CSRF token is another one in each answer, and Django adds up to 100 random bytes.
https://docs.djangoproject.com/en/5.2/ref/middleware/#module-django.middleware.gzip
"""

from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware


def compressed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The answer, compressed where the browser takes that and it gets smaller."""
    return GZipMiddleware(lambda _request: response).process_response(request, response)
