"""The pictures themselves, as results and lists show them."""

from collections.abc import Callable
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import http_date, parse_etags, quote_etag
from django.views.decorators.http import require_safe

from classifier.errors import BrokenImage, Busy
from classifier.models import Upload
from classifier.services import thumbnails

KEPT_SECONDS = 3600  # by the visitor's own browser, which then asks whether it is still there


@require_safe
def upload_image(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """The stored picture."""

    def read() -> bytes:
        return bytes(Upload.objects.values_list("image", flat=True).get(pk=upload_id))

    return _kept_a_while(request, upload_id, upload_id.hex, "image/jpeg", read)


@require_safe
def upload_thumbnail(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """The picture for lists, a tenth of the weight; the whole one where a small one cannot be made just now."""

    def read() -> bytes:
        return thumbnails.thumbnail_obtain(upload_id=upload_id)

    try:
        return _kept_a_while(request, upload_id, f"{upload_id.hex}-256", "image/webp", read)
    except (BrokenImage, Busy):
        return redirect("upload_image", upload_id)


def _kept_a_while(
    request: HttpRequest, upload_id: UUID, tag: str, content_type: str, read: Callable[[], bytes]
) -> HttpResponse:
    """What never changes, and may be deleted; read only where the browser does not have it."""
    created = get_object_or_404(Upload.objects.values_list("created", flat=True), pk=upload_id)
    etag = quote_etag(tag)
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        response = HttpResponse(status=304)
    else:
        try:
            response = HttpResponse(read(), content_type=content_type)
        except Upload.DoesNotExist as error:  # deleted since the last statement
            raise Http404 from error
    response["ETag"] = etag
    response["Last-Modified"] = http_date(created.timestamp())
    response["Cache-Control"] = f"private, max-age={KEPT_SECONDS}"
    return response
