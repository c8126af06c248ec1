"""Attacks on the server itself: on its threads, its connections, its memory and its idea of where a request ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..load import photos, upload_many
from ..server import ROOT, Client, Server, memory
from .wire import ATTACKER, answer_until_closed, attackers, head, is_open, send, watched

UPLOADS = "/api/v1/uploads"


@dataclass(frozen=True)
class Seen:
    held: bool
    what: str


@dataclass(frozen=True)
class Attack:
    name: str
    run: Callable[[Server], Seen]
    environment: dict[str, str] = field(default_factory=dict)  # of the server that is attacked


def static_file() -> str:
    """The path of the largest file that anybody may ask for."""
    folder = ROOT / "staticfiles"
    names = json.loads((folder / "staticfiles.json").read_text())["paths"].values()
    return "/static/" + max(names, key=lambda name: (folder / name).stat().st_size)


def upload(server: Server) -> str:
    """What another visitor sees meanwhile."""
    try:
        answer = server.client(10).upload(photos()["coffee.png"])
    except (OSError, AttributeError):
        return "an upload fails"
    return (
        f"an upload takes {answer.seconds:.1f} s" if answer.status == 302 else f"an upload is answered {answer.status}"
    )


def readers(server: Server) -> Seen:
    """Ask twenty times for a large file on each of 48 connections, more than the kernel buffers, and read nothing."""
    request = head("GET", static_file())
    with attackers(server, 48, receive=4096) as socks:
        for sock in socks:
            send(sock, request * 20)
        time.sleep(1)
        with watched(server) as watch:
            sent = upload(server)
            time.sleep(8)
    return Seen(watch.held and "takes" in sent, f"{watch}; {sent}")


def silence(server: Server) -> Seen:
    """Begin 520 large uploads, and say nothing more."""
    before = memory(server.process.pid).pss
    started = head("POST", UPLOADS, Content_Length=20_000_000, Content_Type="multipart/form-data; boundary=x")
    with attackers(server, 520) as socks, watched(server) as watch:
        for sock in socks:
            sock.settimeout(0.5)
            send(sock, started + bytes(256 * 1024))
        grown = memory(server.process.pid).pss - before
        began, left = time.monotonic(), len(socks)
        while left and time.monotonic() - began < 30:
            time.sleep(1)
            left = sum(map(is_open, socks))
        grown = max(grown, memory(server.process.pid).pss - before)
    freed = f"{left} places held after 30 s" if left else f"all places free after {time.monotonic() - began:.0f} s"
    return Seen(watch.held and not left and grown < 32, f"{watch}; {freed}; {grown:.0f} MB more memory")


def trickle(server: Server) -> Seen:
    """Send 72 uploads a byte at a time."""
    client = server.client()
    body, headers = client.form(photos()["coffee.png"])
    stop = threading.Event()
    with attackers(server, 72) as socks:
        for sock in socks:
            send(sock, client.head(body, headers) + body[:100])

        def drip() -> None:
            while not stop.wait(0.1):
                for sock in socks:
                    send(sock, b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with watched(server) as watch:
                time.sleep(2)
                sent = upload(server)
                time.sleep(4)
        finally:
            stop.set()
            thread.join()
    return Seen(watch.held and "takes" in sent, f"{watch}; {sent}")


def junk(server: Server) -> Seen:
    """Go on sending, slowly, after an upload was refused as too large."""
    with attackers(server, 8) as socks:
        for sock in socks:
            send(sock, head("POST", "/", Content_Length=100_000_000, Content_Type="multipart/form-data; boundary=x"))
        began = time.monotonic()
        held = 0.0
        while socks and held < 45:
            socks = [sock for sock in socks if send(sock, bytes(1024))]
            time.sleep(0.5)
            held = time.monotonic() - began
    return Seen(held < 40, f"a place is held for {held:.0f} s" + (" and longer" if socks else ""))


def large_heads(server: Server) -> Seen:
    """Send heads of 30 kB, of which every line is sound, on eight connections for five seconds."""
    lines = "".join(f"X-{number}: {'a' * 300}\r\n" for number in range(95))
    request = f"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode()
    end, asked = time.monotonic() + 5, Counter()

    def ask() -> None:
        while time.monotonic() < end:
            with attackers(server, 1) as socks:
                for sock in socks:
                    send(sock, request)
                    answer, _ = answer_until_closed(sock, 0.2)
                    asked[answer[9:12].decode() or "nothing"] += 1

    threads = [threading.Thread(target=ask) for _ in range(8)]
    with watched(server) as watch:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Seen(watch.held, f"{watch}; {sum(asked.values())} heads, answered {', '.join(sorted(asked))}")


def upload_rows(owner: str, count: int) -> None:
    """So many uploads, each with its run and five predictions."""
    from django.db.models import OuterRef, Subquery
    from django.utils import timezone

    from classifier.models import Classification, Prediction, Upload

    same = {"status": "done", "model": "ViT-B/32", "label_set": "imagenet", "created": timezone.now()}
    picture = {"format": "JPEG", "width": 640, "height": 480, "image": b"jpeg", "top_label": "cat", "top_score": 0.5}
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


def refusals(server: Server) -> Seen:
    """Send 150 kB again and again on one connection, as `requests.Session` does, where pictures are refused."""
    client, seen = server.client(), Counter()
    body, headers = client.form(os.urandom(150_000))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10, source_address=(ATTACKER, 0))
    for number in range(200):
        large = number % 50 == 49  # more than is taken
        kept = connection.sock is not None
        try:
            connection.request("POST", UPLOADS, bytes(29_000_000) if large else body, headers)
            answer = connection.getresponse()
            answer.read()
            seen[str(answer.status)] += 1
        except (OSError, http.client.HTTPException) as error:
            seen[type(error).__name__ + (" on a kept connection" if kept else "")] += 1
            connection.close()
    connection.close()
    broken = sum(count for name, count in seen.items() if not name.isdigit())
    return Seen(not broken, ", ".join(f"{count} × {name}" for name, count in sorted(seen.items())))


SMUGGLED = head("GET", "/smuggled")
SMUGGLERS = {
    "19 digits": b"Content-Length: 1000000000000000000\r\n",
    "5,000 digits": b"Content-Length: " + b"9" * 5000 + b"\r\n",
    "a sign": b"Content-Length: +60\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 60\r\n",
    "a length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "chunks in disguise": b"Transfer-Encoding: xchunked\r\n",
    "a space before the colon": b"Content-Length : 60\r\n",
}


def smuggling(server: Server) -> Seen:
    """Lie about a body's length, and hide a request in it."""
    taken = []
    for name, lie in SMUGGLERS.items():
        with attackers(server, 1) as socks:
            send(socks[0], b"POST / HTTP/1.1\r\nHost: localhost\r\n" + lie + b"\r\n" + SMUGGLED)
            answer, closed = answer_until_closed(socks[0], 3)
        answers = re.findall(rb"HTTP/1\.1 (\d)\d\d ", answer)
        if answers != [b"4"] and answers != [b"5"]:
            taken.append(f"{name}: {len(answers)} answers")
        elif not closed:
            taken.append(f"{name}: left open")
    return Seen(not taken, "; ".join(taken) or f"{len(SMUGGLERS)} of {len(SMUGGLERS)} refused and closed")


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
    Attack("48 readers that never read", readers),
    Attack("520 uploads that fall silent", silence),
    Attack("72 uploads that trickle", trickle),
    Attack("junk after a refusal", junk),
    Attack("heads of 30 kB", large_heads),
    Attack("24 slow readers of an export", export),
    Attack("a database that never answers", silent_database),
    Attack("200 refusals on a kept connection", refusals, {"RATE_LIMIT_PER_MINUTE": "1"}),
    Attack("a request hidden in a body", smuggling),
    Attack("kill -9", killed),
    Attack("SIGTERM", stopped),
    Attack("(uploads a second)", rate),
)
