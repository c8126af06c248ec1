"""Many more visitors than can be served, on a server of this machine's own: what they got, and whether it held.

    script/load [--clients 64] [--seconds 60]

Ends with status 1 where a worker died, a request hung or was answered with anything but success, 429 or 503, an upload
that was answered is not in the database, or a run was left half done.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import psycopg2

from classifier.benchmark.load import database, photos, upload_many
from classifier.benchmark.server import Server, memory

PATIENCE = 30  # seconds; Heroku's router gives up then


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/load", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with database() as url:
        server = Server({"SECRET_KEY": os.environ.get("SECRET_KEY", "load-only"), "DATABASE_URL": url})
        for command in (["migrate", "--verbosity", "0"], ["collectstatic", "--no-input", "--verbosity", "0"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=server.root, env=server.environment, check=True)
        with server:
            server.wait()
            server.client().upload(photos()["coffee.png"])
            before, workers = memory(server.process.pid), server.workers
            result = upload_many(server, list(photos().values()), clients=options.clients, seconds=options.seconds)
            died = workers != server.workers
            after = memory(server.process.pid)
            lost, halves, sessions = stored(url, result.stored)
    print(f"{options.clients} clients for {result.took:.0f} s: {dict(result.answers)}")
    print(f"uploads per second     {result.rate:.1f}")
    print(f"p50, p95 of uploads    {1000 * result.percentile(50):.0f} ms, {1000 * result.percentile(95):.0f} ms")
    print(f"slowest answer         {result.slowest:.1f} s")
    print(f"memory, PSS            {before.pss:.0f} MB before, {result.peak.pss:.0f} at peak, {after.pss:.0f} after")
    print(f"workers that died      {int(died)}")
    print(f"answered and not found {lost}")
    print(f"half runs              {halves}")
    print(f"database sessions      {sessions}")
    good = set(result.answers) <= {302, 429, 503} and result.slowest < PATIENCE
    return int(died or lost > 0 or halves > 0 or not good)


def stored(url: str, addresses: list[str]) -> tuple[int, int, int]:
    """How many results that were answered are not in the database; runs without all predictions; sessions."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM classifier_upload WHERE status = 'done'")
            found = {f"/uploads/{row[0]}/" for row in cursor.fetchall()}
            cursor.execute(
                "SELECT count(*) FROM classifier_classification c WHERE status <> 'done' OR 5 <> "
                "(SELECT count(*) FROM classifier_prediction p WHERE p.classification_id = c.id)"
            )
            ((halves,),) = cursor.fetchall()
            cursor.execute("SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()")
            ((sessions,),) = cursor.fetchall()
    finally:
        connection.close()
    return len(set(addresses) - found), halves, sessions


if __name__ == "__main__":
    sys.exit(main())
