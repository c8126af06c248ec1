"""The page of a saved label set: its labels, and what it has learnt from examples."""

from http import HTTPStatus
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.errors import ClassifierError
from classifier.http.owners import owner_keep, owner_key, owner_new
from classifier.models import LabelExample, LabelSet, Upload
from classifier.services import examples, uploads
from classifier.services.adapters import LEAST
from classifier.services.heads import choice_of_set
from classifier.services.learned import examples_by_label, learned_of

LABELS_SHOWN = 200
EXAMPLES_SHOWN = 60
FILES = 20  # examples sent at once


def _may_teach(request: HttpRequest) -> bool:
    return request.user.has_perm("classifier.change_labelset")


@require_safe
def label_set(request: HttpRequest, label_set_id: int) -> HttpResponse:
    """What is in the set and what it has learnt; whoever may change it gives examples here."""
    return _page(request, get_object_or_404(LabelSet, pk=label_set_id))


def _page(request: HttpRequest, found: LabelSet, error: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
    labels, counts = found.label_list, examples_by_label(label_set=found)
    teaches = _may_teach(request)
    shown = LabelExample.objects.filter(label_set=found).select_related("upload").order_by("-created")
    context = {
        "set": found,
        "labels": labels[:LABELS_SHOWN],
        "all_labels": labels if teaches else [],
        "labels_left": max(0, len(labels) - LABELS_SHOWN),
        "counts": counts,
        "learned": learned_of(label_set=found),
        "least": LEAST,
        "teaches": teaches,
        "examples": shown.defer("upload__image")[:EXAMPLES_SHOWN] if teaches else [],
        "chosen": request.POST.get("label", ""),
        "error": error,
        "files": FILES,
    }
    return render(request, "label_set.html", context, status=status)


@require_POST
def example_add(request: HttpRequest, label_set_id: int) -> HttpResponse:
    """Stores pictures as examples of one label: some files, or an upload by its address."""
    found = get_object_or_404(LabelSet, pk=label_set_id)
    if not _may_teach(request):
        raise PermissionDenied("Only staff who may change label sets give examples.")
    label, files = request.POST.get("label", ""), request.FILES.getlist("image")
    if not files or len(files) > FILES:
        message = f"Choose 1 to {FILES} pictures."
        return _page(request, found, message, HTTPStatus.UNPROCESSABLE_ENTITY)
    owner = owner_key(request) or owner_new(request)
    taken = 0
    try:
        for file in files:
            upload = uploads.upload_create(file=file, name=file.name, owner=owner, choice=choice_of_set(found))
            with transaction.atomic():
                examples.example_add(label_set=found, upload=upload, label=label)
            taken += 1
    except ClassifierError as error:
        where = f"{files[taken].name}: " if len(files) > 1 else ""
        done = f" {taken} before it were taken." if taken else ""
        return _page(request, found, f"{where}{error}{done}", error.status)
    owner_keep(request, owner)
    messages.success(request, f"{taken} example{'s' if taken > 1 else ''} of “{label}”.")
    return redirect("label_set", label_set_id)


@require_POST
def example_remove(request: HttpRequest, label_set_id: int, upload_id: UUID) -> HttpResponse:
    """It is no example any more; the picture stays."""
    found = get_object_or_404(LabelSet, pk=label_set_id)
    if not _may_teach(request):
        raise PermissionDenied("Only staff who may change label sets take examples away.")
    upload = get_object_or_404(Upload, pk=upload_id)
    examples.example_remove(label_set=found, upload=upload)
    return redirect("label_set", label_set_id)
