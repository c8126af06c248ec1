"""What is stored. Everybody imports from here; the files part it by what it models."""

from classifier.models.batches import Batch, BatchItem
from classifier.models.callers import ApiKey, IdempotentRequest, RateLimit
from classifier.models.embeddings import Atlas, Embedding, Occlusion
from classifier.models.label_sets import LabelAdapter, LabelExample, LabelHead, LabelSet
from classifier.models.uploads import (
    SCORES,
    Classification,
    Feedback,
    Prediction,
    Status,
    Upload,
    UploadManager,
    UploadQuerySet,
    Verdict,
    score_between,
)

__all__ = [
    "SCORES",
    "ApiKey",
    "Atlas",
    "Batch",
    "BatchItem",
    "Classification",
    "Embedding",
    "Feedback",
    "IdempotentRequest",
    "LabelAdapter",
    "LabelExample",
    "LabelHead",
    "LabelSet",
    "Occlusion",
    "Prediction",
    "RateLimit",
    "Status",
    "Upload",
    "UploadManager",
    "UploadQuerySet",
    "Verdict",
    "score_between",
]
