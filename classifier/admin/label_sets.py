"""Saved label sets: pasted or uploaded, checked, and computed when they are saved."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet, Value
from django.db.models.functions import Length, Replace
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html

from classifier.admin.actions import TickedRows
from classifier.errors import Gone, LabelError
from classifier.models import LabelSet
from classifier.services import label_sets
from classifier.services.labels import (
    DEFAULT_TEMPLATE,
    MAX_LABELS_SET,
    MIN_LABELS,
    name_check,
    set_labels_from_text,
    templates_from_text,
    text_from_bytes,
)
from classifier.services.learned import learned_by_set


class LabelSetForm(forms.ModelForm):
    """Labels from the text field, or from a file, which wins."""

    labels = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 20, "class": "vLargeTextField"}),
        help_text=f"{MIN_LABELS} to {MAX_LABELS_SET:,}, one per line",
    )
    file = forms.FileField(
        required=False, label="or a text file", help_text="UTF-8, one label per line; replaces the labels above"
    )
    templates = forms.CharField(
        required=False,
        strip=False,
        label="prompt templates",
        initial=DEFAULT_TEMPLATE,
        widget=forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}),
        help_text=f"One per line, {{}} is where the label goes; empty: {DEFAULT_TEMPLATE}",
    )

    class Meta:
        model = LabelSet
        fields = ["name", "labels", "file", "templates", "learns"]

    def clean_name(self) -> str:
        name = _checked(name_check, self.cleaned_data["name"])
        if LabelSet.objects.filter(name__iexact=name).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(f"There is a label set named “{name}” already.")
        return name

    def clean_labels(self) -> tuple[str, ...] | None:
        if self.files.get("file"):
            return None  # clean_file, which runs after this, puts the file's in
        return _checked(set_labels_from_text, self.cleaned_data["labels"])

    def clean_file(self) -> None:
        if file := self.cleaned_data.get("file"):
            self.cleaned_data["labels"] = _checked(
                lambda data: set_labels_from_text(text_from_bytes(data)), file.read()
            )

    def clean_templates(self) -> tuple[str, ...]:
        return _checked(templates_from_text, self.cleaned_data["templates"])


def _checked(check: Callable[[Any], Any], value: object) -> Any:
    try:
        return check(value)
    except LabelError as error:
        raise forms.ValidationError(str(error)) from error


class LabelSetChangeList(ChangeList):
    """Gives each row the state of its head, for all rows at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        learnt = learned_by_set()
        entries = {entry.label_set.pk: entry for entry in label_sets.label_sets_list()}
        for row in self.result_list:
            row.entry = entries.get(row.pk)
            row.learnt = learnt.get(row.pk)


@admin.register(LabelSet)
class LabelSetAdmin(TickedRows, admin.ModelAdmin):
    form = LabelSetForm
    list_display = ["name", "number", "state", "learned", "created"]
    search_fields = ["name"]
    sortable_by = ["name", "created"]
    actions = ["compute_again"]

    def get_changelist(self, request: HttpRequest, **options: object) -> type[LabelSetChangeList]:
        return LabelSetChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[LabelSet]:
        ends = Length("labels") - Length(Replace("labels", Value("\n"), Value("")))
        return super().get_queryset(request).annotate(number=ends + 1)

    @admin.display(description="labels")
    def number(self, label_set: LabelSet) -> int:
        return label_set.number

    @admin.display(description="state")
    def state(self, label_set: LabelSet) -> str:
        return (label_set.entry.note or "ready") if label_set.entry else "-"

    @admin.display(description="learnt")
    def learned(self, label_set: LabelSet) -> str:
        words = label_set.learnt.summary if label_set.learnt else "nothing yet"
        return format_html('<a href="{}">{}</a>', reverse("label_set", args=[label_set.pk]), words)

    @admin.action(description="Compute again what failed", permissions=["change"])
    def compute_again(self, request: HttpRequest, queryset: QuerySet[LabelSet]) -> None:
        for label_set in queryset:
            label_sets.head_retry(label_set=label_set)
        self.message_user(request, "Begun; the list says how far it has come.", messages.SUCCESS)

    def save_model(self, request: HttpRequest, obj: LabelSet, form: LabelSetForm, change: bool) -> None:
        data = form.cleaned_data
        label_sets.label_set_update(
            label_set=obj, name=data["name"], labels=data["labels"], templates=data["templates"]
        )

    def changeform_view(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        """Somebody else may have taken the name, or deleted the set, since the form was checked."""
        try:
            return super().changeform_view(request, *arguments, **options)
        except (LabelError, Gone) as error:
            self.message_user(request, f"Not saved. {error}", messages.ERROR)
            return redirect("admin:classifier_labelset_changelist")

    def get_deleted_objects(self, objs: Iterable[LabelSet], request: HttpRequest) -> tuple[list, dict, set, list]:
        return [str(label_set) for label_set in objs], {"label sets": len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: LabelSet) -> None:
        with suppress(Gone):
            label_sets.label_set_delete(label_set=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[LabelSet]) -> None:
        for label_set in queryset:
            with suppress(Gone):
                label_sets.label_set_delete(label_set=label_set)
