"""The labels somebody chose: they stay for the next picture, and can be passed on in an address."""

from django.forms import Form
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from classifier.errors import LabelError
from classifier.models import Classification
from classifier.services.labels import CUSTOM, DEFAULT_TEMPLATE, labels_from_text

FIELDS = ("label_set", "labels", "template")
LONGEST = 1500  # characters of an address that is still passed on everywhere


def labels_remember(request: HttpRequest, form: Form) -> None:
    """Keep what was chosen for the visitor's next picture; nothing for ImageNet's labels."""
    chosen = {name: str(form.data[name]) for name in FIELDS if form.data.get(name)}
    if request.session.get("labels", {}) != chosen:
        request.session["labels"] = chosen


def labels_asked(request: HttpRequest) -> dict[str, str]:
    """The labels in the address."""
    return {name: request.GET[name] for name in FIELDS if request.GET.get(name)}


def labels_initial(request: HttpRequest) -> dict[str, str]:
    """What the fields say at first: the labels in the address, or the last picture's, which `?imagenet` forgets."""
    if "imagenet" in request.GET:
        request.session.pop("labels", None)
    return labels_asked(request) or request.session.get("labels", {})


def labels_of_run(request: HttpRequest, run: Classification | None) -> dict[str, str]:
    """The fields that would ask for the labels of a run again; empty for ImageNet's, and for labels with commas.

    They come the likeliest first, or in the order in which this visitor typed them last.
    """
    if run is None or run.label_set != CUSTOM:
        return {"label_set": run.label_set} if run is not None and run.saved_set_id else {}
    labels = [prediction.label for prediction in run.predictions.all()]
    if not labels or any("," in label for label in labels):
        return {}
    typed = request.session.get("labels", {}).get("labels", "")
    fields = {"labels": typed if _labels(typed) == set(labels) else ", ".join(labels)}
    return fields if run.templates == DEFAULT_TEMPLATE else {**fields, "template": run.templates}


def labels_address(fields: dict[str, str]) -> str:
    """The home page with these labels chosen; empty where there are none, or too many for an address."""
    address = f"{reverse('home')}?{urlencode(fields)}"
    return address if fields and len(address) < LONGEST else ""


def _labels(text: str) -> set[str]:
    try:
        return set(labels_from_text(text)) if text else set()
    except LabelError:
        return set()
