"""The fields by which somebody chooses labels on a page."""

from django import forms

from classifier.errors import LabelError
from classifier.services.label_sets import choice_make
from classifier.services.labels import labels_from_text, templates_check


class LabelsForm(forms.Form):
    """ImageNet's labels where nothing is chosen. `cleaned_data["choice"]` is what the services take."""

    label_set = forms.CharField(required=False)
    labels = forms.CharField(required=False, max_length=50_000, error_messages={"max_length": "That is too long."})
    template = forms.CharField(required=False, max_length=1_000, error_messages={"max_length": "That is too long."})

    def clean_labels(self) -> tuple[str, ...]:
        text = self.cleaned_data["labels"]
        return _told(labels_from_text, text) if text.strip() else ()

    def clean_template(self) -> str:
        template = self.cleaned_data["template"]
        return _told(templates_check, [template])[0] if template else ""

    def clean(self) -> dict:
        cleaned = super().clean()
        if not {"labels", "template", "label_set"} & set(self.errors):
            try:
                cleaned["choice"] = choice_make(
                    labels=cleaned["labels"], template=cleaned["template"], label_set=cleaned["label_set"]
                )
            except LabelError as error:
                self.add_error("labels", str(error))
        return cleaned

    @property
    def labels_touched(self) -> bool:
        """Whether somebody has filled in one of these fields, so that they are to be shown."""
        return any(self[name].value() for name in ("label_set", "labels", "template"))

    @property
    def labels_open(self) -> bool:
        """Whether they are to be shown at once: something in them may have to be put right."""
        return self.is_bound and (self.labels_touched or bool(self["labels"].errors))

    @property
    def labels_said(self) -> str:
        """What is chosen, in one line; empty for ImageNet's."""
        own = ", ".join(
            line.strip().rstrip(",") for line in (self["labels"].value() or "").splitlines() if line.strip()
        )
        return self["label_set"].value() or own


class RelabelForm(LabelsForm):
    """Other labels for a stored picture; one of the fields must say which."""

    imagenet = forms.BooleanField(required=False)

    def clean(self) -> dict:
        cleaned = super().clean()
        if not self.errors and not self.labels_touched and not cleaned["imagenet"]:
            self.add_error("labels", "Give labels of your own, or choose a label set.")
        return cleaned


def _told(check: callable, given: object) -> object:
    try:
        return check(given)
    except LabelError as error:
        raise forms.ValidationError(str(error)) from error
