"""Ranking in passing on a result: labels while they are edited, the square while it is moved. Nothing is stored."""

from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from classifier.errors import ClassifierError, Gone
from classifier.http.owners import upload_to_change
from classifier.http.problems import problem_response, told
from classifier.http.ratelimits import rate_limit_check
from classifier.models import Upload
from classifier.pictures import crop
from classifier.services import uploads
from classifier.services.heads import choice_of_run
from classifier.services.live import rank_share, square_keep, square_of_run, upload_rank
from classifier.web.label_forms import LabelsForm

KEPT_SIDE = 512  # pixels of the longer side of what is kept of a picture
SQUARES = 12  # offered at most


class SquareForm(forms.Form):
    """Where a square lies in the picture's own pixels, and how large it is."""

    x = forms.IntegerField()
    y = forms.IntegerField()
    side = forms.IntegerField()


@dataclass(frozen=True)
class Offered:
    """A square of a panorama that can be ranked by a click."""

    name: str
    square: crop.Crop


def square_of(upload: Upload, asked: QueryDict) -> crop.Crop | None:
    """The square that is asked for, moved into the picture; None where none is."""
    form = SquareForm(asked)
    if not form.is_valid():
        return None
    found = form.cleaned_data
    return crop.square_within(upload.width, upload.height, found["x"], found["y"], found["side"])


@require_POST
def upload_live(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """The ranking of a square, or of what the model saw, against the labels in the form or else the run's, as JSON."""
    upload = upload_to_change(request, upload_id, Upload.objects.with_latest())
    form = LabelsForm(request.POST)
    if not form.is_valid():
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, "bad-labels", next(iter(form.errors.values()))[0])
    choice = form.cleaned_data["choice"] if form.labels_touched else choice_of_run(upload.latest)
    square = square_of(upload, request.POST)
    try:
        rate_limit_check(request, share=rank_share(choice=choice, square=square))
        found = upload_rank(upload=upload, choice=choice, square=square)
    except ClassifierError as error:
        response = problem_response(error.status, error.code, told(error))
        if hasattr(error, "retry_after"):
            response["Retry-After"] = str(error.retry_after)
        return response
    return JsonResponse(
        {
            "model": found.model,
            "label_set": found.label_set,
            "fits": found.fits,
            "seconds": round(found.seconds, 4),
            "predictions": [
                {"rank": each.rank, "label": each.label, "score": each.score, "similarity": each.similarity}
                for each in found.predictions
            ],
        }
    )


@require_POST
def upload_square(request: HttpRequest, upload_id: UUID) -> HttpResponse:
    """Keep the ranking of a square as the newest, against the same labels; without one, rank the whole again."""
    upload = upload_to_change(request, upload_id, Upload.objects.with_latest())
    square, choice = square_of(upload, request.POST), choice_of_run(upload.latest)
    try:
        rate_limit_check(request)
        if square:
            square_keep(upload=upload, choice=choice, square=square)
        else:
            uploads.upload_relabel(upload=upload, choice=choice)
    except Gone:
        raise
    except ClassifierError as error:
        messages.error(request, told(error))
    return redirect(upload)


def square_context(request: HttpRequest, upload: Upload, seen: crop.Crop, changeable: bool) -> dict:
    """The square that can be moved, and its ranking where the address has one: `?x=LEFT&y=TOP&side=SIDE`."""
    if not changeable or upload.latest is None:
        return {}
    chosen = square_of(upload, request.GET)
    square = chosen or crop.square_within(
        upload.width, upload.height, round(seen.left), round(seen.top), round(seen.width)
    )
    context: dict = {
        "square": square,
        "square_kept": square_of_run(upload, upload.latest) is not None,
        "square_chosen": chosen is not None,
        "square_smallest": crop.smallest_side(upload.width, upload.height),
        "square_largest": min(upload.width, upload.height),
        "square_offers": offers_of(upload),
        "kept_side": KEPT_SIDE if max(upload.width, upload.height) > KEPT_SIDE else None,
    }
    if chosen is None:
        return context
    context["crop"] = crop.crop_paths(chosen, upload.width, upload.height)
    try:
        rate_limit_check(request)
        found = upload_rank(upload=upload, choice=choice_of_run(upload.latest), square=chosen)
        before = {each.label: 100 * each.score for each in upload.latest.predictions.all()}
        context["square_predictions"] = [
            {"label": each.label, "now": 100 * each.score, "before": before.get(each.label)}
            for each in found.predictions
        ]
    except ClassifierError as error:
        context["square_error"] = told(error)
    return context


def offers_of(upload: Upload) -> list[Offered]:
    """A panorama's squares, from the left or from the top."""
    squares = crop.squares_offered(upload.width, upload.height)[:SQUARES]
    ends = ("Left", "Middle", "Right") if upload.width > upload.height else ("Top", "Middle", "Bottom")
    names = {2: ends[::2], 3: ends}.get(len(squares)) or [str(place) for place in range(1, len(squares) + 1)]
    return [Offered(name, square) for name, square in zip(names, squares, strict=True)]
