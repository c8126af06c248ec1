"""Fetching a checkpoint: resumed where it stopped, hashed while it streams, put in place when it is right."""

from __future__ import annotations

import hashlib
import http.client
import io
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from classifier.engine.checkpoint import CHUNK, MODELS, Progress
from classifier.errors import DownloadError

TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 3  # in a row that bring nothing new
SCHEMES = ("http://", "https://", "file://")
CUT = (OSError, http.client.HTTPException)  # URLError and timeouts are OSErrors


def checkpoint_download(name: str, directory: Path, base_url: str, progress: Progress | None = None) -> Path:
    """Fetch OpenAI's file for `name` into `directory` and return its path. Raises DownloadError.

    What was fetched before a cut stays beside the target as `.part`, and the next call goes on from there.
    """
    sha256, file_name = MODELS[name]
    target, part = directory / file_name, directory / f"{file_name}.part"
    url = f"{base_url.rstrip('/')}/{sha256}/{file_name}"
    if not url.startswith(SCHEMES):
        raise DownloadError(f"CLIP_WEIGHTS_URL must begin with http://, https:// or file://, not {base_url!r}.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{directory} cannot be made: {error.strerror}.") from error
    found = fetch(url, part, progress)
    if found != sha256:
        part.unlink(missing_ok=True)
        raise DownloadError(f"What {url} sent is not OpenAI's file: its SHA-256 is {found}. It was thrown away.")
    part.replace(target)
    return target


def fetch(url: str, part: Path, progress: Progress | None) -> str:
    """Append to `part` until it is complete, over as many connections as it takes; return its SHA-256."""
    barren = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return fetch_once(url, part, progress)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is longer than the file: not ours
                part.unlink(missing_ok=True)
            elif error.code < 500:
                raise DownloadError(f"{url} answered {error.code} {error.reason}.") from error
            reason: Exception = error
        except CUT as error:
            if isinstance(error, OSError) and error.filename:  # the disk, not the network
                raise DownloadError(f"{part} could not be written: {error.strerror}.") from error
            reason = error
        after = part.stat().st_size if part.exists() else 0
        barren = 0 if after > before else barren + 1
        if barren == ATTEMPTS:
            kept = f" {after >> 20} MB are kept; run manage.py prepare_model again to go on." if after else ""
            raise DownloadError(f"{url} could not be fetched: {getattr(reason, 'reason', reason)}.{kept}") from reason
        time.sleep(barren)  # seconds


def fetch_once(url: str, part: Path, progress: Progress | None) -> str:
    """One connection. Raises what urllib raises, ConnectionError where the answer ends early."""
    digest, done = hashlib.sha256(), 0
    if part.exists():
        with part.open("rb") as file:
            digest, done = hashlib.file_digest(file, "sha256"), file.tell()
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        if done and answer.status != 206:  # the server sends it all again; file:// has no status
            digest, done = hashlib.sha256(), 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else 0
        check_space(part, total - done)
        with part.open("ab" if done else "wb", buffering=0) as file:
            while chunk := answer.read(CHUNK):
                named_write(file, chunk, part)
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    progress("downloading", done, total)
    if total and done < total:
        raise ConnectionError("the connection was cut")
    return digest.hexdigest()


def named_write(file: io.FileIO, chunk: bytes, path: Path) -> None:
    """Write, naming the file in what is raised, so that the disk's errors can be told from the network's."""
    try:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_space(path: Path, needed: int) -> None:
    """Fail before writing what cannot fit."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(28, f"{needed >> 20} MB are needed and {free >> 20} MB are free", str(path))
