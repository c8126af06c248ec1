"""A deploy to Heroku, rehearsed without Heroku: the build, the slug, the release and a web dyno of 512 MB.

    script/dyno [--checkpoint FILE] [--uploads 500] [--clients 8] [--keep DIRECTORY] [--reuse]

The build runs the steps of Heroku's Python buildpack in its order and with the variables that it passes; where they
come from is said beside each. The dyno runs under a memory cap of the kernel's (a cgroup) where this machine lets us
make one. Prints a table, and ends with status 1 where a limit is passed.
https://github.com/heroku/heroku-buildpack-python/blob/main/bin/compile
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from classifier.benchmark.load import database, large_jpeg, large_png, photos, upload_many
from classifier.benchmark.server import ROOT, Memory, Server, memory
from classifier.capacity.limits import pixel_limits

MB = 1_000_000
SLUG_LIMIT = 500 * MB  # https://devcenter.heroku.com/articles/limits#slug-size
BUILD_LIMIT = 15 * 60  # seconds
BIND_LIMIT = 60  # seconds, https://devcenter.heroku.com/articles/limits#boot-timeout
MEMORY_LIMIT = 512 * MB  # beyond it Heroku logs R14 and swaps
PIP = "pip>=26,<27"
SLUG_LEVEL = 6  # of gzip


class Table:
    """Rows as they come, and whether a limit was passed."""

    def __init__(self) -> None:
        self.failed = False

    def row(self, name: str, value: str, ok: bool = True) -> None:
        self.failed |= not ok
        print(f"{name:46} {value}{'' if ok else '   <-- TOO MUCH'}", flush=True)

    def head(self, name: str) -> None:
        print(f"\n{name}", flush=True)


# --- The build ---------------------------------------------------------------------------------------------------


class Build:
    """A build directory, the cache that lasts between builds, and Python inside as the buildpack puts it."""

    def __init__(self, scratch: Path, config: dict[str, str], table: Table) -> None:
        self.directory, self.cache = scratch / "app", scratch / "cache"
        self.config = config  # what `heroku config` would show
        self.table = table
        self.python = self.directory / ".heroku" / "python"
        self.seconds = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """What bin/post_compile sees, after the buildpack's own test (spec/hatchet/hooks_spec.rb)."""
        return {
            "BUILD_DIR": str(self.directory),
            "CACHE_DIR": str(self.cache),
            "ENV_DIR": "/nonexistent",
            "C_INCLUDE_PATH": f"{self.python}/include",
            "CPLUS_INCLUDE_PATH": f"{self.python}/include",
            "HOME": str(self.directory),
            "LANG": "en_US.UTF-8",
            "LD_LIBRARY_PATH": f"{self.python}/lib",
            "LIBRARY_PATH": f"{self.python}/lib",
            "PATH": f"{self.python}/bin:/usr/local/bin:/usr/bin:/bin",
            "PKG_CONFIG_PATH": f"{self.python}/lib/pkg-config",
            "PYTHONUNBUFFERED": "1",
            "SOURCE_VERSION": "0123456789abcdef0123456789abcdef01234567",
            "STACK": "heroku-24",
            # Not Heroku's: where this machine looks for packages, and no waiting for an index that it cannot reach.
            "PIP_RETRIES": "1",
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }

    def step(self, name: str, command: list[str], with_config: bool = True) -> None:
        started = time.monotonic()
        environment = self.environment | (self.config if with_config else {})
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        took = time.monotonic() - started
        self.seconds += took
        self.table.row(name, f"{took:6.1f} s", ok=done.returncode == 0)
        if done.returncode:
            print(done.stdout[-4000:])
            raise SystemExit(f"The build failed at: {name}")

    def run(self) -> None:
        self.directory.mkdir(parents=True)
        self.cache.mkdir(exist_ok=True)
        source = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], input=source, cwd=self.directory, check=True)
        ignored = (self.directory / ".slugignore").read_text().split()
        for path in ignored:  # Heroku removes these before the buildpack runs
            target = self.directory / path.lstrip("/")
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        restored = self.cache_restore()
        if not restored:
            self.python_install()
        pip_options = ["--disable-pip-version-check", "--no-cache-dir", "--no-input"]
        self.step(
            "build: pip itself",
            [
                str(self.python / "bin/python"),
                "-m",
                "pip",
                "install",
                *pip_options,
                "--quiet",
                PIP,
                "setuptools",
                "wheel",
            ],
            with_config=False,
        )
        self.step(
            "build: pip install -r requirements.txt",
            [
                *("pip", "install", "-r", "requirements.txt", *pip_options, "--exists-action=w"),
                *("--progress-bar", "off", f"--src={self.python}/src"),
            ],
            with_config=False,
        )
        self.step("build: collectstatic", ["python", "manage.py", "collectstatic", "--noinput", "--traceback"])
        self.step("build: bin/post_compile", ["bin/post_compile"])
        self.cache_save()
        self.table.row("build: all steps", f"{self.seconds:6.1f} s", ok=self.seconds <= BUILD_LIMIT)

    def cache_restore(self) -> bool:
        """Take Python and the packages from the build before, as the buildpack does where nothing has changed."""
        kept = self.cache / ".heroku"
        if not (kept / "python").is_dir():
            return False
        same = (kept / "requirements.txt").read_bytes() == (self.directory / "requirements.txt").read_bytes()
        if same:
            self.python.parent.mkdir(parents=True)
            shutil.move(kept / "python", self.python)
        else:
            shutil.rmtree(kept)
        return same

    def cache_save(self) -> None:
        kept = self.cache / ".heroku"
        kept.mkdir(exist_ok=True)
        shutil.copytree(self.python, kept / "python", symlinks=True)
        shutil.copy(self.directory / "requirements.txt", kept)

    def python_install(self) -> None:
        """Stands for the buildpack's download of Python: this machine's, without its packages and tests."""
        shutil.copytree(
            Path(sys.base_prefix),
            self.python,
            symlinks=True,
            ignore=shutil.ignore_patterns("site-packages", "test", "__pycache__", "share", "*.a", "idlelib", "tkinter"),
        )
        library = next((self.python / "lib").glob("python3.*"))
        (library / "site-packages").mkdir(exist_ok=True)
        self.step("build: Python (this machine's)", [str(self.python / "bin/python"), "-m", "ensurepip"], False)

    def measure(self) -> None:
        """The slug: everything in the build directory, compressed."""
        sizes = sorted(((tree_bytes(path), path) for path in self.parts()), reverse=True)
        for size, path in sizes[:8]:
            self.table.row(f"slug, unpacked: {path.relative_to(self.directory)}", f"{size / MB:6.0f} MB")
        self.table.row("slug, unpacked: everything", f"{tree_bytes(self.directory) / MB:6.0f} MB")
        started = time.monotonic()
        tar = subprocess.Popen(["tar", "-c", "--exclude=.git", "."], cwd=self.directory, stdout=subprocess.PIPE)
        gzip = subprocess.Popen(["gzip", f"-{SLUG_LEVEL}"], stdin=tar.stdout, stdout=subprocess.PIPE)
        slug = 0
        while piece := gzip.stdout.read(1 << 20):
            slug += len(piece)
        if tar.wait() or gzip.wait():
            raise SystemExit("The slug could not be packed.")
        self.table.row(
            "slug, compressed",
            f"{slug / MB:6.0f} MB of {SLUG_LIMIT / MB:.0f} ({time.monotonic() - started:.0f} s)",
            ok=slug <= SLUG_LIMIT,
        )

    def parts(self) -> Iterator[Path]:
        packages = next((self.python / "lib").glob("python3.*")) / "site-packages"
        yield from (path for path in packages.iterdir() if path.is_dir())
        yield from (path for path in self.directory.iterdir() if path.is_dir() and path.name != ".heroku")


def tree_bytes(path: Path) -> int:
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir() or each.is_symlink())


# --- The memory cap ----------------------------------------------------------------------------------------------


class Cap:
    """512 MB by a cgroup, version 1 or 2; or none, which is said."""

    def __init__(self) -> None:
        self.kind, self.path = "none: no cgroup can be made here (not root?), so memory is measured only", None
        name = f"clip-dyno-{os.getpid()}"
        for kind, root, limit in (
            ("cgroup v1", Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            ("cgroup v2", Path("/sys/fs/cgroup"), "memory.max"),
        ):
            try:
                (root / name).mkdir()
                (root / name / limit).write_text(str(MEMORY_LIMIT))
            except OSError:
                with contextlib.suppress(OSError):
                    (root / name).rmdir()
                continue
            self.kind, self.path = kind, root / name
            if kind == "cgroup v2":
                with contextlib.suppress(OSError):
                    (self.path / "memory.swap.max").write_text("0")
            return

    def prefix(self) -> list[str]:
        """Put before a command, it runs it under the cap."""
        if self.path is None:
            return []
        return ["/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "dyno"]

    def figure(self, *names: str) -> int:
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                return int((self.path / name).read_text())
        return -1

    def statistics(self) -> dict[str, int]:
        pairs = (line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return {name: int(value) for name, value, *_ in pairs}

    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                for line in (self.path / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return 0

    def describe(self, when: str, table: Table, server: Server) -> Memory:
        now = memory(server.process.pid)
        value = f"{now.pss / 1:4.0f} MB PSS, {now.anonymous:4.0f} MB anonymous, {now.swap:.0f} MB swap"
        if self.path is not None:
            found = self.statistics()
            value += f", {found.get('cache', found.get('file', 0)) / MB:.0f} MB page cache"
        table.row(f"dyno: memory {when}", value)
        return now

    def remove(self) -> None:
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.rmdir()


def forget_cached(directory: Path) -> None:
    """Drop a tree's files from the page cache: a fresh dyno has read none of them, and pays for each that it reads."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


# --- The dyno ----------------------------------------------------------------------------------------------------


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


def procfile(process: str, root: Path) -> list[str]:
    """A line of the slug's Procfile, run by a shell as Heroku does."""
    for line in (root / "Procfile").read_text().splitlines():
        name, _, command = line.partition(":")
        if name == process:
            return ["/bin/bash", "-c", f"exec {command.strip()}"]
    raise LookupError(process)


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
    largest = pixel_limits(50_000_000)["PNG"] / 1e6 - 0.1  # megapixels
    pictures[3], pictures[11], pictures[19] = large_jpeg(), large_png(largest), large_jpeg()
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
        peak = result.peak
        table.row(
            "dyno: memory at peak",
            f"{peak.pss:4.0f} MB PSS, {peak.anonymous:4.0f} MB anonymous, {peak.swap:.0f} MB swap",
            ok=peak.pss <= MEMORY_LIMIT / MB,
        )
        if cap.path is not None:
            most = cap.figure("memory.max_usage_in_bytes", "memory.peak")
            table.row("dyno: cgroup, highest with page cache", f"{most / MB:4.0f} MB of {MEMORY_LIMIT / MB:.0f}")
            table.row("dyno: killed for want of memory", f"{cap.kills():4d}", ok=cap.kills() == 0)
        table.row("dyno: workers replaced", f"{len(set(workers) - set(dyno.workers)):4d}", ok=dyno.workers == workers)
        table.row("dyno: stopped with status", f"{dyno.stop()}", ok=dyno.process.returncode == 0)
        if table.failed:
            print(dyno.log[-3000:])


# --- All of it ---------------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/dyno", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a CLIP checkpoint that stands for the download")
    parser.add_argument("--uploads", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--keep", type=Path, help="build here and leave it; with its cache for the next build")
    parser.add_argument("--reuse", action="store_true", help="take the build that --keep left")
    return parser.parse_args()


def main() -> int:
    options, table = arguments(), Table()
    config = {"SECRET_KEY": secrets.token_urlsafe(48), "CLIP_MODEL": "ViT-B/32"}
    if options.checkpoint:
        config["CLIP_MODEL"] = str(options.checkpoint.resolve())
    with contextlib.ExitStack() as stack:
        scratch = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dyno-")))
        scratch = scratch.resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        build = Build(scratch, config, table)
        if not options.reuse:
            if build.directory.exists():
                shutil.rmtree(build.directory)
            table.head("Build")
            build.run()
            table.head("Slug")
            build.measure()
        config["DATABASE_URL"] = stack.enter_context(database())
        cap = Cap()
        stack.callback(cap.remove)
        table.head(f"Dyno (memory cap: {cap.kind})")
        release(build, cap, table)
        web(build, cap, table, options.uploads, options.clients)
    print("\nA limit was passed." if table.failed else "\nEverything is within its limits.")
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())
