"""Pictures from the disk: classify many, and measure accuracy over a folder per class. Nothing is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from classifier import engine
from classifier.errors import ImageError, LabelError
from classifier.services.labels import labels_from_list

if TYPE_CHECKING:
    from classifier.pictures.decoding import Picture

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}


@dataclass(frozen=True)
class FileResult:
    """What became of one file: an answer, or the sentence that says why there is none."""

    path: Path
    answer: engine.Answer | None
    error: str = ""


@dataclass
class Accuracy:
    """Counts over a folder per class."""

    pictures: int = 0
    top1: int = 0
    top5: int = 0
    skipped: list[FileResult] = field(default_factory=list)
    by_label: dict[str, Counter[str]] = field(default_factory=dict)  # label -> what its pictures were taken for

    def add(self, label: str, answer: engine.Answer) -> None:
        """Classes that share their name count as one: their folders' pictures get the same answer."""
        from classifier.engine.imagenet import imagenet_together

        label = imagenet_together(label)
        ranked = [imagenet_together(prediction.label) for prediction in answer.predictions[:5]]
        self.pictures += 1
        self.top1 += ranked[0] == label
        self.top5 += label in ranked
        self.by_label.setdefault(label, Counter())[ranked[0]] += 1


def files_find(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as named, and of folders every picture inside by its ending, sorted."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        else:
            yield path


def files_classify(
    files: Iterator[Path], *, loaded: engine.Engine, max_pixels: int, head: engine.Head | None = None, top: int = 5
) -> Iterator[FileResult]:
    """Classify files in their order; the next one is decoded while one is classified, so two are held at most."""

    def read(path: Path) -> Picture | str:
        from classifier.pictures import reading

        try:
            with path.open("rb") as file:
                return reading.picture_read(file, max_bytes=max(1, path.stat().st_size), max_pixels=max_pixels)
        except ImageError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)

    with ThreadPoolExecutor(max_workers=1) as reader:
        begun = ((path, reader.submit(read, path)) for path in files)
        pending = next(begun, None)
        while pending is not None:
            path, picture = pending[0], pending[1].result()
            pending = next(begun, None)
            if isinstance(picture, str):
                yield FileResult(path, None, picture)
            else:
                yield FileResult(path, loaded.classify(picture.image, head, top))


def folders_label(folders: Sequence[Path]) -> dict[Path, str]:
    """Which ImageNet label each folder stands for, by label, prompt name, WordNet id or index (`n02123045`, `281`).

    Raises LabelError naming the folders that stand for none.
    """
    from classifier.engine.imagenet import imagenet

    known: dict[str, str] = {}
    for entry in imagenet()["classes"]:
        for key in (entry["name"], entry["label"], entry["synset"], str(entry["index"])):
            known[key.casefold()] = entry["label"]
    keys = {folder: folder.name.replace("_", " ").casefold() for folder in folders}
    unknown = [folder.name for folder, key in keys.items() if key not in known]
    if unknown:
        raise LabelError(
            f"{len(unknown)} of {len(folders)} folders are not named after an ImageNet label, WordNet id or index: "
            f"{', '.join(unknown[:5])}. To use the folders' own names as labels add --folder-labels."
        )
    return {folder: known[key] for folder, key in keys.items()}


def folders_evaluate(
    folders: dict[Path, str], *, loaded: engine.Engine, max_pixels: int, head: engine.Head | None = None
) -> Iterator[Accuracy]:
    """Classify every picture of each folder; yields the counts so far after each file."""
    accuracy = Accuracy()
    for folder, label in folders.items():
        for result in files_classify(files_find([folder]), loaded=loaded, max_pixels=max_pixels, head=head):
            if result.answer is None:
                accuracy.skipped.append(result)
            else:
                accuracy.add(label, result.answer)
            yield accuracy


def folder_labels(folders: Sequence[Path]) -> dict[Path, str]:
    """The folders' own names as labels, underscores read as spaces. Raises LabelError."""
    labels = labels_from_list([folder.name.replace("_", " ") for folder in folders])
    return dict(zip(folders, labels, strict=True))
