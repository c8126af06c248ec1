"""Attacks on the application: on its memory, its tables, its login and its texts."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import urllib.parse

from classifier.benchmark.attack.clients import Attack, Seen
from classifier.benchmark.attack.surroundings import history
from classifier.benchmark.load import photos
from classifier.benchmark.server import Server, memory

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ZERO_SHOT = "/api/v1/zero-shot-image-classification"


def long_labels(server: Server) -> Seen:
    """Ask 110 times for a hundred labels of 1,000 letters, which are refused."""
    draw = random.Random(0)
    before, answers = memory(server.process.pid).pss, set()
    for _ in range(110):
        labels = ["".join(draw.choices(string.ascii_lowercase + " ", k=1000)) for _ in range(100)]
        answers.add(server.client().classify(photos()["coffee.png"], labels).status)
    grown = memory(server.process.pid).pss - before
    return Seen(answers <= {413, 422} and grown < 20, f"answered {sorted(answers)}; {grown:.0f} MB more memory")


def forged_forms(server: Server) -> Seen:
    """Post 200 forms with a token that somebody made up."""
    from django.contrib.sessions.models import Session

    before, token, answers = Session.objects.count(), "a" * 64, set()
    body = urllib.parse.urlencode({"csrfmiddlewaretoken": token}).encode()
    headers = {**FORM, "Cookie": f"csrftoken={token[:32]}"}
    for _ in range(200):
        answers.add(server.client().request("POST", "/", body, headers).status)
    kept = Session.objects.count() - before
    return Seen(kept == 0, f"answered {sorted(answers)}; {kept} sessions kept")


def guesses(server: Server) -> Seen:
    """Guess a password 60 times, each time from another address of one IPv6 network."""
    client, taken = server.client(), 0
    client.get("/admin/login/")
    for number in range(60):
        form = {
            "csrfmiddlewaretoken": client.cookies.get("csrftoken", ""),
            "username": "admin",
            "password": str(number),
        }
        headers = {**FORM, "X-Forwarded-For": f"2001:db8::{number + 1:x}"}
        answer = client.request("POST", "/admin/login/", urllib.parse.urlencode(form).encode(), headers)
        taken += "Too many attempts" not in answer.text
    return Seen(taken <= 30, f"{taken} of 60 tried")


def wrong_texts(server: Server) -> Seen:
    """NUL and halves of characters, wherever a visitor's text goes in."""
    picture, broken, answers = photos()["coffee.png"], set(), set()
    with history(server, 1) as client:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/").text).group(1)
        for bad in ("a\0b", "a\ud800b"):
            for name, sent in texts(bad, base64.b64encode(picture).decode(), token).items():
                answer = client.request(*sent)
                answers.add(answer.status)
                if answer.status >= 500 and "text-unsupported" not in answer.text:
                    broken.add(f"{name} ({answer.status})")
    return Seen(not broken, f"broken: {', '.join(sorted(broken))}" if broken else f"answered {sorted(answers)}")


def texts(bad: str, picture: str, token: str) -> dict[str, tuple]:
    """Requests by the place that such a text is sent to: method, path, body, headers."""
    raw = bad.encode("utf-8", "surrogatepass")
    quoted = urllib.parse.quote(raw)

    def asked(path: str) -> tuple:
        return "GET", path + quoted

    def zero_shot(labels: list[str], template: str) -> tuple:
        document = {"inputs": picture, "parameters": {"candidate_labels": labels, "hypothesis_template": template}}
        return "POST", ZERO_SHOT, json.dumps(document).encode(), JSON

    def form(path: str, **fields: str) -> tuple:
        pairs = urllib.parse.urlencode({"csrfmiddlewaretoken": token} | fields)
        return "POST", path, f"{pairs}&labels={quoted}%0Acat".encode(), FORM

    return {
        "labels": zero_shot([bad, "cat"], "a photo of a {}"),
        "template": zero_shot(["cat", "dog"], bad + " {}"),
        "form": form("/", example="coffee"),
        "login": form("/admin/login/", username="a\0b", password="x"),
        "filter": asked("/history/?label="),
        "search": asked("/history/search?q="),
        "API's search": asked("/api/v1/search?q="),
        "cursor": asked("/api/v1/uploads?before="),
        "page": asked("/history/?before="),
    }


ATTACKS = (
    Attack("110 times a hundred long labels", long_labels),
    Attack("200 forms with a made-up token", forged_forms),
    Attack("60 guesses from one IPv6 network", guesses, {"TRUSTED_PROXIES": "1"}),
    Attack("NUL and half characters", wrong_texts),
)
