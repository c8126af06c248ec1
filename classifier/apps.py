"""The classifier application."""

from django.apps import AppConfig


class ClassifierConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "classifier"

    def ready(self) -> None:
        from django.contrib import admin

        from classifier import checks  # noqa: F401  (register the system checks)
        from classifier.admin.login import LimitedLoginForm

        admin.site.login_form = LimitedLoginForm
