"""Deleting all uploads of one visitor."""

import time
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from classifier.admin.bounds import BoundedPaginator
from classifier.models import Upload
from classifier.services import uploads

SHOWN = 60  # pictures on the confirmation
AT_ONCE = 500  # uploads between two looks at the clock
SECONDS = 20  # after which the rest waits for another click: Heroku's router gives up at 30


def visitor_delete(modeladmin: admin.ModelAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Asks first, with pictures; the address names one upload, not the visitor's key."""
    if not modeladmin.has_delete_permission(request):
        raise PermissionDenied
    upload = get_object_or_404(Upload, pk=pk)
    theirs = Upload.objects.of_owner(upload.owner)
    if request.method == "POST":
        deleted, left = _delete(upload)
        rest = f" {left} are left: go on from there." if left else ""
        messages.success(
            request, f"Deleted: {deleted}, all of one visitor.{rest}" if not rest else f"Deleted: {deleted}.{rest}"
        )
        if left:
            return redirect("admin:classifier_upload_visitor", upload.pk)
        return redirect("admin:classifier_upload_changelist")
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": "Delete all of this visitor",
        "uploads": theirs[:SHOWN],
        "count": BoundedPaginator(theirs, per_page=1).count,
        "upload": upload,
    }
    return TemplateResponse(request, "admin/classifier/upload/visitor_delete.html", context)


def _delete(upload: Upload) -> tuple[int, int]:
    """How many are gone and left; the one that the page is about goes last, so that one can go on."""
    others = Upload.objects.of_owner(upload.owner).exclude(pk=upload.pk)
    deadline, deleted = time.monotonic() + SECONDS, 0
    while keys := list(others.values_list("pk", flat=True)[:AT_ONCE]):
        if time.monotonic() > deadline:
            return deleted, BoundedPaginator(others, per_page=1).count + 1
        deleted += uploads.uploads_delete(uploads=Upload.objects.filter(pk__in=keys))
    uploads.upload_delete(upload=upload)
    return deleted + 1, 0
