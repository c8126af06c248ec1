"""How an operation is asked for with curl, in Python and in JavaScript, written from its OpenAPI description.

The code is in templates/snippets. It runs as it stands: Python with requests, JavaScript in Node.js 20 or newer, for
pages of other sites cannot read the answers.
"""

import json
import re
from dataclasses import dataclass

from django.template.loader import render_to_string

LANGUAGES = {"curl": "curl.txt", "Python": "python.txt", "JavaScript": "javascript.txt"}
FILES = {"image": "photo.jpg", "images": "photo.jpg", "archive": "photos.zip"}  # what stands in a form's field


@dataclass(frozen=True)
class Ask:
    """A request. Of `field`, `picture` and `json` those that are not empty say what is in its body."""

    method: str
    address: str
    token: str
    field: str = ""  # of a form, for a file
    picture: str = ""  # member of a JSON object, for a file in base64
    json: str = ""  # the object, or its other members where there is a picture

    @property
    def file(self) -> str:
        return FILES.get(self.field, "photo.jpg")

    @property
    def body(self) -> bool:
        return bool(self.field or self.picture or self.json)


def snippets_of(*, method: str, root: str, path: str, details: dict, example: dict) -> list[dict]:
    """Of one operation, in each language; `root` is the server's address, `example` the description's JSON body."""
    ask = _ask(method, root, path, details, example)
    return [
        {"language": language, "code": render_to_string(f"snippets/{name}", {"ask": ask}).strip()}
        for language, name in LANGUAGES.items()
    ]


def _ask(method: str, root: str, path: str, details: dict, example: dict) -> Ask:
    content = details.get("requestBody", {}).get("content", {})
    query = "&".join(f"{each['name']}={each['example']}" for each in details["parameters"] if "example" in each)
    whole = root + re.sub(r"{\w+}", "ID", path) + (f"?{query}" if query else "")
    if "multipart/form-data" in content:
        fields = content["multipart/form-data"]["schema"]["properties"]
        return Ask(method, whole, "", field=next(name for name in fields if name in FILES))
    if "inputs" in example:
        rest = {name: value for name, value in example.items() if name != "inputs"}
        return Ask(method, whole, "", picture="inputs", json=json.dumps(rest)[1:-1])
    return Ask(method, whole, _token(method, path, details), json=json.dumps(example) if example else "")


def _token(method: str, path: str, details: dict) -> str:
    """What must come along: nothing to read what one knows the id of, an upload's secret to change it, else a key."""
    open_to_all = path.endswith("/label-sets") or any(each["in"] == "path" for each in details["parameters"])
    if method == "GET" and open_to_all and not path.endswith(("/similar", "/classifications")):
        return ""
    return "SECRET" if "{upload_id}" in path and not path.endswith("/similar") else "KEY"
