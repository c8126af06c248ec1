"""What pages show of label sets and of search. The views put it beside what they show themselves."""

from django.conf import settings
from django.http import HttpRequest

from classifier.http.owners import owner_key
from classifier.http.paging import neighbours
from classifier.models import Classification, Upload
from classifier.services import search
from classifier.services.label_sets import Entry, label_sets_list
from classifier.services.labels import IMAGENET
from classifier.web.forms import UploadForm
from classifier.web.label_forms import RelabelForm
from classifier.web.label_memory import labels_address, labels_of_run

SIMILAR = 6  # pictures in the strip below a result
SHOWN = 10  # predictions shown before the rest is folded away


def label_sets_shown() -> list[Entry]:
    """For the menu; the stand-in has none."""
    return [] if settings.CLIP_MODEL == "standin" else label_sets_list()


def result_context(request: HttpRequest, *, upload: Upload, changeable: bool, form: RelabelForm | None = None) -> dict:
    """Around a result: similar pictures and the neighbours in one's history, forms for labels and the next picture."""
    run, owner = upload.latest, owner_key(request)
    chosen = labels_of_run(request, run)
    context: dict = {"label_sets": label_sets_shown(), "shown": SHOWN, "rest": f"{SHOWN}:", "more": -SHOWN}
    if run is not None and run.status == Classification.Status.DONE and not run.is_standin:
        context["hits"] = search.uploads_similar(upload=upload, owner=owner, count=SIMILAR)
    context["imagenet"] = run is None or run.label_set == IMAGENET
    context |= {
        "form": UploadForm(initial=chosen),
        "labels_address": labels_address(chosen),
        "sentences": _sentences(run),
    }
    if upload.owner == owner:
        context["newer"], context["older"] = neighbours(Upload.objects.of_owner(owner), upload)
    if changeable:
        context["relabel_form"] = form or RelabelForm(initial=chosen)
    return context


def _sentences(run: Classification | None) -> list[str]:
    """The prompt templates of a run, or what they are called."""
    return [] if run is None or run.is_standin else run.templates.split("\n") if run.templates else []
