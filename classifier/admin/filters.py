"""The filters beside the list of uploads, each along an index of its own."""

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from classifier.admin.bounds import VALUES_LIMIT
from classifier.models import SCORES, ApiKey, Verdict, score_between


class FeedbackFilter(SimpleListFilter):
    """What visitors said of the top label."""

    title = "feedback"
    parameter_name = "feedback"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(Verdict.WRONG, "corrected"), (Verdict.RIGHT, "confirmed"), ("none", "nothing said")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.value()
        return queryset.filter(verdict="" if chosen == "none" else chosen) if chosen else queryset


class FitsFilter(SimpleListFilter):
    """Whether any of the labels fits."""

    title = "fit"
    parameter_name = "fits"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("1", "a label fits"), ("0", "none fits")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(fits=self.value() == "1") if self.value() in ("0", "1") else queryset


class ScoreFilter(SimpleListFilter):
    """How sure the model was of the top label."""

    title = "score"
    parameter_name = "score"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(name, _percent(least, below)) for name, least, below in SCORES]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        bands = {name: score_between(least, below) for name, least, below in SCORES}
        return queryset.filter(bands[self.value()]) if self.value() in bands else queryset


def _percent(least: float | None, below: float | None) -> str:
    if below is None:
        return f"{100 * least:.0f} % and more"
    return f"{100 * least:.0f} to {100 * below:.0f} %" if least else f"under {100 * below:.0f} %"


class KeyFilter(SimpleListFilter):
    """The program that sent it."""

    title = "API key"
    parameter_name = "key"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        keys = ApiKey.objects.order_by("name", "id").values_list("pk", "name")[:VALUES_LIMIT]
        return [(str(pk), name) for pk, name in keys]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(api_key=int(self.value())) if (self.value() or "").isdecimal() else queryset
