"""What every page's template may name."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict:
    return {"max_upload_mb": settings.MAX_UPLOAD_MB, "max_megapixels": settings.MAX_MEGAPIXELS}
