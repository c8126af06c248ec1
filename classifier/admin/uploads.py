"""Browsing for staff."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST

from classifier.admin.actions import TickedRows, classify_again, delete_selected, export_csv
from classifier.admin.bounds import BoundedPaginator, IndexedValuesFilter, UploadChangeList
from classifier.admin.filters import FeedbackFilter, FitsFilter, KeyFilter, ScoreFilter
from classifier.admin.similar import similar
from classifier.admin.summary import summary_make
from classifier.admin.visitors import visitor_delete
from classifier.admin.words import words_search
from classifier.models import Classification, Upload, Verdict
from classifier.services import uploads

RUNS_SHOWN = 20  # newest runs on an upload's page
PREDICTIONS_SHOWN = 10  # of a run; one with labels of its own keeps up to a hundred
BREAK = mark_safe("<br>")

admin.site.site_header = admin.site.site_title = "Heroku CLIP"
admin.site.index_title = "Administration"
admin.site.enable_nav_sidebar = False  # the few models are on the index, and lists need the room


class ClassificationInline(admin.TabularInline):
    """The newest runs over an upload with their predictions, to read."""

    model = Classification
    verbose_name_plural = f"The newest {RUNS_SHOWN} classifications"
    template = "admin/classifier/upload/runs.html"
    fields = readonly_fields = ["when", "status", "predicted", "model", "precision", "label_set", "seconds"]
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Classification]:
        runs = Classification.objects.filter(upload=request.resolver_match.kwargs.get("object_id"))
        newest = runs.values_list("pk", flat=True)[:RUNS_SHOWN]
        return super().get_queryset(request).filter(pk__in=list(newest)).prefetch_related("predictions")

    def has_view_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        return request.user.has_perm("classifier.view_upload")  # who may see an upload may see its runs

    def has_add_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        return False

    @admin.display(description="created")
    def when(self, run: Classification) -> str:
        return _minute(run.created)

    @admin.display(description="predictions")
    def predicted(self, run: Classification) -> str:
        if run.status != run.Status.DONE:
            return run.reason or "-"
        found = list(run.predictions.all())
        rows = ((p.rank, p.label, f"{p.percent:.1f}", _cosine(p.similarity)) for p in found[:PREDICTIONS_SHOWN])
        shown = format_html_join(BREAK, "{}. <strong>{}</strong> {} %{}", rows)
        left = len(found) - PREDICTIONS_SHOWN
        return format_html("{}{}and {} more", shown, BREAK, left) if left > 0 else shown

    @admin.display(description="seconds")
    def seconds(self, run: Classification) -> str:
        taken = {"decode": run.seconds_decode, "predict": run.seconds_predict}
        return ", ".join(f"{part} {value:.3f}" for part, value in taken.items() if value is not None) or "-"


def _minute(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def _cosine(similarity: float | None) -> str:
    return "" if similarity is None else f", cosine {similarity:.3f}"


@admin.register(Upload)
class UploadAdmin(TickedRows, admin.ModelAdmin):
    """Every upload, to look through, classify again, export and delete. Nothing of one can be edited."""

    list_display = ["thumbnail", "found", "score", "name", "model", "said", "visitor", "when"]
    list_display_links = ["found"]
    list_filter = [
        "status",
        ("model", IndexedValuesFilter),
        ("label_set", IndexedValuesFilter),
        FeedbackFilter,
        FitsFilter,
        ScoreFilter,
        KeyFilter,
    ]
    list_per_page = 50
    list_max_show_all = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by = ["when"]
    date_hierarchy = "created"
    search_fields = ["words"]
    search_help_text = "Beginnings of words of the top label and the file name"
    inlines = [ClassificationInline]
    fields = readonly_fields = [
        "picture", "found", "score", "fits", "said", "name", "created", "status", "format", "size", "sha256", "visitor",
        "api_key", similar,
    ]  # fmt: skip
    actions = [classify_again, export_csv, delete_selected]

    # --- What is shown

    def get_changelist(self, request: HttpRequest, **options: object) -> type[UploadChangeList]:
        return UploadChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Upload], search_term: str
    ) -> tuple[QuerySet[Upload], bool]:
        return (queryset.filter(words__begin=search_term) if search_term else queryset), False

    @admin.display(description="picture")
    def thumbnail(self, upload: Upload) -> SafeString:
        return _picture(upload, "thumbnail", "upload_thumbnail")

    @admin.display(description="picture")
    def picture(self, upload: Upload) -> SafeString:
        return _picture(upload, "picture", "upload_image")

    @admin.display(description="top label")
    def found(self, upload: Upload) -> str:
        return upload.top_label or upload.get_status_display()

    @admin.display(description="score")
    def score(self, upload: Upload) -> str:
        return "-" if upload.top_score is None else f"{100 * upload.top_score:.1f} %"

    @admin.display(description="pixels")
    def size(self, upload: Upload) -> str:
        return f"{upload.width} × {upload.height}"

    @admin.display(description="right label")
    def said(self, upload: Upload) -> str:
        if upload.verdict == Verdict.RIGHT:
            return "confirmed"
        return upload.summary if upload.verdict else "-"

    @admin.display(description="visitor")
    def visitor(self, upload: Upload) -> str:
        """Leads to all uploads of whoever made this one."""
        address = reverse("admin:classifier_upload_changelist", query={"owner__exact": upload.owner})
        return format_html('<a href="{}">{}…</a>', address, upload.owner[:6]) if upload.owner else "-"

    @admin.display(description="created", ordering="created")
    def when(self, upload: Upload) -> str:
        return _minute(upload.created)

    # --- Who may do what

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        return False  # there is nothing to edit

    def has_classify_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("classifier.change_upload")

    # --- What can be done

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("summary/", view(self.summary), name="classifier_upload_summary"),
            path("words/", view(lambda request: words_search(self, request)), name="classifier_upload_words"),
            path(
                "<uuid:pk>/visitor/delete/",
                view(lambda request, pk: visitor_delete(self, request, pk)),
                name="classifier_upload_visitor",
            ),
            path("<uuid:pk>/classify/", view(self.classify), name="classifier_upload_classify"),
            *super().get_urls(),
        ]

    def summary(self, request: HttpRequest) -> HttpResponse:
        """Figures over the newest uploads and runs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), "title": "Summary", "summary": summary_make()}
        return TemplateResponse(request, "admin/summary.html", context)

    @method_decorator(require_POST)
    def classify(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The button on an upload's page."""
        if not self.has_classify_permission(request):
            raise PermissionDenied
        classify_again(self, request, self.get_queryset(request).filter(pk=pk))
        return redirect("admin:classifier_upload_change", pk)

    def get_deleted_objects(self, objs: Iterable[Upload], request: HttpRequest) -> tuple[list, dict, set, list]:
        """Shows the uploads and counts what goes with them; Django's own lists every prediction."""
        runs = Classification.objects.filter(upload__in=objs)
        counts = {"uploads": len(objs), "classifications": runs.count()}
        return [format_html("{} {}", self.thumbnail(upload), upload) for upload in objs], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Upload) -> None:
        uploads.upload_delete(upload=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Upload]) -> None:
        uploads.uploads_delete(uploads=queryset)


def _picture(upload: Upload, style: str, source: str) -> SafeString:
    """The public picture, fetched when it comes into view; leads to the result."""
    address = reverse(source, args=[upload.pk])
    return format_html(
        '<a href="{}"><img class="{}" src="{}" alt="Result of {}" loading="lazy"></a>',
        upload.get_absolute_url(), style, address, upload,
    )  # fmt: skip
