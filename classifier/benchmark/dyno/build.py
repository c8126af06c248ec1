"""The build, by the steps of Heroku's Python buildpack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from classifier.benchmark.dyno.table import Table
from classifier.benchmark.server import ROOT

BUILD_LIMIT = 15 * 60  # seconds
PIP = "pip>=26,<27"


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
