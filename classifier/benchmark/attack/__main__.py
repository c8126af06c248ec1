"""Attack a server that is started for it, and print what held.

    script/attack [--foundation NAME] [--only TEXT]
    script/attack --beside NAME

Ends with status 1 where something did not hold. Takes DATABASE_URL where it is set, and fills that database with
made-up uploads; else a PostgreSQL of its own. script/attack sets CLIP_MODEL to the tests' tiny CLIP where it is unset.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time

from classifier.benchmark.attack import application, clients, surroundings
from classifier.benchmark.attack.foundations import FOUNDATIONS
from classifier.benchmark.attack.rates import compared
from classifier.benchmark.load import database, photos
from classifier.benchmark.server import Server

SERVER_ATTACKS = (*clients.ATTACKS, *surroundings.ATTACKS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/attack", description=__doc__.splitlines()[0])
    parser.add_argument("--foundation", choices=FOUNDATIONS, default="procfile", help="the server underneath")
    parser.add_argument("--only", default="", help="attacks with this in their name")
    parser.add_argument("--beside", choices=FOUNDATIONS, help="no attack: uploads on ours and on that server, in turns")
    options = parser.parse_args()
    lost = 0
    with database() as url:
        prepare(url)
        if options.beside:
            with Server(environment(url)) as ours, FOUNDATIONS[options.beside](environment(url)) as other:
                for server in (ours, other):
                    server.wait("/healthz")
                    warm(server)
                print(compared(ours, other))
            return 0
        own = options.foundation == "procfile"
        for attack in (*SERVER_ATTACKS, *application.ATTACKS) if own else SERVER_ATTACKS:
            if options.only in attack.name:
                seen = attacked(attack, FOUNDATIONS[options.foundation], url)
                lost += not seen.held
                print(f"{attack.name:36} {'held' if seen.held else 'LOST':6} {seen.what}", flush=True)
    return int(lost > 0)


def environment(url: str) -> dict[str, str]:
    return {
        "SECRET_KEY": "attack-only",
        "CLIP_MODEL": os.environ.get("CLIP_MODEL", "standin"),
        "DATABASE_URL": url,
        "RATE_LIMIT_PER_MINUTE": "0",
        "DATABASE_SECONDS": "10",  # as gunicorn.conf.py has it
    }


def prepare(url: str) -> None:
    """The database for the server, and for the attacks that look into it."""
    os.environ.update(environment(url), DJANGO_SETTINGS_MODULE="heroku_clip.settings", LOG_LEVEL="ERROR")
    import django

    django.setup()
    for command in (["migrate", "--verbosity", "0"], ["collectstatic", "--no-input", "--verbosity", "0"]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=Server({}).root, check=True)


def attacked(attack: clients.Attack, foundation: type[Server], url: str) -> clients.Seen:
    """One attack on a fresh server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections by itself, and never answers
        own = environment(url) | attack.environment
        if attack.database:
            own["DATABASE_URL"] = f"{url}{'&' if '?' in url else '?'}{attack.database}"
        if attack.run is surroundings.silent_database:
            own["DATABASE_URL"] = f"postgres://nobody@127.0.0.1:{silent.getsockname()[1]}/nothing"
        with foundation(own) as started:
            started.wait("/healthz")
            if attack.run is not surroundings.silent_database:
                warm(started)
            return attack.run(started)


def warm(started: Server) -> None:
    """Wait until pictures are classified; none is stored for it."""
    path, picture = "/api/v1/zero-shot-image-classification", photos()["coffee.png"]
    for _ in range(100):
        if started.client().request("POST", path, picture, {"Content-Type": "image/png"}).status in (200, 429):
            return
        time.sleep(0.2)
    raise RuntimeError(f"No picture is classified:\n{started.log[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
