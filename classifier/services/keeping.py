"""What is kept of a picture, whichever way it came: a small JPEG, what its file was, and the record that holds them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from classifier.models import ApiKey, Upload
from classifier.services.keys import token_hash, upload_secret

if TYPE_CHECKING:
    from classifier.pictures.decoding import Picture


@dataclass(frozen=True)
class Kept:
    """Of one file."""

    format: str
    width: int  # pixels of the upright original
    height: int
    sha256: str
    jpeg: bytes


def picture_keep(picture: Picture, file: BinaryIO) -> Kept:
    """Of a picture that was read from a file, while it is open."""
    from classifier.pictures import reading

    jpeg = reading.picture_to_jpeg(picture.image)
    file.seek(0)
    # Every binary file has the readinto that BinaryIO does not name.
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return Kept(picture.format, picture.width, picture.height, digest, jpeg)


def upload_make(*, kept: Kept, name: str, owner: str, api_key: ApiKey | None) -> Upload:
    """An upload of that name, which its secret may delete; not stored yet: `run_start` does that."""
    from classifier.pictures import reading

    upload_id = uuid4()
    return Upload(
        id=upload_id,
        owner=owner,
        api_key=api_key,
        secret_hash=token_hash(upload_secret(upload_id)),
        name=reading.name_clean(name),
        format=kept.format,
        width=kept.width,
        height=kept.height,
        sha256=kept.sha256,
        image=kept.jpeg,
    )
