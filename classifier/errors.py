"""The exceptions of this application. Each carries one sentence for a person: what was wrong and what to do.

Interfaces map them once: `status` is the HTTP status (RFC 9110), `code` the last part of the problem type.
"""

import math


def _megabytes(size: int) -> str:
    return f"{math.ceil(size / 1e5) / 10:,g} MB"  # rounded up, so that what is over the limit never reads as at it


class ClassifierError(Exception):
    """Base of all errors that are shown to the person who caused them."""

    status = 500
    code = "internal"


class ImageError(ClassifierError):
    """The file that was sent cannot be classified; nothing is stored."""

    status = 422
    code = "bad-image"


class MissingImage(ImageError):
    """No file was sent, or an empty one."""

    status = 422
    code = "no-image"


class ImageTooLarge(ImageError):
    """More bytes than MAX_UPLOAD_MB."""

    status = 413
    code = "too-large"

    @classmethod
    def of(cls, size: int, limit: int) -> "ImageTooLarge":
        """The same sentence wherever it is noticed. Sizes in bytes."""
        return cls(f"This file is {_megabytes(size)}; the limit is {_megabytes(limit)}.")


class UnsupportedImage(ImageError):
    """Not a picture, or a format that is not read."""

    status = 415
    code = "unsupported-image"


class BrokenImage(ImageError):
    """A picture that is truncated or damaged."""

    status = 422
    code = "broken-image"


class TooManyPixels(ImageError):
    """More pixels than are decoded; found before decoding."""

    status = 422
    code = "too-many-pixels"


class ArchiveError(ClassifierError):
    """Not a ZIP archive that is read."""

    status = 422
    code = "bad-archive"


class BatchTooLarge(ClassifierError):
    """More pictures at once, or more bytes, than are taken."""

    status = 413
    code = "batch-too-large"


class LabelError(ClassifierError):
    """Labels or prompt templates that cannot be used."""

    status = 422
    code = "bad-labels"


class LabelSetNotReady(ClassifierError):
    """A saved set whose labels are still being computed, or could not be."""

    status = 409
    code = "label-set-not-ready"
    retry_after = 5  # seconds


class NothingToExplain(ClassifierError):
    """There is no ranking to explain, or it was another model's."""

    status = 409
    code = "nothing-to-explain"


class Gone(ClassifierError):
    """What was worked on is not there any more: somebody has deleted it meanwhile."""

    status = 404
    code = "not-found"


class KeyWithdrawn(ClassifierError):
    """An API key that is not known, or not any more."""

    status = 401
    code = "unauthorized"


class StorageFull(ClassifierError):
    """There is no room to store anything: MAX_STORED_MB is reached, or the database's disk is full."""

    status = 507
    code = "storage-full"


class DatabaseReadOnly(ClassifierError):
    """The database takes no changes: it is a standby, or its plan's limit is passed."""

    status = 503
    code = "database-read-only"
    retry_after = 60  # seconds


class ModelError(ClassifierError):
    """A checkpoint or artifact that cannot be used."""

    status = 503
    code = "model-error"


class CheckpointError(ModelError):
    """A checkpoint that is missing, cut, of the wrong hash, or not CLIP."""

    code = "bad-checkpoint"


class DownloadError(ModelError):
    """The checkpoint could not be fetched."""

    code = "download-failed"


class ModelUnavailable(ModelError):
    """No usable artifact is there to serve from; `manage.py prepare_model` makes one.

    Its own sentence is for whoever runs the server; visitors are told another.
    """

    code = "model-unavailable"
    visitors = "Pictures cannot be classified just now: this server's model is not ready. Please come back later."


class TextUnsupported(ModelError):
    """This model has no text tower (the stand-in)."""

    status = 422
    code = "text-unsupported"


class Busy(ClassifierError):
    """Too many pictures are waiting; try again after `retry_after` seconds."""

    status = 503
    code = "busy"

    def __init__(self, message: str, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class RequestInProgress(ClassifierError):
    """The first request with this Idempotency-Key is still being answered."""

    status = 409
    code = "request-in-progress"
    retry_after = 2  # seconds


class IdempotencyKeyReused(ClassifierError):
    """The Idempotency-Key was used before, with something else."""

    status = 422
    code = "idempotency-key-reused"


class RateLimited(ClassifierError):
    """Too many requests from one address or with one key; try again after `retry_after` seconds."""

    status = 429
    code = "rate-limited"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class PackageMissing(ClassifierError):
    """An optional package that this needs is not installed."""

    code = "package-missing"


class OutputMismatch(ClassifierError):
    """What is to be continued was made with something else."""

    status = 409
    code = "output-mismatch"


class ClusterError(ClassifierError):
    """The machines that a job was to run on are not there, or the job failed as a whole."""

    code = "cluster"
