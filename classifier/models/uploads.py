"""Uploads, the classification runs over them, their predictions, and what their owners say of them."""

import uuid

from django.db import models
from django.urls import reverse
from django.utils import timezone

from classifier.words import WordsField, WordsIndex


class UploadQuerySet(models.QuerySet["Upload"]):
    def of_owner(self, owner: str) -> "UploadQuerySet":
        """Uploads made by one visitor; none for an empty key."""
        return self.filter(owner=owner) if owner else self.none()

    def with_latest(self) -> "UploadQuerySet":
        """Fetch the newest run and its predictions along, in two queries however many uploads there are."""
        return self.select_related("latest").prefetch_related("latest__predictions")


_UploadManager = models.Manager.from_queryset(UploadQuerySet)


class UploadManager(_UploadManager["Upload"]):
    """Leaves the picture's bytes in the database unless they are asked for by name."""

    def get_queryset(self) -> UploadQuerySet:
        return UploadQuerySet(self.model, using=self._db).defer("image", "image_small")


class Status(models.TextChoices):
    """How far a run has come."""

    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"


class Verdict(models.TextChoices):
    """What its owner says of the top label."""

    RIGHT = "right", "right"
    WRONG = "wrong", "wrong"


# Bands of the top score, the surest first: (name, from, below). Each has an index of the newest uploads in it.
SCORES = (("90", 0.9, None), ("50", 0.5, 0.9), ("20", 0.2, 0.5), ("0", None, 0.2))


def score_between(least: float | None, below: float | None) -> models.Q:
    """Uploads whose top score is in a band."""
    found = models.Q() if least is None else models.Q(top_score__gte=least)
    return found if below is None else found & models.Q(top_score__lt=below)


class Upload(models.Model):
    """A picture that somebody sent, kept upright and small in the database: a dyno's disk does not last.

    The last fields repeat what the newest run found, so that lists are filtered, searched and drawn along one index
    of one table; services/runs.py writes them with the run.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created = models.DateTimeField(default=timezone.now, editable=False)
    owner = models.CharField(max_length=64, editable=False, help_text="Random key kept in the visitor's session")
    api_key = models.ForeignKey(
        "ApiKey",
        null=True,
        blank=True,
        editable=False,
        db_index=False,  # upload_of_api_key below begins with it
        on_delete=models.SET_NULL,
        related_name="uploads",
        verbose_name="API key",
        help_text="The program that sent it",
    )
    secret_hash = models.CharField(
        max_length=64, blank=True, editable=False, help_text="SHA-256 of the secret that may delete it"
    )
    name = models.CharField("file name", max_length=255, blank=True, help_text="As it was sent")
    format = models.CharField(max_length=16, help_text="Of the file that was sent, as Pillow names it")
    width = models.PositiveIntegerField(help_text="Pixels, upright, as sent")
    height = models.PositiveIntegerField(help_text="Pixels, upright, as sent")
    sha256 = models.CharField("SHA-256", max_length=64, help_text="Of the bytes that were sent")
    image = models.BinaryField(help_text="Upright JPEG, longest side at most 512 pixels")
    image_small = models.BinaryField(
        null=True, editable=False, help_text="WebP, longest side at most 256 pixels; made when it is first asked for"
    )
    latest = models.ForeignKey(
        "Classification", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.RUNNING, editable=False)
    model = models.CharField(max_length=100, blank=True, editable=False)
    label_set = models.CharField(max_length=100, blank=True, editable=False)
    top_label = models.CharField(max_length=255, blank=True, editable=False, help_text="Empty until a run is done")
    top_score = models.FloatField(null=True, blank=True, editable=False)
    fits = models.BooleanField(
        null=True,
        blank=True,
        editable=False,
        help_text="Whether the top label means something; empty until a run is done",
    )
    verdict = models.CharField(
        max_length=5,
        choices=Verdict.choices,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="What its owner says of the top label; empty where nothing was said of these labels",
    )
    right_label = models.CharField(
        max_length=255, blank=True, default="", db_default="", editable=False, help_text="As its owner says"
    )
    words = WordsField(
        blank=True, editable=False, help_text="Of file name, top label and the right one, for the search"
    )

    objects = UploadManager()

    class Meta:
        base_manager_name = "objects"  # refresh_from_db and relations leave the bytes alone, too
        ordering = ["-created", "-id"]
        indexes = [
            models.Index(fields=["owner", "-created", "-id"], name="upload_of_owner"),
            models.Index(fields=["api_key", "-created", "-id"], name="upload_of_api_key"),
            models.Index(fields=["-created", "-id"], name="upload_newest"),
            models.Index(fields=["sha256"], name="upload_sha256"),
            models.Index(fields=["status", "-created", "-id"], name="upload_status"),
            models.Index(fields=["model", "-created", "-id"], name="upload_model"),
            models.Index(fields=["label_set", "-created", "-id"], name="upload_label_set"),
            models.Index(fields=["top_label", "-created", "-id"], name="upload_top_label"),
            models.Index(fields=["owner", "top_label", "-created", "-id"], name="upload_of_owner_label"),
            models.Index(fields=["verdict", "-created", "-id"], name="upload_verdict"),
            models.Index(fields=["fits", "-created", "-id"], name="upload_fits"),
            *(
                models.Index(
                    fields=["-created", "-id"], condition=score_between(least, below), name=f"upload_score_{name}"
                )
                for name, least, below in SCORES
            ),
            WordsIndex(fields=["words"], name="upload_words_begin"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)

    def get_absolute_url(self) -> str:
        return reverse("upload", args=[self.id])

    @property
    def top(self) -> "Prediction | None":
        """The likeliest label of the newest run, if that run is done."""
        if self.latest is None or self.latest.status != Classification.Status.DONE:
            return None
        return next(iter(self.latest.predictions.all()), None)

    @property
    def summary(self) -> str:
        """What a list says about it, without loading the run."""
        if self.verdict == Verdict.WRONG:
            return self.right_label or f"Not {self.top_label}"
        return self.top_label or ("Could not be classified" if self.status == Status.FAILED else "Not finished")

    @property
    def percent(self) -> float | None:
        return None if self.top_score is None else 100 * self.top_score

    @property
    def is_standin(self) -> bool:
        return self.model.startswith("stand-in")


class Classification(models.Model):
    """One run of a model over one upload."""

    Status = Status

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="classifications")
    created = models.DateTimeField(default=timezone.now, editable=False)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.RUNNING)
    reason = models.TextField(blank=True, help_text="Why it failed")
    model = models.CharField(max_length=100, blank=True)
    precision = models.CharField(max_length=8, blank=True)
    weights_sha256 = models.CharField("weights SHA-256", max_length=64, blank=True)
    label_set = models.CharField(max_length=100, default="imagenet", help_text="Its name, which outlives a saved set")
    saved_set = models.ForeignKey(
        "LabelSet", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="classifications"
    )
    templates = models.TextField(blank=True, help_text="The prompt templates, one per line, or the name of a known set")
    square = models.JSONField(
        null=True,
        blank=True,
        help_text="x, y and side of the part that was ranked, in the picture's own pixels; empty: as the model crops",
    )
    seconds_decode = models.FloatField(null=True, blank=True, help_text="Reading and resizing the file")
    seconds_predict = models.FloatField(null=True, blank=True, help_text="Image tower and ranking")

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [
            models.Index(fields=["-created", "-id"], name="classification_newest"),
            models.Index(fields=["status", "-created"], name="classification_status"),
            models.Index(fields=["model", "-created"], name="classification_model"),
            models.Index(fields=["label_set", "-created"], name="classification_label_set"),
        ]

    def __str__(self) -> str:
        return f"{self.model or 'no model'}: {self.status}"

    @property
    def is_standin(self) -> bool:
        return self.model.startswith("stand-in")


class Prediction(models.Model):
    """One label of a run, by rank."""

    classification = models.ForeignKey(Classification, on_delete=models.CASCADE, related_name="predictions")
    rank = models.PositiveSmallIntegerField(help_text="1 is the likeliest")
    label = models.CharField(max_length=255)
    index = models.PositiveIntegerField("ImageNet index", null=True, blank=True)
    score = models.FloatField(help_text="Softmax probability over all labels")
    similarity = models.FloatField(
        null=True, blank=True, help_text="Cosine between the picture's and the label's embedding"
    )

    class Meta:
        ordering = ["classification", "rank"]
        constraints = [
            models.UniqueConstraint(fields=["classification", "rank"], name="prediction_rank_once"),
            models.CheckConstraint(condition=models.Q(rank__gte=1), name="prediction_rank_from_1"),
            models.CheckConstraint(
                condition=models.Q(score__gte=0) & models.Q(score__lte=1), name="prediction_score_is_probability"
            ),
        ]
        indexes = [models.Index(fields=["label", "rank"], name="prediction_label")]

    def __str__(self) -> str:
        return f"{self.rank}. {self.label}"

    @property
    def percent(self) -> float:
        return 100 * self.score


class Feedback(models.Model):
    """What its owner says a picture really shows, for staff to learn where the model errs.

    Keeps what was said of: the top label at that moment, its labels and the model.
    """

    upload = models.OneToOneField(Upload, on_delete=models.CASCADE, related_name="feedback")
    created = models.DateTimeField(default=timezone.now, editable=False)
    label = models.CharField(max_length=255, blank=True, help_text="Empty: not the predicted one")
    index = models.PositiveIntegerField("ImageNet index", null=True, blank=True)
    predicted = models.CharField(max_length=255, blank=True, help_text="The top label of which it was said")
    label_set = models.CharField(max_length=100, blank=True, help_text="Its name")
    model = models.CharField(max_length=100, blank=True)

    class Meta:
        verbose_name_plural = "feedback"
        ordering = ["-created", "-id"]
        indexes = [models.Index(fields=["-created", "-id"], name="feedback_newest")]

    def __str__(self) -> str:
        return self.summary

    @property
    def summary(self) -> str:
        return self.label or f"not {self.predicted or 'the label that was found'}"

    @property
    def right(self) -> bool:
        """Whether the model was right."""
        return bool(self.label) and self.label == self.predicted
