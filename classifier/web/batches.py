"""Many pictures at once: a form, and a page that tells how far they have come, with a table."""

import csv
from collections.abc import Iterator
from http import HTTPStatus
from uuid import UUID

from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from classifier.errors import ClassifierError, LabelError, LabelSetNotReady, TextUnsupported
from classifier.http.batch_bodies import pictures_sent
from classifier.http.exports import BYTE_ORDER_MARK, cell_safe
from classifier.http.owners import owner_keep, owner_key, owner_new
from classifier.http.problems import told
from classifier.http.ratelimits import batch_limit_check
from classifier.models import Batch, BatchItem, Prediction
from classifier.services import batches
from classifier.web.label_forms import LabelsForm
from classifier.web.label_pages import label_sets_shown

LATEST = 10  # batches on the form's page
RELOAD_SECONDS = 2  # of a page whose batch is not done, where there is no script
LABEL_ERRORS = (LabelError, LabelSetNotReady, TextUnsupported)
COLUMNS = {
    "place": ("Number", "place"),
    "name": ("File", "name"),
    "label": ("Label", "upload__top_label"),
    "score": ("Score", "upload__top_score"),
    "fits": ("Fits", "upload__fits"),
    "status": ("State", "status"),
}
OF_UPLOAD = ("upload__latest_id", "upload__top_label", "upload__top_score", "upload__fits")
VALUES = ("place", "name", "status", "reason", "upload_id", *OF_UPLOAD)
BARS = 3  # likeliest labels of each picture
FITS = {True: "fits", False: "none fits", None: ""}


@require_http_methods(["GET", "HEAD", "POST"])
def batch_new(request: HttpRequest) -> HttpResponse:
    """The form; takes pictures or a ZIP, and redirects to the batch's page."""
    if request.method != "POST":
        return _form_page(request, LabelsForm(), HTTPStatus.OK)
    owner = owner_key(request) or owner_new(request)
    form = LabelsForm(request.POST)
    if not form.is_valid():
        return _form_page(request, form, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        batch_limit_check(request)
        batch = batches.batch_create(pictures=pictures_sent(request), owner=owner, choice=form.cleaned_data["choice"])
    except ClassifierError as error:
        form.add_error("labels" if isinstance(error, LABEL_ERRORS) else None, told(error))
        return _form_page(request, form, error.status)
    owner_keep(request, owner)
    return redirect(batch)


def _form_page(request: HttpRequest, form: LabelsForm, status: int) -> HttpResponse:
    owner = owner_key(request)
    latest = list(Batch.objects.filter(owner=owner)[:LATEST]) if owner else []
    context = {"form": form, "latest": latest, "most": batches.MOST, "label_sets": label_sets_shown()}
    return render(request, "batch_new.html", context, status=status)


@require_safe
def batch_detail(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    """Whoever has the address may see it, as with an upload."""
    batch = get_object_or_404(Batch, pk=batch_id)
    sort, descending = _sort_asked(request)
    progress = batches.batch_progress(batch)
    context = {
        "batch": batch,
        "progress": progress,
        "minutes_left": None if progress.seconds_left is None else max(1, round(progress.seconds_left / 60)),
        "headings": [_heading(name, sort, descending) for name in COLUMNS],
        "rows": _rows_shown(list(_rows(batch, sort, descending))),
        "csv_query": urlencode({"sort": _sign(sort, descending)}),
    }
    response = render(request, "batch.html", context)
    if progress.waiting:
        response["Refresh"] = str(RELOAD_SECONDS)
    return response


@require_safe
def batch_csv(request: HttpRequest, batch_id: UUID) -> StreamingHttpResponse:
    """The table, in the order in which the page shows it."""
    batch = get_object_or_404(Batch, pk=batch_id)
    response = StreamingHttpResponse(_csv(batch, *_sort_asked(request)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="batch.csv"'
    return response


def _csv(batch: Batch, sort: str, descending: bool) -> Iterator[str]:
    class Echo:
        def write(self, line: str) -> str:
            return line

    writer = csv.writer(Echo(), quoting=csv.QUOTE_ALL)
    yield BYTE_ORDER_MARK + writer.writerow(["place", "file", "label", "score", "fits", "status", "reason", "upload"])
    for row in _rows(batch, sort, descending):
        score = "" if row["upload__top_score"] is None else row["upload__top_score"]
        fits = {True: "yes", False: "no", None: ""}[row["upload__fits"]]
        found = [row["upload__top_label"] or "", score, fits, row["status"], row["reason"], str(row["upload_id"] or "")]
        yield writer.writerow(cell_safe(cell) for cell in [row["place"], row["name"], *found])


def _rows(batch: Batch, sort: str, descending: bool) -> QuerySet:
    key = F(COLUMNS[sort][1])
    order = key.desc(nulls_last=True) if descending else key.asc(nulls_last=True)
    return BatchItem.objects.filter(batch=batch).order_by(order, "place").values(*VALUES)


def _rows_shown(rows: list[dict]) -> list[dict]:
    """With the likeliest labels of each, in one more query."""
    runs = [row["upload__latest_id"] for row in rows if row["upload__top_label"]]
    found = Prediction.objects.filter(classification__in=runs, rank__lte=BARS).order_by("classification", "rank")
    bars: dict[int, list[Prediction]] = {}
    for prediction in found:
        bars.setdefault(prediction.classification_id, []).append(prediction)
    return [{**_shown(row), "bars": bars.get(row["upload__latest_id"], [])} for row in rows]


def _shown(row: dict) -> dict:
    score = row["upload__top_score"]
    return {
        "fits": FITS[row["upload__fits"]],
        "place": row["place"],
        "name": row["name"],
        "status": row["status"],
        "reason": row["reason"],
        "upload_id": row["upload_id"],
        "label": row["upload__top_label"],
        "percent": None if score is None else 100 * score,
    }


def _sort_asked(request: HttpRequest) -> tuple[str, bool]:
    """The column to sort by, and whether from its end: `?sort=-score`."""
    asked = request.GET.get("sort", "")
    name = asked.removeprefix("-")
    return (name, asked.startswith("-")) if name in COLUMNS else ("place", False)


def _sign(name: str, descending: bool) -> str:
    return f"-{name}" if descending else name


def _heading(name: str, sort: str, descending: bool) -> dict:
    """A second click sorts the other way; scores begin with the highest."""
    current = name == sort
    turned = not descending if current else name == "score"
    state = ("descending" if descending else "ascending") if current else ""
    return {"title": COLUMNS[name][0], "query": urlencode({"sort": _sign(name, turned)}), "state": state}
