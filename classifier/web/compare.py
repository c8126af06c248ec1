"""Two sets of labels side by side, on a result: by a plain form, so that it works without the script."""

from django.http import HttpRequest

from classifier.errors import ClassifierError
from classifier.http.problems import told
from classifier.http.ratelimits import rate_limit_check
from classifier.models import Upload
from classifier.services.live import rank_share, square_of_run, upload_rank
from classifier.web.label_forms import LabelsForm

SHOWN = 10  # labels of a side
SIDES = (("first", "One set"), ("second", "The other"))


def compare_context(request: HttpRequest, upload: Upload, changeable: bool) -> dict:
    """What the result page shows where its address has two sets: `?first-labels=cat,dog&second-label_set=Pets`."""
    if not changeable or upload.latest is None or upload.latest.is_standin:
        return {}
    asked = request.method in ("GET", "HEAD") and any(f"{side}-labels" in request.GET for side, _ in SIDES)
    sides = [_side(request, upload, prefix, title, asked) for prefix, title in SIDES]
    return {"compared": asked, "sides": sides}


def _side(request: HttpRequest, upload: Upload, prefix: str, title: str, asked: bool) -> dict:
    form = LabelsForm(request.GET if asked else None, prefix=prefix)
    side: dict = {"prefix": prefix, "title": title, "form": form}
    if not asked:
        return side
    if not form.is_valid():
        return {**side, "error": next(iter(form.errors.values()))[0]}
    choice, square = form.cleaned_data["choice"], square_of_run(upload, upload.latest)
    try:
        rate_limit_check(request, share=rank_share(choice=choice, square=square))
        found = upload_rank(upload=upload, choice=choice, square=square)
    except ClassifierError as error:
        return {**side, "error": told(error)}
    shown = [(each, 100 * each.score) for each in found.predictions[:SHOWN]]
    return {**side, "found": found, "shown": shown, "milliseconds": round(1000 * found.seconds)}
