"""Many pictures that were sent at once, to be classified when there is time."""

import uuid

from django.db import models
from django.urls import reverse
from django.utils import timezone

from classifier.models.uploads import Upload


class Batch(models.Model):
    """What was sent, by whom, and which labels it is to be ranked against. Its items say how far it has come."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    owner = models.CharField(max_length=64, editable=False, help_text="Random key kept in the visitor's session")
    api_key = models.ForeignKey(
        "ApiKey", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="batches"
    )
    by_program = models.BooleanField(default=False, help_text="It came with an API key, which may be gone since")
    total = models.PositiveIntegerField(help_text="Pictures that were sent")
    label_set = models.CharField(max_length=100, default="imagenet", help_text="Its name, which outlives a saved set")
    saved_set = models.ForeignKey(
        "LabelSet", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    labels = models.TextField(blank=True, help_text="Those that came with the pictures, one per line")
    templates = models.TextField(blank=True, help_text="One per line")

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["-created", "-id"]
        indexes = [models.Index(fields=["owner", "-created"], name="batch_of_owner")]

    def __str__(self) -> str:
        return f"{self.total} pictures"

    def get_absolute_url(self) -> str:
        return reverse("batch", args=[self.id])


class BatchItem(models.Model):
    """One picture of a batch: the file while it waits, the upload once it is done. It goes with its upload.

    Whoever works on it holds a claim for a while; what a worker that was killed had claimed is taken over after that.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "waiting"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="items", db_index=False)
    place = models.PositiveIntegerField(help_text="In the order in which they were sent, from 1")
    name = models.CharField("file name", max_length=255, blank=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    reason = models.TextField(blank=True, help_text="Why it failed")
    data = models.BinaryField(null=True, help_text="The file as it was sent, until it is done")
    size = models.PositiveIntegerField(default=0, help_text="Bytes of the file")
    claim = models.CharField(max_length=32, blank=True, help_text="Of whoever works on it")
    claimed = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0, help_text="How often somebody began with it")
    finished = models.DateTimeField(null=True)
    upload = models.OneToOneField(Upload, null=True, on_delete=models.CASCADE, related_name="batch_item")

    class Meta:
        ordering = ["batch", "place"]
        constraints = [models.UniqueConstraint(fields=["batch", "place"], name="batch_place_once")]
        indexes = [models.Index(fields=["batch", "status", "place"], name="batch_item_status")]

    def __str__(self) -> str:
        return self.name or str(self.place)
