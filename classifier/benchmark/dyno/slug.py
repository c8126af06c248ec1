"""The slug that a build leaves, and the Procfile in it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from classifier.benchmark.dyno.build import Build
from classifier.benchmark.dyno.table import MB, Table

SLUG_LIMIT = 500 * MB  # https://devcenter.heroku.com/articles/limits#slug-size
SLUG_LEVEL = 6  # of gzip


def measure(build: Build, table: Table) -> None:
    """The slug: everything in the build directory, compressed."""
    sizes = sorted(((tree_bytes(path), path) for path in parts(build)), reverse=True)
    for size, path in sizes[:8]:
        table.row(f"slug, unpacked: {path.relative_to(build.directory)}", f"{size / MB:6.0f} MB")
    table.row("slug, unpacked: everything", f"{tree_bytes(build.directory) / MB:6.0f} MB")
    started = time.monotonic()
    tar = subprocess.Popen(["tar", "-c", "--exclude=.git", "."], cwd=build.directory, stdout=subprocess.PIPE)
    gzip = subprocess.Popen(["gzip", f"-{SLUG_LEVEL}"], stdin=tar.stdout, stdout=subprocess.PIPE)
    slug = 0
    while piece := gzip.stdout.read(1 << 20):
        slug += len(piece)
    if tar.wait() or gzip.wait():
        raise SystemExit("The slug could not be packed.")
    table.row(
        "slug, compressed",
        f"{slug / MB:6.0f} MB of {SLUG_LIMIT / MB:.0f} ({time.monotonic() - started:.0f} s)",
        ok=slug <= SLUG_LIMIT,
    )


def parts(build: Build) -> Iterator[Path]:
    packages = next((build.python / "lib").glob("python3.*")) / "site-packages"
    yield from (path for path in packages.iterdir() if path.is_dir())
    yield from (path for path in build.directory.iterdir() if path.is_dir() and path.name != ".heroku")


def tree_bytes(path: Path) -> int:
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir() or each.is_symlink())


def procfile(process: str, root: Path) -> list[str]:
    """A line of the slug's Procfile, run by a shell as Heroku does."""
    for line in (root / "Procfile").read_text().splitlines():
        name, _, command = line.partition(":")
        if name == process:
            return ["/bin/bash", "-c", f"exec {command.strip()}"]
    raise LookupError(process)


def forget_cached(directory: Path) -> None:
    """Drop a tree's files from the page cache: a fresh dyno has read none of them, and pays for each that it reads."""
    os.sync()
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
