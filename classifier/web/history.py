"""The visitor's own pictures: look through, delete, take away."""

from collections.abc import Iterator
from uuid import UUID

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.http.exports import records_csv, records_json
from classifier.http.owners import owner_key
from classifier.http.paging import in_batches, page_of
from classifier.models import Upload
from classifier.services import uploads

PAGE_SIZE = 24  # pictures on a page of the history
MOST_TICKED = 500  # pictures deleted at once
EXPORTED = 5_000  # uploads that one export can name
BATCH = 200  # uploads read at a time by an export


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """The visitor's own uploads, newest first."""
    mine, label = Upload.objects.of_owner(owner_key(request)), request.GET.get("label", "")
    page = page_of(
        mine.filter(top_label=label) if label else mine,
        before=request.GET.get("before", ""),
        after=request.GET.get("after", ""),
        size=PAGE_SIZE,
        label=label,
    )
    labels = mine.exclude(top_label="").values("top_label").order_by("top_label").annotate(count=Count("pk"))
    return render(request, "history.html", {"page": page, "label": label, "labels": labels})


@require_POST
def history_delete(request: HttpRequest) -> HttpResponse:
    """Delete what was ticked among the visitor's own, once that is confirmed."""
    chosen = Upload.objects.of_owner(owner_key(request)).filter(pk__in=uuids(request.POST.getlist("upload")))
    if request.POST.get("confirmed"):
        count = uploads.uploads_delete(uploads=chosen)
        messages.success(request, f"{count} pictures are deleted." if count != 1 else "The picture is deleted.")
        return redirect("history")
    ticked = list(chosen)
    if not ticked:
        messages.warning(request, "Tick the pictures to delete first.")
        return redirect("history")
    context = {"uploads": ticked, "several": True, "action": request.path, "back": reverse("history")}
    return render(request, "upload_delete.html", context)


def uuids(texts: list[str], most: int = MOST_TICKED) -> Iterator[UUID]:
    """Those of the first `most` texts that are UUIDs."""
    for text in texts[:most]:
        try:
            yield UUID(text)
        except ValueError:
            continue


@require_http_methods(["GET", "HEAD", "POST"])
def history_export(request: HttpRequest, format: str) -> StreamingHttpResponse:
    """The visitor's own uploads, sent while they are read: all, or those posted as `uploads`, ids between commas."""
    mine = Upload.objects.of_owner(owner_key(request)).with_latest().select_related("feedback")
    if request.method == "POST":
        mine = mine.filter(pk__in=uuids(request.POST.get("uploads", "").split(","), most=EXPORTED))
    lines = {"json": records_json, "csv": records_csv}[format](in_batches(mine, BATCH), request)
    content_type = {"json": "application/json", "csv": "text/csv; charset=utf-8"}[format]
    response = StreamingHttpResponse(lines, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="pictures.{format}"'
    return response
