"""The pages. Each parses, calls a service and answers; none imports torch or Pillow."""

import secrets
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import http_date, parse_etags, quote_etag
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from . import services
from .errors import ImageError, ModelError
from .forms import UploadForm
from .models import Upload

PAGE_SIZE = 24


def owner_key(request: HttpRequest, *, create: bool = False) -> str:
    """The random key in the visitor's session that marks what is theirs; empty if they have none yet."""
    if create and "owner" not in request.session:
        request.session["owner"] = secrets.token_urlsafe(24)
    return request.session.get("owner", "")


def may_change(request: HttpRequest, upload: Upload) -> bool:
    owner = owner_key(request)
    return bool(owner and secrets.compare_digest(owner, upload.owner)) or request.user.is_staff


@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """The form; takes one picture and redirects to its result."""
    form = UploadForm(request.POST or None, request.FILES or None) if request.method == "POST" else UploadForm()
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            file = form.cleaned_data["image"]
            try:
                upload = services.upload_create(file=file, name=file.name, owner=owner_key(request, create=True))
                return redirect(upload)
            except (ImageError, ModelError) as error:
                form.add_error("image", str(error))
                status = error.status
    return render(request, "home.html", {"form": form}, status=status)


@require_safe
def upload_detail(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """One result. Whoever has the address may see it; the owner and staff may delete it."""
    upload = get_object_or_404(Upload.objects.with_latest(), pk=upload_id)
    return render(
        request, "upload.html", {"upload": upload, "run": upload.latest, "may_change": may_change(request, upload)}
    )


@require_safe
def upload_image(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """The stored picture. It never changes, so it may be cached for good."""
    created = get_object_or_404(Upload.objects.values_list("created", flat=True), pk=upload_id)
    etag = quote_etag(upload_id.hex)
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        response = HttpResponse(status=304)
    else:
        image = Upload.objects.values_list("image", flat=True).get(pk=upload_id)
        response = HttpResponse(bytes(image), content_type="image/jpeg")
    response["ETag"] = etag
    response["Last-Modified"] = http_date(created.timestamp())
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


@require_POST
def upload_delete(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    upload = get_object_or_404(Upload, pk=upload_id)
    if not may_change(request, upload):
        raise PermissionDenied("Only whoever uploaded this picture can delete it.")
    services.upload_delete(upload=upload)
    return redirect("history")


@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """The visitor's own uploads, newest first."""
    uploads = Upload.objects.of_owner(owner_key(request)).with_latest()
    page = Paginator(uploads, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "history.html", {"page": page})


@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    """The process is alive."""
    return JsonResponse({"status": "ok"})


@require_GET
def readyz(request: HttpRequest) -> JsonResponse:
    """The model is loaded and the database answers."""
    state = services.readiness()
    return JsonResponse({"model": state.model, "database": state.database}, status=200 if state.ok else 503)
