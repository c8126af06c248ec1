"""What clients do to a server: to its threads, its connections, its memory and its idea of where a request ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from classifier.benchmark.attack.wire import ATTACKER, answer_until_closed, attackers, head, is_open, send, watched
from classifier.benchmark.load import photos
from classifier.benchmark.server import ROOT, Server, memory

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
    database: str = ""  # what is added to its database's address


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
    """Lie about a body's length, hide a request in it, and send it once more when the answer has come."""
    taken = []
    for name, lie in SMUGGLERS.items():
        with attackers(server, 1) as socks:
            send(socks[0], b"POST / HTTP/1.1\r\nHost: localhost\r\n" + lie + b"\r\n" + SMUGGLED)
            time.sleep(0.5)
            send(socks[0], SMUGGLED)
            answer, _ = answer_until_closed(socks[0], 2)
        answers = re.findall(rb"HTTP/1\.1 (\d)\d\d ", answer)
        if len(answers) > 1 or answers[:1] not in ([], [b"4"], [b"5"]):
            taken.append(f"{name}: {len(answers)} answers")
    return Seen(not taken, "; ".join(taken) or f"none of {len(SMUGGLERS)} is answered twice")


ATTACKS = (
    Attack("48 readers that never read", readers),
    Attack("520 uploads that fall silent", silence),
    Attack("72 uploads that trickle", trickle),
    Attack("junk after a refusal", junk),
    Attack("heads of 30 kB", large_heads),
    Attack("200 refusals on a kept connection", refusals, {"RATE_LIMIT_PER_MINUTE": "1"}),
    Attack("a request hidden in a body", smuggling),
)
