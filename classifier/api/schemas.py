"""What the API takes and gives."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ninja import Field, Schema
from pydantic import BaseModel, ConfigDict

from classifier.services.keys import upload_secret
from classifier.services.labels import DEFAULT_TEMPLATE, MAX_LABELS_ONCE, MIN_LABELS


class PictureSchema(Schema):
    width: int = Field(description="Pixels, upright, as sent")
    height: int = Field(description="Pixels, upright, as sent")
    url: str = Field(description="The stored picture: an upright JPEG, at most 512 pixels a side")


class PredictionSchema(Schema):
    rank: int = Field(description="1 is the likeliest")
    label: str
    index: int | None = Field(
        description="ImageNet's number of this label, the first where it stands for two classes; null for others"
    )
    score: float = Field(description="Softmax probability over all labels")
    similarity: float | None = Field(description="Cosine between the picture's and the label's embedding")


class SecondsSchema(Schema):
    decode: float | None = Field(description="Reading and resizing the file")
    predict: float | None = Field(description="Image tower and ranking")


class SquareSchema(Schema):
    """A square of a picture, in the picture's own pixels. It is moved into the picture where it lies beyond."""

    x: int = Field(strict=True, ge=-1_000_000, le=1_000_000, description="Pixels from the left")
    y: int = Field(strict=True, ge=-1_000_000, le=1_000_000, description="Pixels from the top")
    side: int = Field(strict=True, ge=1, le=1_000_000, description="Pixels across")


class RecordSchema(Schema):
    """An upload and its newest classification."""

    id: UUID
    created: datetime
    status: Literal["running", "done", "failed"]
    reason: str = Field(description="Why it failed, or empty")
    model: str
    precision: str
    label_set: str
    fits: bool | None = Field(
        description="Whether the best label says anything; false where none of the labels fits well, null until done"
    )
    square: SquareSchema | None = Field(
        description="The part of the picture that was ranked, where somebody chose one; null for the model's own crop"
    )
    image: PictureSchema
    predictions: list[PredictionSchema] = Field(description="The likeliest first")
    seconds: SecondsSchema
    url: str = Field(description="The page that shows it; whoever has this address may see it")


class CreatedSchema(RecordSchema):
    """A new upload, with its secret."""

    secret: str = Field(description="Deletes this upload later, as a bearer token. It is told only here.")


class PageSchema(Schema):
    """Some of your uploads, newest first."""

    items: list[RecordSchema]
    next: str | None = Field(description="The address of the next page; null on the last")


class ScoreSchema(Schema):
    """One label, as Hugging Face writes it."""

    label: str
    score: float


LABEL = {"type": "string", "format": "label", "minLength": 1}
TEMPLATE = {"type": "string", "format": "prompt-template"}


def labels_json(most: int, *, null: bool = False) -> dict:
    """How OpenAPI describes labels; what is wrong with others is told in our own words."""
    labels = {"type": "array", "items": LABEL, "minItems": MIN_LABELS, "maxItems": most, "uniqueItems": True}
    text = {"type": "string", "format": "labels"}
    return {"anyOf": [labels, text, *([{"type": "null"}] if null else [])]}


class ParametersSchema(BaseModel):  # not a Schema, which would take any object with such attributes
    """Hugging Face's `parameters`."""

    model_config = ConfigDict(extra="forbid")

    candidate_labels: list[str] | str | None = Field(
        None,
        description="2 to 100 labels to choose from, as a list or separated by commas; ImageNet's where absent",
        json_schema_extra=labels_json(MAX_LABELS_ONCE, null=True),
    )
    hypothesis_template: str | None = Field(
        None,
        description=f"A sentence with {{}} for the label; `{DEFAULT_TEMPLATE}` where absent",
        json_schema_extra={"anyOf": [TEMPLATE, {"type": "null"}]},
    )
    top_k: int = Field(5, strict=True, ge=1, le=1000, description="How many of ImageNet's labels to return")
    function_to_apply: Literal["softmax"] | None = Field(None, description="Scores are always a softmax")


PIXEL = "R0lGODdhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="  # the smallest GIF


class ZeroShotSchema(BaseModel):
    """Hugging Face's request.

    Its older clients write `image` for `inputs`, `candidateLabels` for `candidate_labels`, and put the parameters
    beside or into `inputs`: all of that is understood. Any other member is refused by name.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"inputs": PIXEL, "parameters": {"candidate_labels": ["a cat", "a dog"]}}},
    )

    inputs: str = Field(
        description="The picture in base64, or as a data: URL in base64", json_schema_extra={"format": "byte"}
    )
    parameters: ParametersSchema | None = None
    options: dict[str, Any] | None = Field(
        None, description="Hugging Face's switches of its own; they mean nothing here"
    )


class ProblemSchema(Schema):
    """An error: RFC 9457, application/problem+json."""

    type: str = Field(description="Where this kind of error is explained")
    title: str = Field(description="The kind of error")
    status: int
    detail: str = Field(description="What was wrong this time, and what to do")
    errors: list[dict[str, Any]] | None = Field(None, description="The parameters that are not right, each with why")


def created_of(record: dict) -> dict:
    """The record as it is answered once, to whoever made it."""
    return {**record, "secret": upload_secret(UUID(record["id"]))}
