"""Browsing for staff."""

from django.contrib import admin

from .models import Classification, Upload

admin.site.register([Upload, Classification])
