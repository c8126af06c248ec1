"""Browsing for staff."""

from django.contrib import admin

from . import admin_keys  # noqa: F401  (registers API keys)
from .models import Classification, Upload

admin.site.register([Upload, Classification])
