"""What schemathesis sends as pictures: real ones and rubbish, half and half. Loaded through SCHEMATHESIS_HOOKS."""

import base64
import io

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

schemathesis.openapi.format("binary", contents.map(Binary))
schemathesis.openapi.format("byte", contents.map(lambda data: base64.b64encode(data).decode()))
for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, contents)
