"""The classifier application."""

from django.apps import AppConfig


class ClassifierConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "classifier"

    def ready(self) -> None:
        from django.contrib import admin

        from . import checks, checks_search  # noqa: F401  (register the system checks)
        from .login import LimitedLoginForm

        admin.site.login_form = LimitedLoginForm
