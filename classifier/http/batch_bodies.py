"""Many pictures in one request, as the API and the page take them."""

from collections.abc import Iterator

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest

from classifier.errors import ArchiveError, BatchTooLarge, ImageTooLarge, MissingImage
from classifier.services.archives import Given, archive_entries, archive_read, archive_size
from classifier.services.batches import MOST, batch_size_check


def pictures_sent(request: HttpRequest) -> Iterator[Given]:
    """Those of the fields `images`, or of the one ZIP archive in `archive`.

    Raises `MissingImage`, `BatchTooLarge` and `ArchiveError` at once, before there is a picture to look at.
    """
    images, archives = request.FILES.getlist("images"), request.FILES.getlist("archive")
    images, archives = [file for file in images if file.name], [file for file in archives if file.name]
    max_bytes = int(settings.MAX_UPLOAD_MB * 1e6)
    if (images and archives) or len(archives) > 1:
        raise ArchiveError("Send pictures, or one ZIP archive of pictures, not both.")
    if archives:
        archive, entries = archive_entries(archives[0], most=MOST)
        batch_size_check(archive_size(entries, max_bytes=max_bytes))
        return archive_read(archive, entries, max_bytes=max_bytes)
    if not images:
        raise MissingImage("No picture was sent. Put pictures into fields named images, or a ZIP into archive.")
    if len(images) > MOST:
        raise BatchTooLarge(f"{len(images):,} pictures were sent; a batch has {MOST:,} at most.")
    return (_given(file, max_bytes) for file in images)


def _given(file: UploadedFile, max_bytes: int) -> Given:
    if file.size > max_bytes:
        return Given(file.name, b"", str(ImageTooLarge.of(file.size, max_bytes)))
    return Given(file.name, file.read())
