"""What every page's template may name. `site` asks neither the database nor the session: error pages use it, too."""

from django.conf import settings
from django.http import HttpRequest

from classifier.capacity.limits import smaller_limits
from classifier.errors import ModelUnavailable
from classifier.services import engines

ACCEPT = "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/tiff,image/avif"
STANDIN = "stand-in: EfficientNet-Lite0, not CLIP"


def _staff(request: HttpRequest | None) -> bool:
    """Whether to show the way to the admin: asked by templates, of those pages alone that read the session anyway."""
    session = getattr(request, "session", None)
    return session is not None and session.accessed and request.user.is_active and request.user.is_staff


def site(request: HttpRequest | None = None) -> dict:
    return {
        "accept": ACCEPT,
        "max_upload_mb": settings.MAX_UPLOAD_MB,
        "max_megapixels": settings.MAX_MEGAPIXELS,
        "smaller_limits": smaller_limits(int(settings.MAX_MEGAPIXELS * 1e6)),
        "retention_days": settings.UPLOAD_RETENTION_DAYS,
        "model_away": ModelUnavailable.visitors if engines.model_away() else "",
        "standin": STANDIN if settings.CLIP_MODEL == "standin" else "",
    }


def staff(request: HttpRequest) -> dict:
    """Of pages alone: what is said of an error must not ask who reads it, from a database that may be away."""
    return {"staff": lambda: _staff(request)}
