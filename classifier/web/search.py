"""The pages of search, and trying other labels on an upload."""

from http import HTTPStatus
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.errors import ClassifierError, Gone
from classifier.http.owners import owner_key, upload_to_change
from classifier.http.problems import told
from classifier.http.ratelimits import rate_limit_check
from classifier.models import Upload
from classifier.services import search, uploads
from classifier.web.label_forms import RelabelForm
from classifier.web.label_memory import labels_remember
from classifier.web.views import upload_page

HITS = 24


@require_safe
def history_search(request: HttpRequest) -> HttpResponse:
    """The visitor's own uploads that words describe best; staff may ask for everybody's."""
    words, status = " ".join(request.GET.get("q", "").split()), HTTPStatus.OK
    may_ask_all = request.user.has_perm("classifier.view_upload")
    everybody = may_ask_all and "all" in request.GET
    context: dict = {"words": words, "may_ask_all": may_ask_all, "everybody": everybody}
    if words:
        try:
            rate_limit_check(request)
            owner = None if everybody else owner_key(request)
            context["hits"] = search.uploads_by_words(words=words, owner=owner, count=HITS)
        except ClassifierError as error:
            context["error"], status = told(error), error.status
    return render(request, "search.html", context, status=status)


@require_POST
def upload_relabel(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Rank a stored picture against other labels."""
    upload = upload_to_change(request, upload_id, Upload.objects.with_latest().select_related("feedback"))
    asked = {"imagenet": "1"} if "imagenet" in request.POST else request.POST  # whatever was typed beside that button
    form, status = RelabelForm(asked), HTTPStatus.UNPROCESSABLE_ENTITY
    if form.is_valid():
        try:
            rate_limit_check(request)
            uploads.upload_relabel(upload=upload, choice=form.cleaned_data["choice"])
            labels_remember(request, form)
            return redirect(upload)
        except Gone:
            raise
        except ClassifierError as error:
            form.add_error("labels", told(error))
            status = error.status
    return upload_page(request, upload, relabel_form=form, status=status)
