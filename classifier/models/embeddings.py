"""Where models put pictures."""

from django.db import models

from classifier.models.uploads import Upload
from classifier.vectors import VectorField


class Embedding(models.Model):
    """Where one model puts a picture: what the search compares. One per upload and model, however often it ran."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="embeddings", db_index=False)
    owner = models.CharField(max_length=64, help_text="Whose upload: its owner's key, or api-key: and a number")
    weights_sha256 = models.CharField("weights SHA-256", max_length=64)
    dim = models.PositiveSmallIntegerField("dimension")
    vector = VectorField(help_text="float16, little-endian")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upload", "weights_sha256"], name="embedding_once_per_model"),
        ]
        indexes = [
            models.Index(fields=["owner", "weights_sha256"], name="embedding_of_owner"),
            # On PostgreSQL with pgvector each model has an HNSW index besides: vectors.index_ensure
        ]

    def __str__(self) -> str:
        return f"{self.dim} numbers by {self.weights_sha256[:8]}"
