"""The visitor's own pictures: look through, delete, take away."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from itertools import groupby
from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from classifier.errors import ClassifierError, Gone
from classifier.http.exports import records_csv, records_json
from classifier.http.owners import owner_key
from classifier.http.paging import cursor_before, in_batches, page_of
from classifier.http.problems import told
from classifier.http.ratelimits import rate_limit_check
from classifier.models import Upload, UploadQuerySet
from classifier.services import overview, uploads
from classifier.services.heads import Choice
from classifier.web.label_forms import RelabelForm
from classifier.web.label_memory import labels_remember
from classifier.web.label_pages import label_sets_shown

PAGE_SIZE = 24  # pictures on a page of the history
COMMON = 10  # labels offered as a click
RELABELLED = 100  # pictures ranked at once
MOST_TICKED = 500  # pictures deleted at once
EXPORTED = 5_000  # uploads that one export can name
BATCH = 200  # uploads read at a time by an export


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """The visitor's own uploads, newest first, by month."""
    mine, label = Upload.objects.of_owner(owner_key(request)), " ".join(request.GET.get("label", "").split())
    labels = overview.labels_by_count(mine)
    shown = filtered(mine, label, labels)
    page = page_of(
        shown, before=request.GET.get("before", ""), after=request.GET.get("after", ""), size=PAGE_SIZE, label=label
    )
    found = overview.months(shown) if labels or page.uploads else []
    context = {
        "page": page,
        "sections": sections(page.uploads),
        "label": label,
        "labels": labels,
        "common": labels[:COMMON],
        "months": [{"month": each, "query": urlencode(kept(label, before=cursor_before(each.end)))} for each in found],
        "count": sum(each.count for each in found),
        "export": urlencode(kept(label)),
        "relabel_form": RelabelForm(),
        "label_sets": label_sets_shown() if page.uploads else [],
    }
    return render(request, "history.html", context)


def filtered(uploads: UploadQuerySet, label: str, labels: list[tuple[str, int]]) -> UploadQuerySet:
    """Those with a label, the right one where it was corrected; where it is none, with words that begin so."""
    if not label:
        return uploads
    if any(label == known for known, _ in labels):
        return uploads.filter(Q(right_label=label) | Q(right_label="", top_label=label))
    return uploads.filter(words__begin=label)


def kept(label: str, **query: str) -> dict[str, str]:
    return {**({"label": label} if label else {}), **query}


def sections(uploads: list[Upload]) -> list[dict]:
    """A page's uploads under the first day of their month, in order."""
    months = groupby(uploads, key=lambda upload: upload.created.astimezone(UTC).replace(day=1).date())
    return [{"month": month, "uploads": list(those)} for month, those in months]


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


@require_POST
def history_relabel(request: HttpRequest) -> HttpResponse:
    """Rank what was ticked among the visitor's own against other labels."""
    chosen = Upload.objects.of_owner(owner_key(request)).filter(
        pk__in=uuids(request.POST.getlist("upload"), RELABELLED)
    )
    ticked, form = list(chosen.with_latest()), RelabelForm(request.POST)
    if not ticked:
        messages.warning(request, "Tick the pictures to rank first.")
    elif not form.is_valid():
        messages.error(request, next(iter(form.errors.values()))[0])
    else:
        _relabel(request, ticked, form.cleaned_data["choice"])
        labels_remember(request, form)
    return redirect("history")


def _relabel(request: HttpRequest, ticked: list[Upload], choice: Choice) -> None:
    """One after the other, until one is refused."""
    done = 0
    try:
        for upload in ticked:
            rate_limit_check(request)
            with suppress(Gone):
                uploads.upload_relabel(upload=upload, choice=choice)
            done += 1
    except ClassifierError as error:
        messages.error(request, f"{done} of {len(ticked)} are ranked. {told(error)}")
        return
    messages.success(request, f"{done} pictures are ranked anew." if done != 1 else "The picture is ranked anew.")


def uuids(texts: list[str], most: int = MOST_TICKED) -> Iterator[UUID]:
    """Those of the first `most` texts that are UUIDs."""
    for text in texts[:most]:
        try:
            yield UUID(text)
        except ValueError:
            continue


@require_http_methods(["GET", "HEAD", "POST"])
def history_export(request: HttpRequest, format: str) -> StreamingHttpResponse:
    """The visitor's own uploads, sent while they are read: all, those of a `label`, or those that are posted.

    Posted as `upload`, one each, or as `uploads`, ids between commas.
    """
    mine = Upload.objects.of_owner(owner_key(request)).with_latest()
    if request.method == "POST":
        named = [*request.POST.getlist("upload"), *request.POST.get("uploads", "").split(",")]
        mine = mine.filter(pk__in=uuids(named, most=EXPORTED))
    elif label := " ".join(request.GET.get("label", "").split()):
        mine = filtered(mine, label, overview.labels_by_count(Upload.objects.of_owner(owner_key(request))))
    lines = {"json": records_json, "csv": records_csv}[format](in_batches(mine, BATCH), request)
    content_type = {"json": "application/json", "csv": "text/csv; charset=utf-8"}[format]
    response = StreamingHttpResponse(lines, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="pictures.{format}"'
    return response
