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


class Occlusion(models.Model):
    """What one model answers to a picture with each part of it covered in turn, from which any label is explained."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="occlusions", db_index=False)
    weights_sha256 = models.CharField("weights SHA-256", max_length=64)
    grid = models.PositiveSmallIntegerField(help_text="Patches along a side")
    responses = models.BinaryField(help_text="(1 + windows, numbers) float16, little-endian; the whole picture first")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["upload", "weights_sha256"], name="occlusion_once_per_model"),
        ]

    def __str__(self) -> str:
        return f"{self.grid} by {self.grid} by {self.weights_sha256[:8]}"


class Atlas(models.Model):
    """One owner's pictures in two dimensions, as one model sees them, kept until pictures come or go."""

    owner = models.CharField(max_length=64)
    weights_sha256 = models.CharField("weights SHA-256", max_length=64)
    made_of = models.CharField(max_length=64, help_text="How many embeddings, and the newest")
    content = models.JSONField(help_text="Points (upload, x, y), groups of near-duplicates, and how many were left out")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "weights_sha256"], name="atlas_once_per_model"),
        ]

    def __str__(self) -> str:
        return f"of {self.owner[:8]} by {self.weights_sha256[:8]}"
