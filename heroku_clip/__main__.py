"""The web server: `python -m heroku_clip` is `gunicorn heroku_clip.wsgi`, whose settings are in gunicorn.conf.py.

gunicorn reads WEB_CONCURRENCY before it reads those, and fails where it is empty, which counts as unset here.
"""

import os
import sys

if not os.environ.get("WEB_CONCURRENCY", "").strip():
    os.environ.pop("WEB_CONCURRENCY", None)

from gunicorn.app.wsgiapp import run

if __name__ == "__main__":
    sys.argv.append("heroku_clip.wsgi")
    sys.exit(run(prog="gunicorn"))
