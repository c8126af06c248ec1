"""Request bodies: limited, and never whole in memory."""

from tempfile import SpooledTemporaryFile
from typing import BinaryIO

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest

from classifier.errors import ImageTooLarge, MissingImage
from classifier.http.problems import Problem

CHUNK = 65536  # bytes
BESIDES = 1_000_000  # bytes that a request may have besides the picture: fields, labels, the multipart frame


def max_bytes() -> int:
    return int(settings.MAX_UPLOAD_MB * 1e6)


def media_type(request: HttpRequest) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def length_check(request: HttpRequest) -> None:
    """Only bodies of a known length are read; the middleware has refused those that are too long."""
    if "Content-Length" not in request.headers and "Transfer-Encoding" in request.headers:
        raise Problem(411, "length-required", "Say the length of the body in Content-Length; chunks are not read.")


def multipart_image(request: HttpRequest) -> UploadedFile:
    """The one file in the field `image`. Raises `MissingImage`."""
    if media_type(request) != "multipart/form-data":
        raise Problem(415, "unsupported-media-type", "Send multipart/form-data with the picture in the field image.")
    files = request.FILES.getlist("image")
    if not files:
        raise MissingImage("No picture was sent. Put the file into the multipart field image.")
    if len(files) > 1:
        raise Problem(422, "invalid", f"{len(files)} pictures were sent. Send one in each request.")
    return files[0]


def raw_image(request: HttpRequest, start: bytes = b"") -> BinaryIO:
    """The body itself, of which `start` was read already, as a file. Raises `ImageTooLarge`."""
    file = spool()
    append(file, start)
    while chunk := request.read(CHUNK):
        append(file, chunk)
    return file


def spool() -> BinaryIO:
    """A file in memory while it is small, on disk afterwards, as Django's own uploads are; gone with its last use."""
    return SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE)


def append(file: BinaryIO, data: bytes) -> None:
    """Write within the limit. Raises `ImageTooLarge`."""
    file.write(data)
    if file.tell() > max_bytes():
        raise ImageTooLarge.of(file.tell(), max_bytes())
