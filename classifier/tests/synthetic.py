"""Fill a database with made-up uploads, quickly, to measure how pages behave when there are many.

The shape is what matters: pictures stored outside the row as real ones are, few failures, a few frequent labels and
many rare ones, one owner with many uploads and many with few. The same count gives the same records, ids apart.
"""

import io
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from django.db import connection, reset_queries, transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone
from PIL import Image

from classifier.models import Classification, Feedback, Prediction, Upload
from classifier.words import words_of

BATCH = 2000  # uploads
BUSY_OWNER = "the-owner-of-many"
SUBJECTS = ("cat", "dog", "coffee", "rocket", "moped", "sofa", "tower", "violin", "lizard", "finch", "daisy", "kite")
KINDS = ("red", "blue", "old", "small", "giant", "spotted", "striped", "wild", "snow", "sea", "stone", "paper")
LABELS = [f"{kind} {subject}" for subject in SUBJECTS for kind in KINDS]
NAMES = ("IMG_{}.jpg", "DSC{}.JPG", "photo-{}.png", "holiday 2026 {}.webp", "Screenshot_{}.png")


def fill(count: int, *, days: int = 400, seed: int = 0, progress: Callable[[int], None] = lambda done: None) -> None:
    """Add `count` uploads, each with one run and its five predictions, spread over the last `days`."""
    draw = random.Random(seed)
    made = _records(count, days, draw)
    done = 0
    while batch := list(islice(made, BATCH)):
        _save(batch)
        done += len(batch)
        reset_queries()  # DEBUG keeps them all
        progress(done)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # as autovacuum would, some time after so many changes
            cursor.execute("VACUUM ANALYZE" if not connection.in_atomic_block else "ANALYZE")


def upload_done(label: str, score: float | None = 0.5, **fields: object) -> Upload:
    """One upload with its run, which found `label` and four others; fields are those of Upload."""
    values = {"status": "done", "model": "ViT-B/32", "label_set": "imagenet", "created": timezone.now(), **fields}
    upload = Upload(
        **{"owner": "someone", "name": "a.jpg", "format": "JPEG", "width": 4, "height": 3, "image": b"jpeg", **values},
        top_label=label,
        top_score=score,
    )
    upload.words = words_of(upload.name, label)
    run = Classification(
        **{name: values[name] for name in ("status", "model", "label_set", "created")}, precision="int8"
    )
    found = [] if values["status"] != "done" else _predictions(run, [label, *LABELS[:4]], score)
    _save([(upload, run, found)])
    upload.refresh_from_db(fields=["latest"])
    return upload


def _records(count: int, days: int, draw: random.Random) -> Iterator[tuple[Upload, Classification, list[Prediction]]]:
    weights = [1 / (rank + 10) for rank in range(len(LABELS))]  # a few frequent, many rare
    pictures = [_jpeg(draw) for _ in range(20)]
    now = timezone.now()
    for number in range(count):
        created = now - timedelta(seconds=days * 86400 * (count - number) / count)
        run = _run(created, draw)
        predictions = (
            [] if run.status == "failed" else _predictions(run, draw.choices(LABELS, weights, k=5), draw.random())
        )
        yield _upload(number, run, predictions, draw.choice(pictures), draw), run, predictions


def _run(created: datetime, draw: random.Random) -> Classification:
    failed = draw.random() < 0.01
    return Classification(
        created=created,
        status="failed" if failed else "done",
        reason="RuntimeError: made up" if failed else "",
        model="RN50" if draw.random() < 0.1 else "ViT-B/32",
        precision="int8",
        weights_sha256="0" * 64,
        seconds_decode=draw.lognormvariate(-3.5, 0.5),
        seconds_predict=None if failed else draw.lognormvariate(-3, 0.4),
    )


def _predictions(run: Classification, labels: list[str], score: float) -> list[Prediction]:
    return [
        Prediction(classification=run, rank=rank + 1, label=label, score=score * 0.5**rank, similarity=0.3 - rank / 100)
        for rank, label in enumerate(labels)
    ]


def _upload(
    number: int, run: Classification, predictions: list[Prediction], image: bytes, draw: random.Random
) -> Upload:
    name = draw.choice(NAMES).format(1000 + number)
    top = predictions[0] if predictions else None
    return Upload(
        created=run.created,
        owner=BUSY_OWNER if draw.random() < 0.05 else f"owner-{draw.randrange(20_000)}",
        name=name,
        format="JPEG",
        width=4000,
        height=3000,
        sha256=f"{draw.getrandbits(256):064x}",
        image=image,
        status=run.status,
        model=run.model,
        label_set=run.label_set,
        top_label=top.label if top else "",
        top_score=top.score if top else None,
        words=words_of(name, top.label if top else ""),
    )


@transaction.atomic
def _save(batch: list[tuple[Upload, Classification, list[Prediction]]]) -> None:
    Upload.objects.bulk_create(upload for upload, _, _ in batch)
    for upload, run, _ in batch:
        run.upload = upload
    Classification.objects.bulk_create(run for _, run, _ in batch)
    Prediction.objects.bulk_create(prediction for _, _, predictions in batch for prediction in predictions)
    told = [upload for upload, _, predictions in batch if predictions and upload.sha256.endswith("00")]  # 1 in 256
    Feedback.objects.bulk_create(Feedback(upload=upload, label="right label") for upload in told)
    run = Classification.objects.filter(upload=OuterRef("pk"))
    Upload.objects.filter(latest=None).update(latest=Subquery(run.values("pk")[:1]))


def _jpeg(draw: random.Random) -> bytes:
    """A small picture with as many bytes behind it as make PostgreSQL keep it outside the row."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), tuple(draw.randrange(256) for _ in range(3))).save(buffer, "JPEG")
    return buffer.getvalue() + draw.randbytes(3000)
