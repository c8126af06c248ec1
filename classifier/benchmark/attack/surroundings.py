"""What happens around a server: its database, its readers of much, its end; and how fast it is without all that."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.benchmark.attack.clients import Attack, Seen
from classifier.benchmark.attack.wire import answer_until_closed, attackers, head, send, watched
from classifier.benchmark.load import photos, upload_many
from classifier.benchmark.server import Client, Server


def upload_rows(owner: str, count: int) -> None:
    """So many uploads, each with its run and five predictions."""
    from django.db.models import OuterRef, Subquery
    from django.utils import timezone
    from PIL import Image

    from classifier.models import Classification, Prediction, Upload
    from classifier.pictures.reading import picture_to_jpeg

    jpeg = picture_to_jpeg(Image.new("RGB", (64, 48)))
    same = {"status": "done", "model": "ViT-B/32", "label_set": "imagenet", "created": timezone.now()}
    picture = {"format": "JPEG", "width": 640, "height": 480, "image": jpeg, "top_label": "cat", "top_score": 0.5}
    made = Upload.objects.bulk_create(Upload(owner=owner, name="a.jpg", **picture, **same) for _ in range(count))
    runs = Classification.objects.bulk_create(Classification(upload=each, precision="int8", **same) for each in made)
    Prediction.objects.bulk_create(
        Prediction(classification=run, rank=rank, label=f"cat {rank}", score=0.5**rank, similarity=0.3)
        for run in runs
        for rank in range(1, 6)
    )
    run = Classification.objects.filter(upload=OuterRef("pk")).values("pk")
    Upload.objects.filter(owner=owner).update(latest=Subquery(run[:1]))


@contextmanager
def history(server: Server, uploads: int) -> Iterator[Client]:
    """A visitor with so many made-up uploads."""
    from django.contrib.sessions.backends.db import SessionStore

    from classifier.models import Upload

    upload_rows("attack", uploads)
    session = SessionStore()
    session["owner"] = "attack"
    session.create()
    client = server.client(10)
    client.cookies["sessionid"] = session.session_key
    try:
        yield client
    finally:
        Upload.objects.filter(owner="attack").delete()


def export(server: Server) -> Seen:
    """Ask for an export on 24 connections, and read nothing."""
    with history(server, 6000) as client, attackers(server, 24, receive=4096) as socks:
        request = head("GET", "/history/export.json", Cookie=f"sessionid={client.cookies['sessionid']}")
        for sock in socks:
            send(sock, request)
        time.sleep(12)  # for the server to make them
        with watched(server) as watch:
            try:
                answered: object = client.get("/history/").status
            except OSError:
                answered = "not at all"
            time.sleep(2)
    return Seen(watch.held and answered == 200, f"{watch}; the history is answered {answered}")


def silent_database(server: Server) -> Seen:
    """The database takes connections and never answers. (The server is started on such a one.)"""
    began = time.monotonic()
    try:
        answered: object = server.get("/readyz", timeout=20).status
    except OSError:
        answered = "not"
    seconds = time.monotonic() - began
    with watched(server) as watch:
        time.sleep(1)
    return Seen(answered == 503 and watch.held, f"/readyz is answered {answered} in {seconds:.0f} s; {watch}")


def killed(server: Server) -> Seen:
    """Kill the process that answers."""
    worker = max(server.pids, key=lambda pid: int(Path(f"/proc/{pid}/statm").read_text().split()[1]))
    os.kill(worker, signal.SIGKILL)
    began = time.monotonic()
    time.sleep(0.3)
    while time.monotonic() - began < 15:
        if server.process.poll() is not None:
            return Seen(False, "the server is gone")
        try:
            if server.get("/healthz", timeout=2).status == 200:
                return Seen(True, f"another answers after {time.monotonic() - began:.1f} s")
        except OSError:
            time.sleep(0.1)
    return Seen(False, "nobody answers after 15 s")


def stopped(server: Server) -> Seen:
    """SIGTERM in the middle of an upload."""
    client = server.client()
    body, headers = client.form(photos()["coffee.png"])
    with server.connect() as sock:
        send(sock, client.head(body, headers) + body[: len(body) // 2])
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        send(sock, body[len(body) // 2 :])
        answer, _ = answer_until_closed(sock, 10)
    status = server.stop(timeout=35)
    answered = answer[9:12].decode() or "not"
    return Seen(answered == "302" and status == 0, f"an upload under way is answered {answered}; status {status}")


def rate(server: Server) -> Seen:
    """No attack: how many uploads a second 8 visitors get."""
    result = upload_many(server, list(photos().values()), clients=8, uploads=160)
    others = {name: count for name, count in result.answers.items() if name != 302}
    return Seen(
        not others, f"{result.rate:.1f} uploads a second from 8 clients; {result.peak.pss:.0f} MB" + str(others or "")
    )


ATTACKS = (
    Attack("24 slow readers of an export", export),
    Attack("a database that never answers", silent_database),
    Attack("kill -9", killed),
    Attack("SIGTERM", stopped),
    Attack("(uploads a second)", rate),
)
