"""The forms of the pages."""

import difflib
from collections.abc import Sequence

from django import forms

from classifier.engine.imagenet import imagenet_together
from classifier.web.label_forms import LabelsForm


class UploadForm(LabelsForm):
    """Takes one picture, and the labels for it; whether it is a picture is decided where it is decoded."""

    image = forms.FileField(
        label="Picture",
        allow_empty_file=True,  # told apart from "no file" by the reader, with the same sentence as the API's
        max_length=None,
        error_messages={"required": "Choose a picture first."},
    )


class FeedbackForm(forms.Form):
    """Takes one of `labels`, however it is capitalised, or the word that `top` is right, or is not."""

    label = forms.CharField(max_length=255, required=False, error_messages={"max_length": "That is not a label."})
    right = forms.BooleanField(required=False)
    none = forms.BooleanField(required=False)

    def __init__(self, *args: object, labels: Sequence[str], top: str, **options: object) -> None:
        super().__init__(*args, **options)
        self.labels, self.top = labels, top

    def clean_label(self) -> str:
        typed = " ".join(self.cleaned_data["label"].split())
        known = {label.casefold(): label for label in [*self.labels, *map(imagenet_together, self.labels)]}
        if not typed or typed.casefold() in known:
            return known.get(typed.casefold(), "")
        near = [known[key] for key in difflib.get_close_matches(typed.casefold(), known, n=3, cutoff=0.6)]
        hint = f" Did you mean {' or '.join(near)}?" if near else " Begin to type and pick one from the list."
        raise forms.ValidationError(f"“{typed}” is not one of the {len(self.labels)} labels.{hint}")

    def clean(self) -> dict:
        cleaned = super().clean()
        if cleaned["right"]:
            cleaned["label"] = self.top
        if not self.errors and not cleaned["label"] and not cleaned["none"]:
            self.add_error("label", "Pick a label first.")
        return cleaned
