"""The pages. Each parses, calls a service and answers; none imports torch or Pillow."""

import json
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from django.contrib import messages
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.templatetags.static import static
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from classifier.engine.imagenet import imagenet, imagenet_index
from classifier.errors import ClassifierError, LabelError, LabelSetNotReady, ModelError, StorageFull, TextUnsupported
from classifier.http.compress import compressed
from classifier.http.owners import may_change, owner_keep, owner_key, owner_new, upload_to_change
from classifier.http.problems import problem_response, told
from classifier.http.ratelimits import rate_limit_check
from classifier.http.records import record_of
from classifier.models import Classification, Prediction, Upload
from classifier.pictures import crop
from classifier.services import engines, uploads
from classifier.services.fit import fits_well
from classifier.services.labels import IMAGENET
from classifier.services.live import square_of_run
from classifier.services.runs import RUN_SECONDS
from classifier.web.compare import compare_context
from classifier.web.examples import example_file, examples_shown
from classifier.web.feedback import feedback_context, labels_of_run
from classifier.web.forms import FeedbackForm, UploadForm
from classifier.web.label_forms import RelabelForm
from classifier.web.label_memory import labels_asked, labels_initial, labels_remember
from classifier.web.label_pages import label_sets_shown, result_context
from classifier.web.live import square_context
from classifier.web.why import why_context

RECENT = 6  # pictures on the home page
LABEL_ERRORS = (LabelError, LabelSetNotReady, TextUnsupported)
RUNS = 20  # rankings of one picture that are listed
RELOAD_SECONDS = 3  # of a page that waits for its run


# --- Home --------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """The form; takes one picture and redirects to its result. The script asks for JSON and gets the record."""
    if request.method != "POST":
        return home_page(request, UploadForm(initial=labels_initial(request)), HTTPStatus.OK)
    owner = owner_key(request) or owner_new(request)
    form = UploadForm(request.POST, example_file(request) or request.FILES)
    error = upload = None
    if form.is_valid():
        file = form.cleaned_data["image"]
        try:
            rate_limit_check(request)
            upload = uploads.upload_create(file=file, name=file.name, owner=owner, choice=form.cleaned_data["choice"])
            owner_keep(request, owner)
            labels_remember(request, form)
        except ClassifierError as raised:
            error = raised
            form.add_error("labels" if isinstance(error, LABEL_ERRORS) else "image", told(error))
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        response = home_json(request, form, upload, error)
    else:
        status = error.status if error else HTTPStatus.UNPROCESSABLE_ENTITY
        response = redirect(upload) if upload else home_page(request, form, status)
    if hasattr(error, "retry_after"):
        response["Retry-After"] = str(error.retry_after)
    patch_vary_headers(response, ["Accept"])
    return response


def home_page(request: HttpRequest, form: UploadForm, status: int) -> HttpResponse:
    context = {
        "form": form,
        "recent": list(Upload.objects.of_owner(owner_key(request))[:RECENT]),
        "examples": examples_shown(),
        "label_sets": label_sets_shown(),
        "labels_open": bool(labels_asked(request)),
    }
    response = render(request, "home.html", context, status=status)
    # The addresses of one's pictures are secrets; a newcomer has none.
    return response if context["recent"] else compressed(request, response)


def home_json(
    request: HttpRequest, form: UploadForm, upload: Upload | None, error: ClassifierError | None
) -> HttpResponse:
    """The record, or what was wrong as RFC 9457's problem."""
    if upload is not None:
        return JsonResponse(record_of(upload, request), status=HTTPStatus.CREATED)
    code = "no-image" if "image" in form.errors else "bad-labels"
    status, code = (error.status, error.code) if error else (HTTPStatus.UNPROCESSABLE_ENTITY, code)
    return problem_response(status, code, next(iter(form.errors.values()))[0])


# --- One upload --------------------------------------------------------------------------------------------------


@require_safe
def upload_detail(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """One result. Whoever has the address may see it; the owner and staff may change it."""
    upload = get_object_or_404(Upload.objects.with_latest().select_related("feedback"), pk=upload_id)
    return upload_page(request, upload)


@gzip_page  # the thousand labels to pick from are 25 kB, and 8 when compressed
def upload_page(
    request: HttpRequest,
    upload: Upload,
    form: FeedbackForm | None = None,
    status: int = HTTPStatus.OK,
    relabel_form: RelabelForm | None = None,
) -> HttpResponse:
    run, state, changeable = upload.latest, run_state(upload.latest), may_change(request, upload)
    predictions = list(run.predictions.all()) if state == "done" else []
    for prediction in predictions:
        prediction.synset = "" if prediction.index is None else imagenet()["classes"][prediction.index]["synset"]
    top = predictions[0] if predictions else None
    kept = square_of_run(upload, run)
    seen = kept or crop.crop_seen(upload.width, upload.height, upload.model)
    record = record_of(upload, request)
    context = {
        "upload": upload,
        "run": run,
        "state": state,
        "predictions": predictions,
        "top": top,
        "imagenet": run is None or run.label_set == IMAGENET,
        "heading": (upload.right_label or top.label) if top else "Result",
        "og_description": ", ".join(f"{each.label} {each.percent:.0f} %" for each in predictions[:3]),
        "fits": bool(top) and fits_well(model=run.model, score=top.score, similarity=top.similarity),
        "kept": kept,
        "square": kept,
        "runs": runs_shown(upload) if changeable else [],
        "crop": crop.crop_paths(seen, upload.width, upload.height),
        "milliseconds": {name: round(1000 * (value or 0)) for name, value in record["seconds"].items()},
        "record_json": json.dumps(record, indent=2, ensure_ascii=False),
        "share_url": request.build_absolute_uri(upload.get_absolute_url()),
        "may_change": changeable,
        "may_delete": may_change(request, upload, "delete"),
        "feedback": getattr(upload, "feedback", None),
    }
    if top and changeable:
        context |= feedback_context(run, predictions, form)
    context |= result_context(request, upload=upload, changeable=changeable, form=relabel_form)
    context |= why_context(request, upload, seen)
    context |= square_context(request, upload, seen, changeable)
    context |= compare_context(request, upload, changeable)
    response = render(request, "upload.html", context, status=status)
    if state == "running":
        response["Refresh"] = str(RELOAD_SECONDS)
    return response


def runs_shown(upload: Upload) -> list[Classification]:
    """The newest rankings of a picture with their likeliest labels, where there are several."""
    first = Prediction.objects.filter(classification=OuterRef("pk"), rank=1)
    found = upload.classifications.annotate(
        label=Subquery(first.values("label")[:1]), percent=100 * Subquery(first.values("score")[:1])
    )
    runs = list(found[:RUNS])
    return runs if len(runs) > 1 else []


def run_state(run: Classification | None) -> str:
    """running, done or failed as it is stored; "interrupted" where nobody is at it any more."""
    if run is None:
        return "interrupted"
    if run.status == Classification.Status.RUNNING and run.created < timezone.now() - timedelta(seconds=RUN_SECONDS):
        return "interrupted"
    return run.status


@require_safe
def upload_json(request: HttpRequest, upload_id: UUID) -> JsonResponse:
    """The record as a file."""
    upload = get_object_or_404(Upload.objects.with_latest(), pk=upload_id)
    response = JsonResponse(record_of(upload, request), json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="{upload.id}.json"'
    return response


@require_POST
def upload_classify(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Try again what failed or was interrupted."""
    upload = upload_to_change(request, upload_id, Upload.objects.select_related("latest"))
    if run_state(upload.latest) in ("failed", "interrupted"):
        try:
            uploads.upload_classify(upload=upload)
        except (ModelError, StorageFull) as error:
            messages.error(request, told(error))
    return redirect(upload)


@require_POST
def upload_feedback(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Keep whether the top label is right, or which one is."""
    queryset = Upload.objects.with_latest().select_related("feedback")
    upload = upload_to_change(request, upload_id, queryset)
    run, top = upload.latest, upload.top
    if top is None:  # it is being ranked anew
        return redirect(upload)
    form = FeedbackForm(request.POST, labels=labels_of_run(run, run.predictions.all()), top=top.label)
    if not form.is_valid():
        return upload_page(request, upload, form, HTTPStatus.UNPROCESSABLE_ENTITY)
    label = form.cleaned_data["label"]
    index = imagenet_index(label) if label and run.label_set == IMAGENET else None
    uploads.feedback_create(upload=upload, label=label, index=index)
    return redirect(f"{upload.get_absolute_url()}#feedback-title")


@require_http_methods(["GET", "HEAD", "POST"])
def upload_delete(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Asks first; deletes when that page is sent."""
    upload = upload_to_change(request, upload_id, permission="delete")
    if request.method == "POST":
        uploads.upload_delete(upload=upload)
        messages.success(request, "The picture is deleted.")
        return redirect("history")
    return render(
        request,
        "upload_delete.html",
        {"uploads": [upload], "action": request.path, "back": upload.get_absolute_url()},
    )


# --- The rest ----------------------------------------------------------------------------------------------------


@require_safe
@gzip_page
def about(request: HttpRequest) -> HttpResponse:
    """What CLIP is for, what this server runs, what is stored."""
    info = engines.model_info()
    return render(request, "about.html", {"info": info, "check": info.manifest.get("self_check") if info else None})


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Where browsers look for it that do not read the page's link."""
    return redirect(static("classifier/favicon.ico"), permanent=True)


@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    """The process is alive."""
    return JsonResponse({"status": "ok"})


@require_GET
def readyz(request: HttpRequest) -> JsonResponse:
    """The model is loaded and the database answers."""
    state = engines.readiness()
    answer = {"model": state.model, "database": state.database, "storage": state.storage, "precision": state.precision}
    return JsonResponse(answer, status=200 if state.ok else 503)
