"""Labels to classify with, and what models make of them."""

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from classifier.models.uploads import Upload


class LabelSet(models.Model):
    """Labels and prompt templates under a name, to classify with."""

    name = models.CharField(max_length=60)
    created = models.DateTimeField(default=timezone.now, editable=False)
    labels = models.TextField(help_text="One per line, in order")
    templates = models.TextField(help_text="One per line; {} is where the label goes")
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of labels and templates")
    api_key = models.ForeignKey(
        "ApiKey",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="label_sets",
        verbose_name="API key",
        help_text="The program that made it, and may change it",
    )
    learns = models.BooleanField(
        "learns from visitors",
        default=False,
        help_text="What visitors say is right counts as an example, too. Examples that staff give always count.",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(Lower("name"), name="label_set_name_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def label_list(self) -> list[str]:
        return self.labels.split("\n")

    @property
    def template_list(self) -> list[str]:
        return self.templates.split("\n")


class LabelHead(models.Model):
    """What one model makes of a label set: one embedding per label, and how far computing them has come."""

    class State(models.TextChoices):
        BUILDING = "building", "being computed"
        READY = "ready", "ready"
        FAILED = "failed", "failed"

    label_set = models.ForeignKey(LabelSet, on_delete=models.CASCADE, related_name="heads", db_index=False)
    weights_sha256 = models.CharField("weights SHA-256", max_length=64)
    digest = models.CharField(max_length=64, help_text="Of the labels and templates it was computed from")
    state = models.CharField(max_length=8, choices=State.choices, default=State.BUILDING)
    reason = models.TextField(blank=True, help_text="Why it failed")
    done = models.PositiveIntegerField(default=0, help_text="Prompts embedded so far")
    total = models.PositiveIntegerField(default=0, help_text="Labels times templates")
    claim = models.CharField(max_length=32, blank=True, help_text="Of the thread that computes it")
    alive = models.DateTimeField(default=timezone.now, help_text="When that thread was last heard of")
    vectors = models.BinaryField(null=True, help_text="(labels, dimension) float16, little-endian; rows of length 1")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["label_set", "weights_sha256"], name="label_head_once_per_model"),
        ]

    def __str__(self) -> str:
        return f"{self.state} by {self.weights_sha256[:8]}"

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0


class LabelExample(models.Model):
    """A picture that shows what a label of a set means."""

    label_set = models.ForeignKey(LabelSet, on_delete=models.CASCADE, related_name="examples", db_index=False)
    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="examples")
    label = models.CharField(max_length=255)
    created = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["label", "-created"]
        constraints = [
            models.UniqueConstraint(fields=["label_set", "upload"], name="label_example_once"),
        ]

    def __str__(self) -> str:
        return self.label


class LabelAdapter(models.Model):
    """What one model learnt from a set's examples: two numbers, and how often it was right without and with them."""

    label_set = models.ForeignKey(LabelSet, on_delete=models.CASCADE, related_name="adapters", db_index=False)
    weights_sha256 = models.CharField("weights SHA-256", max_length=64)
    digest = models.CharField(max_length=64, help_text="Of the labels and templates that it was learnt with")
    made = models.DateTimeField(default=timezone.now)
    alpha = models.FloatField()
    beta = models.FloatField()
    examples = models.PositiveIntegerField(help_text="Of labels that have at least four")
    before = models.PositiveIntegerField(help_text="Examples named rightly by the text alone")
    after = models.PositiveIntegerField(help_text="And with all other examples")
    keys = models.BinaryField(help_text="(examples, dimension) float16, little-endian; rows of length 1")
    places = models.BinaryField(help_text="(examples,) int32, little-endian: each one's label, by its place")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["label_set", "weights_sha256"], name="label_adapter_once_per_model"),
        ]

    def __str__(self) -> str:
        return f"{self.before} to {self.after} of {self.examples}"

    @property
    def helps(self) -> bool:
        return self.after > self.before
