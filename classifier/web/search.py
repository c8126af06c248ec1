"""The pages of search, and trying other labels on an upload."""

from http import HTTPStatus
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from classifier.errors import ClassifierError, Gone
from classifier.http.owners import owner_key, upload_to_change
from classifier.http.problems import told
from classifier.http.ratelimits import rate_limit_check
from classifier.models import Upload
from classifier.services import search, uploads
from classifier.services.live import square_keep
from classifier.web.label_forms import RelabelForm
from classifier.web.label_memory import labels_remember
from classifier.web.live import square_of
from classifier.web.views import upload_page

HITS = 24  # on a page


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
            context |= _matches_page(request, search.uploads_matching(words=words, owner=owner))
        except ClassifierError as error:
            context["error"], status = told(error), error.status
    return render(request, "search.html", context, status=status)


def _matches_page(request: HttpRequest, found: search.Matches) -> dict:
    """A page of what matches; of the nearest that do not, where nothing does or `?beyond` asks for them."""
    beyond = "beyond" in request.GET
    pages = Paginator(found.beyond if beyond else found.matching, HITS)
    page = pages.get_page(request.GET.get("page"))
    return {
        "model": found.model,
        "matching": len(found.matching),
        "beyond": len(found.beyond),
        "most": search.MAX_MATCHES,
        "all_looked_at": len(found.matching) + len(found.beyond) < search.MAX_MATCHES,
        "shows_beyond": beyond,
        "page": page,
        "hits": list(page),
    }


@require_POST
def upload_relabel(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Rank a stored picture against other labels."""
    upload = upload_to_change(request, upload_id, Upload.objects.with_latest().select_related("feedback"))
    asked = {"imagenet": "1"} if "imagenet" in request.POST else request.POST  # whatever was typed beside that button
    form, status = RelabelForm(asked), HTTPStatus.UNPROCESSABLE_ENTITY
    if form.is_valid():
        try:
            rate_limit_check(request)
            choice, square = form.cleaned_data["choice"], square_of(upload, request.POST)
            if square:
                square_keep(upload=upload, choice=choice, square=square)
            else:
                uploads.upload_relabel(upload=upload, choice=choice)
            labels_remember(request, form)
            return redirect(upload)
        except Gone:
            raise
        except ClassifierError as error:
            form.add_error("labels", told(error))
            status = error.status
    return upload_page(request, upload, relabel_form=form, status=status)
