"""Attacks on the application: on its memory, its tables, its login and its texts."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import urllib.parse
from collections import Counter
from collections.abc import Callable
from uuid import UUID

from classifier.benchmark.attack.clients import Attack, Seen
from classifier.benchmark.attack.surroundings import history
from classifier.benchmark.load import photos
from classifier.benchmark.server import Client, Server, memory

API = "/api/v1"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ZERO_SHOT = f"{API}/zero-shot-image-classification"
READ_ONLY = "options=-c%20default_transaction_read_only%3Don"  # of every session of the server's


def _grown(server: Server, labels: Callable[[], list[str]], taken: set[int]) -> Seen:
    """What memory 110 requests with a hundred labels each leave behind; the text tower is there before."""
    client, answers = server.client(), Counter()
    client.classify(photos()["coffee.png"], ["a cup", "a spoon"])
    before = memory(server.process.pid).pss
    for _ in range(110):
        answers[client.classify(photos()["coffee.png"], labels()).status] += 1
    grown = memory(server.process.pid).pss - before
    told = ", ".join(f"{count} × {status}" for status, count in sorted(answers.items()))
    return Seen(set(answers) <= taken and grown < 20, f"{told}; {grown:.0f} MB more memory")


def long_labels(server: Server) -> Seen:
    """Ask 110 times for a hundred labels of 1,000 letters, which are refused unread."""
    draw = random.Random(0)
    return _grown(server, lambda: _labels(draw, 1000), {413, 422})


def many_tokens(server: Server) -> Seen:
    """Ask 110 times for a hundred labels that are short enough to be read, and have too many tokens."""
    draw = random.Random(1)
    return _grown(server, lambda: _labels(draw, 190), {422})


def new_labels(server: Server) -> Seen:
    """Ask 110 times for a hundred labels that nobody has asked for before, and get them ranked."""
    draw = random.Random(2)
    return _grown(server, lambda: _labels(draw, 30), {201})


def _labels(draw: random.Random, length: int) -> list[str]:
    """None of them is a word."""
    return ["".join(draw.choices(string.ascii_lowercase + " ", k=length)) for _ in range(100)]


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


def full(server: Server) -> Seen:
    """Go on storing where MAX_STORED_MB is reached. (It is soon.)"""
    client, answers, picture = server.client(), Counter(), photos()["coffee.png"]
    made = ""
    for _ in range(40):
        answer = client.classify(picture, ["a cup", "a spoon"])
        answers[answer.status] += 1
        made = answer.headers.get("location", made)
    kept, relabelled = _kept(), _relabel(client, made) if made else 507
    told = f"uploads {dict(answers)}, other labels {relabelled}"
    ready, ranked = client.get("/readyz"), client.request("POST", ZERO_SHOT, picture, {"Content-Type": "image/png"})
    held = set(answers) <= {201, 507} and answers[507] > 0 and relabelled == 507 and _kept() == kept
    held = held and ready.status == 200 and "full" in ready.text and ranked.status == 200
    return Seen(held, f"{told}; classifying without storing {ranked.status}; /readyz {ready.status} says so")


def _kept() -> tuple[int, int]:
    from classifier.models import Classification, Upload

    return Upload.objects.count(), Classification.objects.count()


def _relabel(client: Client, address: str) -> int:
    from classifier.services.keys import upload_secret

    key = address.rstrip("/").rpartition("/")[2]
    headers = {**JSON, "Authorization": f"Bearer {upload_secret(UUID(key))}"}
    body = json.dumps({"candidate_labels": ["a", "b"]}).encode()
    return client.request("POST", f"/api/v1/uploads/{key}/classifications", body, headers).status


def read_only(server: Server) -> Seen:
    """Upload where the database takes no changes, as a standby does, and a plan beyond its limit."""
    client = server.client()
    seen = {
        "an upload": client.classify(photos()["coffee.png"], ["a cup", "a spoon"]).status,
        "the history": client.get("/history/").status,
        "/readyz": client.get("/readyz").status,
        "/healthz": client.get("/healthz").status,
    }
    told = ", ".join(f"{name} {status}" for name, status in seen.items())
    return Seen(list(seen.values()) == [503, 200, 503, 200], told)


def staff(server: Server) -> Seen:
    """List, search, delete, rank and save label sets through the API as staff without any permission."""
    from django.contrib.auth import get_user_model

    from classifier.models import Upload

    user = get_user_model().objects.create_user("attack", password="attack", is_staff=True)
    with history(server, 1):
        upload = Upload.objects.get(owner="attack")
        client = server.client()
        client.get("/admin/login/")
        form = {"csrfmiddlewaretoken": client.cookies["csrftoken"], "username": "attack", "password": "attack"}
        login = client.request("POST", "/admin/login/?next=/admin/", urllib.parse.urlencode(form).encode(), FORM)
        headers = {**JSON, "X-CSRFToken": client.cookies["csrftoken"]}
        labels = json.dumps({"candidate_labels": ["a", "b"]}).encode()
        label_set = json.dumps({"name": "mine", "labels": ["a", "b"]}).encode()
        asked = (
            ("GET", f"{API}/uploads?all=true", None),
            ("GET", f"{API}/search?q=cat&all=true", None),
            ("GET", f"{API}/uploads/{upload.pk}/similar?all=true", None),
            ("DELETE", f"{API}/uploads/{upload.pk}", None),
            ("POST", f"{API}/uploads/{upload.pk}/classifications", labels),
            ("POST", f"{API}/label-sets", label_set),
        )
        answers = Counter(client.request(method, path, body, headers).status for method, path, body in asked)
    user.delete()
    return Seen(login.status == 302 and set(answers) <= {401, 403}, f"logged in, answered {dict(answers)}")


def wrong_texts(server: Server) -> Seen:
    """NUL and halves of characters, wherever a visitor's text goes in."""
    from classifier.models import Upload

    picture, broken, answers = photos()["coffee.png"], set(), Counter()
    with history(server, 1) as client:
        upload = Upload.objects.get(owner="attack").pk
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/").text).group(1)
        for bad in ("a\0b", "a\ud800b"):
            for name, sent in texts(bad, base64.b64encode(picture).decode(), token, upload).items():
                answer = client.request(*sent)
                answers[answer.status] += 1
                if answer.status >= 500 and "text-unsupported" not in answer.text:
                    broken.add(f"{name} ({answer.status})")
    told = ", ".join(f"{count} × {status}" for status, count in sorted(answers.items()))
    return Seen(not broken, f"broken: {', '.join(sorted(broken))}" if broken else told)


def texts(bad: str, picture: str, token: str, upload: UUID) -> dict[str, tuple]:
    """Requests by the place that such a text is sent to: method, path, body, headers."""
    raw = bad.encode("utf-8", "surrogatepass")
    quoted = urllib.parse.quote(raw)

    def asked(path: str) -> tuple:
        return "GET", path + quoted

    def said(path: str, document: dict) -> tuple:
        headers = {**JSON, "X-CSRFToken": token}
        return "POST", API + path, json.dumps(document).encode(), headers

    def zero_shot(labels: list[str], template: str) -> tuple:
        parameters = {"candidate_labels": labels, "hypothesis_template": template}
        return said("/zero-shot-image-classification", {"inputs": picture, "parameters": parameters})

    def form(path: str, *names: str, **fields: str) -> tuple:
        pairs = urllib.parse.urlencode({"csrfmiddlewaretoken": token} | fields)
        return "POST", path, "&".join([pairs, *(f"{name}={quoted}" for name in names)]).encode(), FORM

    own = f"/uploads/{upload}"
    return {
        "labels": zero_shot([bad, "cat"], "a photo of a {}"),
        "template": zero_shot(["cat", "dog"], bad + " {}"),
        "other labels": said(f"{own}/classifications", {"candidate_labels": [bad, "cat"]}),
        "other set": said(f"{own}/classifications", {"label_set": bad}),
        "label set": said("/label-sets", {"name": bad, "labels": [bad, "cat"], "templates": bad}),
        "form": form("/", "labels", "template", "label_set", example="coffee"),
        "batch": form("/batches/", "labels", "template", "label_set"),
        "feedback": form(f"{own}/feedback", "label", answer="other"),
        "chips": form(f"{own}/live", "labels", "template", "label_set"),
        "square": form(f"{own}/live", "x", "y", "side"),
        "relabel": form(f"{own}/relabel", "labels", "template", "label_set"),
        "ready": form("/uploads/ready", "labels", "label_set"),
        "ticked": form("/history/relabel", "upload", "labels"),
        "deleted": form("/history/delete", "upload"),
        "exported": form("/history/export.csv", "upload", "uploads"),
        "login": form("/admin/login/", "username", "password"),
        "filter": asked("/history/?label="),
        "search": asked("/history/search?q="),
        "API's search": asked("/api/v1/search?q="),
        "cursor": asked("/api/v1/uploads?cursor="),
        "page": asked("/history/?before="),
        "why": asked(f"{own}/?why="),
        "explanation": asked(f"{API}{own}/explanation?rank="),
        "chosen": asked("/?labels="),
    }


ATTACKS = (
    Attack("110 times a hundred long labels", long_labels),
    Attack("... labels of too many tokens", many_tokens),
    Attack("... labels that are new", new_labels),
    Attack("200 forms with a made-up token", forged_forms),
    Attack("40 uploads where the room is full", full, {"MAX_STORED_MB": "0.5"}),
    Attack("a database that takes no changes", read_only, database=READ_ONLY),
    Attack("60 guesses from one IPv6 network", guesses, {"TRUSTED_PROXIES": "1"}),
    Attack("staff without permissions", staff),
    Attack("NUL and half characters", wrong_texts),
)
