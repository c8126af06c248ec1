"""The map of the visitor's own pictures, and those that are nearly the same, to tidy up."""

from collections import Counter
from http import HTTPStatus
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from classifier.errors import ClassifierError
from classifier.http.owners import owner_key
from classifier.http.problems import told
from classifier.models import Upload
from classifier.services.atlas import Map, atlas_obtain

WIDTH, HEIGHT, MARGIN = 1000, 620, 24  # of the drawing
COLOURS = 8  # labels that have a colour of their own, the commonest
GROUPS_SHOWN = 40  # what one page asks to delete stays within what a form may send


@require_safe
@gzip_page  # five thousand points are 700 kB, and 100 when compressed
def history_map(request: HttpRequest) -> HttpResponse:
    """A dot for each picture, near those that look alike."""
    try:
        atlas = atlas_obtain(owner=owner_key(request))
    except ClassifierError as error:
        return render(request, "atlas.html", {"error": told(error)}, status=error.status)
    return render(request, "atlas.html", atlas_context(atlas), status=HTTPStatus.OK)


def atlas_context(atlas: Map) -> dict:
    wanted = [point.upload for point in atlas.points]
    ranked = ("top_label", "top_score", "status", "model", "label_set", "verdict", "right_label")
    uploads = Upload.objects.only("id", "created", "width", "height", *ranked).in_bulk(
        wanted
    )  # one may have been deleted since
    common = [label for label, _ in Counter(each.top_label for each in uploads.values()).most_common(COLOURS) if label]
    colour = {label: number for number, label in enumerate(common, start=1)}
    dots = [
        {
            "upload": uploads[point.upload],
            "x": round(MARGIN + point.x * (WIDTH - 2 * MARGIN), 1),
            "y": round(MARGIN + point.y * (HEIGHT - 2 * MARGIN), 1),
            "colour": colour.get(uploads[point.upload].top_label, 0),
        }
        for point in atlas.points
        if point.upload in uploads
    ]
    groups = [group for group in (group_sorted(group, uploads) for group in atlas.groups) if len(group) > 1]
    return {
        "dots": dots,
        "legend": [{"label": label, "colour": number} for label, number in colour.items()],
        "others": any(not dot["colour"] for dot in dots),
        "groups": groups[:GROUPS_SHOWN],
        "groups_left": max(0, len(groups) - GROUPS_SHOWN),
        "spare": sum(len(group) - 1 for group in groups),
        "left_out": atlas.left_out,
        "width": WIDTH,
        "height": HEIGHT,
    }


def group_sorted(group: list[UUID], uploads: dict[UUID, Upload]) -> list[Upload]:
    """The one to keep first: the largest original, and of equal ones the oldest."""
    found = [uploads[key] for key in group if key in uploads]
    return sorted(found, key=lambda upload: (-upload.width * upload.height, upload.created))
