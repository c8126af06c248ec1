"""Everybody's pictures that words describe best, as a contact sheet."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from classifier.errors import ClassifierError
from classifier.services import search

HITS = 60


def words_search(modeladmin: admin.ModelAdmin, request: HttpRequest) -> HttpResponse:
    """What is ticked goes through the list's own actions."""
    if not modeladmin.has_view_permission(request):
        raise PermissionDenied
    words, status = " ".join(request.GET.get("words", "").split()), 200
    context = {**modeladmin.admin_site.each_context(request), "title": "Pictures by words", "words": words}
    if words:
        try:
            hits = search.uploads_by_words(words=words, owner=None, count=HITS)
            context["pictures"] = [(hit.upload, f"cosine {hit.similarity:.3f}") for hit in hits]
        except ClassifierError as error:
            context["error"], status = str(error), error.status
    context["actions"] = modeladmin.get_action_choices(request)
    return TemplateResponse(request, "admin/classifier/upload/words.html", context, status=status)
