#!/usr/bin/env python
"""Run administrative tasks."""

import os
import sys


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = (
        os.environ.get("DJANGO_SETTINGS_MODULE", "").strip() or "heroku_clip.settings"
    )
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit("Django is not installed here: run script/setup, then .venv/bin/python manage.py") from error
    from django.core.exceptions import ImproperlyConfigured

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # says what to do; a traceback adds nothing
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
