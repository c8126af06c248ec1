"""The record of an upload, as the API answers it, pages show it and exports keep it."""

from django.http import HttpRequest
from django.urls import reverse

from classifier.models import Classification, Upload


def record_of(upload: Upload, request: HttpRequest) -> dict:
    """The record of an upload that was fetched `with_latest`."""
    run = upload.latest or Classification(upload=upload)
    image_url = request.build_absolute_uri(reverse("upload_image", args=[upload.id]))
    # Those of a run that was not done when it was read are not its end: it has ended between two queries.
    predictions = run.predictions.all() if run.status == Classification.Status.DONE else []
    return {
        "id": str(upload.id),
        "created": upload.created.isoformat(),
        "status": run.status,
        "reason": run.reason,
        "model": run.model,
        "precision": run.precision,
        "label_set": run.label_set,
        "fits": upload.fits,
        "square": run.square,
        "image": {"width": upload.width, "height": upload.height, "url": image_url},
        "predictions": [
            {"rank": p.rank, "label": p.label, "index": p.index, "score": p.score, "similarity": p.similarity}
            for p in predictions
        ],
        "seconds": {"decode": run.seconds_decode, "predict": run.seconds_predict},
        "url": request.build_absolute_uri(upload.get_absolute_url()),
    }
