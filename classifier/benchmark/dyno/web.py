"""The release and a web dyno that visitors come to."""

from __future__ import annotations

import subprocess
import time

from classifier.benchmark.dyno.build import Build
from classifier.benchmark.dyno.cap import MEMORY_LIMIT, Cap
from classifier.benchmark.dyno.slug import forget_cached, procfile
from classifier.benchmark.dyno.table import MB, Table
from classifier.benchmark.load import everything_at_once, large_jpeg, largest_png, photos, upload_many
from classifier.benchmark.server import Memory, Server

BIND_LIMIT = 60  # seconds, https://devcenter.heroku.com/articles/limits#boot-timeout


def dyno_environment(build: Build, dyno: str) -> dict[str, str]:
    """What a process on a dyno sees: config vars and the buildpack's .profile.d (spec/hatchet, print-env-vars)."""
    return {
        "DYNO": dyno,
        "DYNO_RAM": "512",
        "FORWARDED_ALLOW_IPS": "*",
        "GUNICORN_CMD_ARGS": "--access-logfile -",
        "HOME": str(build.directory),
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": f"{build.python}/lib",
        "LIBRARY_PATH": f"{build.python}/lib",
        "PATH": f"{build.python}/bin:/usr/local/bin:/usr/bin:/bin",
        "PYTHONHOME": str(build.python),
        "PYTHONPATH": str(build.directory),
        "PYTHONUNBUFFERED": "true",
        "WEB_CONCURRENCY": "2",
        "WEB_CONCURRENCY_SET_BY": "heroku/python",
        **build.config,
    }


class Dyno(Server):
    """The slug's own gunicorn, with nothing of this process's environment."""

    def __init__(self, build: Build, cap: Cap) -> None:
        super().__init__({}, root=build.directory)
        self.environment = {
            **dyno_environment(build, "web.1"),
            "PORT": str(self.port),
            "RATE_LIMIT_PER_MINUTE": "0",  # the visitors all come from one address
        }
        self.cap = cap

    def command(self) -> list[str]:
        return [*self.cap.prefix(), *procfile("web", self.root)]


def release(build: Build, cap: Cap, table: Table) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [*cap.prefix(), *procfile("release", build.directory)],
        cwd=build.directory,
        env=dyno_environment(build, "release.1"),
        capture_output=True,
        text=True,
    )
    table.row("release: migrate", f"{time.monotonic() - started:6.1f} s", ok=done.returncode == 0)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


def web(build: Build, cap: Cap, table: Table, uploads: int, clients: int) -> None:
    pictures = list(photos().values()) * 5
    forget_cached(build.directory)
    with Dyno(build, cap) as dyno:
        bound = dyno.wait("/healthz", timeout=BIND_LIMIT)
        table.row("dyno: start to port bound", f"{bound:6.1f} s", ok=bound <= BIND_LIMIT)
        table.row("dyno: start to /readyz", f"{dyno.wait(timeout=120):6.1f} s")
        cap.describe("idle", table, dyno)
        first = dyno.client().upload(pictures[0])
        table.row("dyno: first upload", f"{1000 * first.seconds:6.0f} ms", ok=first.status == 302)
        cap.describe("after one upload", table, dyno)
        workers = dyno.workers
        pictures[3], pictures[11], pictures[19] = large_jpeg(), largest_png(dyno), large_jpeg()
        result = upload_many(dyno, pictures, clients=clients, uploads=uploads, patient=True)
        good = set(result.answers) <= {302, 429, 503}
        table.row(f"dyno: {uploads} uploads from {clients} clients", f"{dict(result.answers)}", ok=good)
        table.row("dyno: uploads per second", f"{result.rate:6.1f}")
        table.row(
            "dyno: p50, p95, slowest",
            f"{1000 * result.percentile(50):.0f} ms, {1000 * result.percentile(95):.0f} ms, "
            f"{1000 * result.slowest:.0f} ms",
            ok=result.slowest < 30,
        )
        cap.describe("afterwards", table, dyno)
        memory_row("at peak", result.peak, table)
        answers, peak = everything_at_once(dyno)
        good = set(answers) <= {201, 302, 429, 503}
        table.row("dyno: new labels and the largest pictures at once", f"{dict(answers)}", ok=good)
        memory_row("at peak of that", peak, table)
        if cap.path is not None:
            most = cap.figure("memory.max_usage_in_bytes", "memory.peak")
            table.row("dyno: cgroup, highest with page cache", f"{most / MB:4.0f} MB of {MEMORY_LIMIT / MB:.0f}")
            table.row("dyno: killed for want of memory", f"{cap.kills():4d}", ok=cap.kills() == 0)
        table.row("dyno: workers replaced", f"{len(set(workers) - set(dyno.workers)):4d}", ok=dyno.workers == workers)
        table.row("dyno: stopped with status", f"{dyno.stop()}", ok=dyno.process.returncode == 0)
        if table.failed:
            print(dyno.log[-3000:])


def memory_row(when: str, peak: Memory, table: Table) -> None:
    table.row(
        f"dyno: memory {when}",
        f"{peak.pss:4.0f} MB PSS, {peak.anonymous:4.0f} MB anonymous, {peak.swap:.0f} MB swap",
        ok=peak.pss <= MEMORY_LIMIT / MB,
    )
