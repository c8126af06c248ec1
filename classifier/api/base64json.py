"""A picture inside JSON, decoded while it arrives.

A 20 MB picture is 27 MB of base64; read and parsed as JSON it would be in memory three times over, for each of the
requests at the same time. So the one long string is cut out of the JSON and decoded piece by piece into a file.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from classifier.api.bodies import BESIDES, CHUNK, append, spool
from classifier.errors import ImageTooLarge
from classifier.http.problems import Problem

Read = Callable[[int], bytes]
# Inside a JSON string a quote is always escaped, so this is the key and nothing else. HTML's slashes may be `\/`.
INPUTS = re.compile(rb'(?<!\\)"(?:inputs|image)"\s*:\s*"')
DATA_URL = re.compile(rb"data:[^,\"]{0,200};base64,", re.IGNORECASE)


def json_image(read: Read) -> tuple[BinaryIO | None, dict]:
    """The picture in `inputs`, `image` or `inputs.image` (base64 or a data: URL), and the rest of the JSON object.

    The file is None where the object has no such string. Raises `Problem` for what is not such JSON, and
    `ImageTooLarge`.
    """
    head, file = b"", None
    while chunk := read(CHUNK):
        searched, head = len(head), head + chunk
        if match := INPUTS.search(head, max(0, searched - 200)):  # it may lie across two chunks
            file, rest = _string_decode(read, head[match.end() :])
            head = head[: match.end()] + b'"' + rest
            break
        _besides_check(head)
    try:
        body = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "bad-request", "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise Problem(422, "invalid", 'The body must be a JSON object: {"inputs": "..."}.')
    return (file if _place_remove(body) else None), body


def _place_remove(body: dict[str, Any]) -> bool:
    """Take out the empty string that is left of a picture; none is left where it was cut out somewhere deeper."""
    for holder, name in ((body, "inputs"), (body, "image"), (body.get("inputs"), "image")):
        if isinstance(holder, dict) and holder.get(name) == "":
            del holder[name]
            return True
    return False


def _string_decode(read: Read, text: bytes) -> tuple[BinaryIO, bytes]:
    """The decoded rest of a JSON string that goes on from `text`, and the JSON after its closing quote."""
    file = spool()
    text = _scheme_drop(read, text)
    digits = b""
    while b'"' not in text:
        text, held = _escapes_hold(text)
        digits = _groups_decode(file, digits + _unescape(text))
        chunk = read(CHUNK)
        if not chunk:
            raise Problem(400, "bad-request", "The body is not JSON: it ends within a string.")
        text = held + chunk
    text, _, rest = text.partition(b'"')
    digits = _groups_decode(file, digits + _unescape(text))
    append(file, _decode(digits + b"=" * (-len(digits) % 4)))
    while chunk := read(CHUNK):
        rest += chunk
        _besides_check(rest)
    return file, rest


def _scheme_drop(read: Read, text: bytes) -> bytes:
    """Without a leading data:image/jpeg;base64, which fits into 256 bytes."""
    while len(text) < 256 and (chunk := read(256)):
        text += chunk
    if text[:5].lower() == b"data:":
        url = _unescape(_escapes_hold(text[:256])[0]) if b"\\" in text[:256] else text
        match = DATA_URL.match(url)
        if match is None:
            raise Problem(422, "invalid", "inputs: a data: URL must be in base64, as data:image/jpeg;base64,...")
        return text[text.index(b",") + 1 :]
    if text[:5].lower() in (b"http:", b"https"):
        raise Problem(422, "invalid", "inputs: send the picture itself, in base64. Addresses are not fetched.")
    return text


def _escapes_hold(text: bytes) -> tuple[bytes, bytes]:
    r"""Split off a JSON escape that may go on in the next chunk; the longest is \u002b."""
    start = text.rfind(b"\\", max(0, len(text) - 5))
    return (text, b"") if start == -1 else (text[:start], text[start:])


def _unescape(text: bytes) -> bytes:
    r"""Base64 needs no escapes, but some write / as \/, + as \u002b, or lines that end in \n."""
    if b"\\" in text:
        try:
            text = json.loads(b'"' + text + b'"', strict=False).encode()
        except ValueError as error:
            raise Problem(400, "bad-request", "The body is not JSON.") from error
    return text.translate(None, b" \r\n\t")


def _groups_decode(file: BinaryIO, digits: bytes) -> bytes:
    """Write all whole groups of four; the rest is returned."""
    whole = len(digits) // 4 * 4
    append(file, _decode(digits[:whole]))
    return digits[whole:]


def _decode(digits: bytes) -> bytes:
    try:
        return base64.b64decode(digits, validate=True)
    except binascii.Error as error:
        raise Problem(422, "invalid", "inputs: this is not base64.") from error


def _besides_check(text: bytes) -> None:
    if len(text) > BESIDES:
        raise ImageTooLarge("The JSON beside the picture is too large.")
