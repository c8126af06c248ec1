"""Browsing for staff; importing this registers all of it with Django's admin."""

from classifier.admin import keys, label_sets, uploads  # noqa: F401
