"""Making and withdrawing API keys."""

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from classifier.admin.actions import TickedRows
from classifier.models import ApiKey
from classifier.services.keys import api_key_delete, api_key_issue


@admin.register(ApiKey)
class ApiKeyAdmin(TickedRows, admin.ModelAdmin):
    list_display = ["name", "prefix", "active", "per_minute", "created", "last_used"]
    list_filter = ["active"]
    search_fields = ["name", "prefix"]
    readonly_fields = ["prefix", "created", "last_used"]

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        obj.token = api_key_issue(api_key=obj)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Shown in the answer itself: a message would take the token through a cookie, and into logs of those."""
        context = {**self.admin_site.each_context(request), "title": "The new API key", "api_key": obj}
        return TemplateResponse(request, "admin/classifier/apikey/issued.html", context)

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        api_key_delete(api_key=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for api_key in queryset:
            api_key_delete(api_key=api_key)
