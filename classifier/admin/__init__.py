"""Browsing for staff; importing this registers all of it with Django's admin."""

from django.contrib import admin
from django_tasks_db.models import DBTaskResult

from classifier.admin import keys, label_sets, uploads  # noqa: F401

# The rows behind batches: their pages say how far each has come, and nothing here is for people to change.
admin.site.unregister(DBTaskResult)
