"""The web server: `python -m heroku_clip` is `gunicorn heroku_clip.wsgi`, whose settings are in gunicorn.conf.py.

gunicorn reads WEB_CONCURRENCY before it reads those, and fails where it is no number, or empty, which counts as unset
here.
"""

import os
import sys


def concurrency_check() -> None:
    value = os.environ.get("WEB_CONCURRENCY", "").strip()
    if not value:
        os.environ.pop("WEB_CONCURRENCY", None)
    elif not value.isdecimal():
        sys.exit(f"WEB_CONCURRENCY is {value!r}; it must be a whole number, 1 or more.")


if __name__ == "__main__":
    concurrency_check()
    from gunicorn.app.wsgiapp import run

    sys.argv.append("heroku_clip.wsgi")
    sys.exit(run(prog="gunicorn"))
