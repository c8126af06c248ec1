"""What schemathesis sends as pictures: real ones and rubbish, half and half. Loaded through SCHEMATHESIS_HOOKS."""

import base64
import io
import json
import os
import random

import schemathesis
from hypothesis import strategies
from PIL import Image
from schemathesis.transport.serialization import Binary


def picture(kind: str, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).convert(mode).save(stream, kind)
    return stream.getvalue()


real = [
    picture("JPEG"),
    picture("PNG", "RGBA"),
    picture("PNG", "P"),
    picture("GIF", "P"),
    picture("WEBP"),
    picture("BMP"),
]
pictures = strategies.sampled_from(real) | strategies.sampled_from(real).map(lambda data: data[:-20])
contents = pictures | strategies.binary()

words = strategies.text("abcdefgh", min_size=1, max_size=6)
labels = strategies.lists(words, min_size=2, max_size=5, unique=True).map(", ".join)
templates = words.map(lambda word: f"{{}} {word}")
schemathesis.openapi.format("label", words)
schemathesis.openapi.format("labels", labels | strategies.text())
schemathesis.openapi.format("prompt-template", templates)
schemathesis.openapi.format("binary", contents.map(Binary))
schemathesis.openapi.format("byte", contents.map(lambda data: base64.b64encode(data).decode()))
# Ids that are there, for operations that would otherwise hardly ever meet one; random ones at times.
known = json.loads(os.environ.get("KNOWN_IDS", "{}"))
coin = random.Random(1)


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    for name in set(path_parameters or {}) & set(known):
        if context.operation.method != "delete" and coin.random() < 0.8:
            path_parameters[name] = known[name]
    return path_parameters


for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, contents)
