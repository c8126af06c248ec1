"""Pictures from the disk into the history: stored and classified as an upload is, once for each owner and file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from django.db import transaction

from classifier.models import ApiKey, Classification, Upload
from classifier.services.finding import name_escaped
from classifier.services.keeping import Kept, picture_keep, upload_make
from classifier.services.runs import Outcome, run_finish, run_start

if TYPE_CHECKING:
    from classifier.engine import Answer, Engine
    from classifier.pictures.decoding import Picture
    from classifier.services.bulk import Result
    from classifier.services.heads import Choice


class Store:
    """The history of one owner: the API key of that name where there is one, else the name itself, which staff see."""

    def __init__(self, loaded: Engine, choice: Choice, owner: str) -> None:
        self.loaded, self.choice = loaded, choice
        self.api_key = ApiKey.objects.filter(name=owner).first()
        self.owner = "" if self.api_key else owner[: Upload._meta.get_field("owner").max_length]

    def keep(self, picture: Picture, file: BinaryIO) -> Kept:
        return picture_keep(picture, file)

    def add(self, result: Result[Answer]) -> Classification | None:
        """Store a result with its picture; None where this owner has it already, of this model and these labels."""
        from classifier.pictures import reading

        kept, answer = result.kept, result.value
        assert isinstance(kept, Kept) and answer is not None
        name = reading.name_clean(name_escaped(os.path.basename(result.source.name)))
        with transaction.atomic():
            mine = Upload.objects.filter(owner=self.owner, api_key=self.api_key, sha256=kept.sha256, name=name)
            upload = mine.first() or upload_make(kept=kept, name=name, owner=self.owner, api_key=self.api_key)
            if self._says(upload.latest, answer):
                return None
            run = run_start(upload=upload, loaded=self.loaded, choice=self.choice, seconds_decode=result.read)
            run_finish(run=run, outcome=Outcome(answer, "", result.compute))
        return run

    def _says(self, run: Classification | None, answer: Answer) -> bool:
        """Whether a run found the same labels with the same model: there is nothing new to keep."""
        if run is None or run.status != Classification.Status.DONE or run.label_set != self.choice.name:
            return False
        labels = [prediction.label for prediction in run.predictions.all()]
        same_model = run.weights_sha256 == self.loaded.info.weights_sha256
        return same_model and labels == [prediction.label for prediction in answer.predictions]
