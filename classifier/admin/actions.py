"""What staff can do with the uploads they selected."""

import time
from collections import Counter

from django.contrib import admin, messages
from django.contrib.admin.actions import delete_selected as confirm_and_delete
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone

from classifier.admin.bounds import BoundedPaginator, count_bounded
from classifier.errors import Busy, ClassifierError, ModelUnavailable
from classifier.http.exports import records_csv
from classifier.http.paging import in_batches
from classifier.models import Upload
from classifier.services import uploads
from classifier.services.heads import choice_of_run

CLASSIFY_SECONDS = 20  # after which no further one is begun: Heroku's router gives up at 30
CSV_BATCH = 200  # uploads fetched at a time
CLASSIFY_LIMIT = 500  # uploads in one go
REASONS_SHOWN = 5  # of failures
DELETE_LIMIT = 1000  # uploads at a time


class TickedRows:
    """For a ModelAdmin: what was ticked and is no key of any row is told, where Django would answer 500."""

    def response_action(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        try:
            queryset.filter(pk__in=request.POST.getlist(ACTION_CHECKBOX_NAME))
        except (ValueError, ValidationError):
            self.message_user(request, "Nothing was done: choose rows of this list.", messages.ERROR)
            return None
        return super().response_action(request, queryset)


@admin.action(description="Classify selected uploads again", permissions=["classify"])
def classify_again(modeladmin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Upload]) -> None:
    """As many as fit into one request, each with the labels of its newest run; says what became of them."""
    deadline = time.monotonic() + CLASSIFY_SECONDS
    selected = BoundedPaginator(queryset, per_page=1).count
    outcomes, stopped = Counter(), f"no more than {CLASSIFY_LIMIT} are in one go."
    for key in queryset.values_list("pk", flat=True)[:CLASSIFY_LIMIT]:
        if time.monotonic() > deadline:
            stopped = f"the {CLASSIFY_SECONDS} seconds of one go are over."
            break
        try:
            upload = Upload.objects.select_related("latest__saved_set").get(pk=key)
            run = uploads.upload_classify(upload=upload, choice=choice_of_run(upload.latest))
            outcomes[run.reason if run.status == run.Status.FAILED else ""] += 1
        except (ModelUnavailable, Busy) as error:  # the next would fare no better
            stopped = str(error)
            break
        except (ClassifierError, Upload.DoesNotExist) as error:
            outcomes[str(error)] += 1
    if done := outcomes.pop("", 0):
        modeladmin.message_user(request, f"Classified again: {done}.", messages.SUCCESS)
    for reason, number in outcomes.most_common(REASONS_SHOWN):
        modeladmin.message_user(request, f"Failed: {number}. {reason}", messages.ERROR)
    if left := selected - done - outcomes.total():
        modeladmin.message_user(request, f"Not classified again: {left}, because {stopped}", messages.WARNING)


@admin.action(description="Delete selected uploads", permissions=["delete"])
def delete_selected(
    modeladmin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Upload]
) -> HttpResponse | None:
    """Django's own, confirmation included, for as many as one page and one request can take."""
    if count_bounded(queryset, DELETE_LIMIT) > DELETE_LIMIT:
        modeladmin.message_user(
            request,
            f"Nothing was deleted: no more than {DELETE_LIMIT} uploads can be deleted in one go.",
            messages.ERROR,
        )
        return None
    return confirm_and_delete(modeladmin, request, queryset)


@admin.action(description="Export selected uploads as CSV", permissions=["view"])
def export_csv(modeladmin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Upload]) -> StreamingHttpResponse:
    """Newest runs, predictions and feedback, a line at a time however many were selected."""
    uploads = queryset.select_related("latest").prefetch_related("latest__predictions")
    lines = records_csv(in_batches(uploads, CSV_BATCH), request)
    name = f"uploads-{timezone.now():%Y%m%d-%H%M}.csv"
    return StreamingHttpResponse(
        lines, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
