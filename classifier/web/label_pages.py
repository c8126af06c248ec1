"""What pages show of label sets and of search. The views put it beside what they show themselves."""

from django.conf import settings

from classifier.models import Classification, Upload
from classifier.services import search
from classifier.services.label_sets import Entry, label_sets_list
from classifier.services.labels import IMAGENET
from classifier.web.label_forms import RelabelForm

SIMILAR = 6  # pictures in the strip below a result
SHOWN = 10  # predictions shown before the rest is folded away


def label_sets_shown() -> list[Entry]:
    """For the menu; the stand-in has none."""
    return [] if settings.CLIP_MODEL == "standin" else label_sets_list()


def result_context(*, upload: Upload, owner: str, changeable: bool, form: RelabelForm | None = None) -> dict:
    """Below a result: similar pictures of the visitor's own, and the form to try other labels with."""
    run = upload.latest
    context: dict = {"label_sets": label_sets_shown(), "shown": SHOWN, "rest": f"{SHOWN}:", "more": -SHOWN}
    if run is not None and run.status == Classification.Status.DONE and not run.is_standin:
        context["hits"] = search.uploads_similar(upload=upload, owner=owner, count=SIMILAR)
    context["imagenet"] = run is None or run.label_set == IMAGENET
    if changeable:
        context["relabel_form"] = form or RelabelForm()
    return context
