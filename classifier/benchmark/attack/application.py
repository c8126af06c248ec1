"""Attacks on the application: on its memory, its tables, its login and its texts."""

from __future__ import annotations

import json
import random
import string
import urllib.parse

from classifier.benchmark.attack.clients import Attack, Seen
from classifier.benchmark.load import photos
from classifier.benchmark.server import Server, memory

JSON = {"Content-Type": "application/json"}
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
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"csrftoken={token[:32]}"}
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
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Forwarded-For": f"2001:db8::{number + 1:x}",
        }
        answer = client.request("POST", "/admin/login/", urllib.parse.urlencode(form).encode(), headers)
        taken += "Too many attempts" not in answer.text
    return Seen(taken <= 30, f"{taken} of 60 tried")


def wrong_texts(server: Server) -> Seen:
    """NUL and halves of characters, wherever a text goes in."""
    client, broken = server.client(), []
    picture = "iVBORw0KGgo="
    for bad in ("a\0b", "a\ud800b"):
        quoted = urllib.parse.quote(bad.encode("utf-8", "surrogatepass"))
        label = {"candidate_labels": [bad, "cat"]}
        requests = {
            "labels": ("POST", ZERO_SHOT, {"inputs": picture, "parameters": label}),
            "template": (
                "POST",
                ZERO_SHOT,
                {
                    "inputs": picture,
                    "parameters": {"candidate_labels": ["cat", "dog"], "hypothesis_template": bad + " {}"},
                },
            ),
            "label set": ("PUT", "/api/v1/label-sets/attack", {"labels": [bad, "cat"]}),
            "filter": ("GET", f"/history/?label={quoted}", None),
            "search": ("GET", f"/history/search?q={quoted}", None),
            "API's search": ("GET", f"/api/v1/search?q={quoted}", None),
            "cursor": ("GET", f"/api/v1/uploads?before={quoted}", None),
        }
        for name, (method, path, document) in requests.items():
            body = json.dumps(document).encode() if document else None
            if client.request(method, path, body, JSON if body else {}).status >= 500:
                broken.append(name)
    return Seen(not broken, f"500 for: {', '.join(broken)}" if broken else "nothing is answered 500")


ATTACKS = (
    Attack("110 times a hundred long labels", long_labels),
    Attack("200 forms with a made-up token", forged_forms),
    Attack("60 guesses from one IPv6 network", guesses, {"TRUSTED_PROXIES": "1"}),
    Attack("NUL and half characters", wrong_texts),
)
