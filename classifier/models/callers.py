"""Programs that call: their keys, how much they ask, and what they were answered."""

from django.db import models
from django.utils import timezone

from classifier.models.uploads import Upload


class ApiKey(models.Model):
    """A program that may use the API. Its token is shown once, when it is made; only the hash is kept."""

    name = models.CharField(max_length=100, help_text="Who or what uses it")
    prefix = models.CharField(max_length=16, editable=False, help_text="The token's beginning, to tell keys apart")
    token_hash = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the token")
    created = models.DateTimeField(default=timezone.now, editable=False)
    last_used = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the minute")
    active = models.BooleanField(default=True, help_text="An inactive key is refused; its uploads stay")
    per_minute = models.PositiveIntegerField(
        "pictures per minute",
        null=True,
        blank=True,
        help_text="Empty: RATE_LIMIT_KEY_PER_MINUTE. 0: no limit",
    )

    class Meta:
        verbose_name = "API key"
        ordering = ["-created", "-id"]
        indexes = [models.Index(fields=["name", "id"], name="api_key_name")]  # offered by name, some of them

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class RateLimit(models.Model):
    """How much of its limit one address or key has used. Rows are worthless once `used_until` has passed."""

    key = models.CharField(primary_key=True, max_length=64, help_text="Keyed hash: no address is stored")
    used_until = models.FloatField(help_text="Seconds since 1970 at which the allowance is whole again")


class IdempotentRequest(models.Model):
    """A POST with an Idempotency-Key, kept so that repeating it repeats the answer and not the work."""

    key = models.CharField(primary_key=True, max_length=64, help_text="Hash of who asked and their Idempotency-Key")
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what was sent")
    created = models.DateTimeField(default=timezone.now, db_index=True)
    upload = models.ForeignKey(Upload, null=True, on_delete=models.CASCADE, related_name="+")
    # None while the first request is being answered; {} where that failed after the upload was stored
    answer = models.JSONField(null=True, help_text="Empty while the first request is being answered")
