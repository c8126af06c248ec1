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
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from classifier.benchmark.dyno.build import Build
from classifier.benchmark.dyno.cap import Cap
from classifier.benchmark.dyno.slug import measure
from classifier.benchmark.dyno.table import Table
from classifier.benchmark.dyno.web import release, web
from classifier.benchmark.load import database


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
            measure(build, table)
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
