"""On an upload's page in the admin: the uploads most like it, of everybody."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from classifier.models import Upload
from classifier.services import search

SHOWN = 8


@admin.display(description="most similar")
def similar(upload: Upload) -> str:
    """Thumbnails that lead to their own pages here, so that one can go on from each."""
    hits = search.uploads_similar(upload=upload, owner=None, count=SHOWN)
    if not hits:
        return "-"
    cells = (
        (
            reverse("admin:classifier_upload_change", args=[hit.upload.pk]),
            reverse("upload_thumbnail", args=[hit.upload.pk]),
            hit.upload.top_label or hit.upload.get_status_display(),
            f"{hit.similarity:.3f}",
            ", the same file" if hit.duplicate else "",
        )
        for hit in hits
    )
    cell = '<li><a href="{}"><img class="thumbnail" src="{}" alt="" loading="lazy"> {}</a> cosine {}{}</li>'
    return format_html('<ul class="similar">{}</ul>', format_html_join("", cell, cells))
