"""Which class a folder's name stands for, as data sets spell them: ImageNet's names, or any labels'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from classifier.errors import LabelError

if TYPE_CHECKING:
    from classifier.engine import Head

SYNSET = re.compile(r"(n\d{8})(?:[-_ .].*)?")  # n01440764, n01440764_tench
NUMBER = re.compile(r"\d{1,4}")
SHOWN = 5  # problems


class Names:
    """What the labels of a head are called: `place` finds a name's. The first of two that are one text is both's."""

    def __init__(self, head: Head, *, imagenet: bool) -> None:
        self.head = head
        self.first = {second: first for first, second in head.doubles}
        self.by_name: list[dict[str, list[int]]] = []  # what goes before what; each name with the places it stands for
        self.synsets: dict[str, int] = {}
        if imagenet:
            self._imagenet()
        else:
            self.by_name.append(_places(enumerate(head.labels)))

    def _imagenet(self) -> None:
        from classifier.engine.imagenet import imagenet

        classes = [(entry["index"], entry) for entry in imagenet()["classes"]]
        self.synsets = {entry["synset"]: place for place, entry in classes}
        self.by_name = [
            _places((place, entry["label"]) for place, entry in classes),
            _places((place, entry["name"]) for place, entry in classes),
            _places((place, lemma) for place, entry in classes for lemma in entry["lemmas"]),
        ]

    def place(self, name: str) -> int | None:
        """The class of a folder's name; None where it stands for none. Raises LabelError where it stands for two."""
        if match := SYNSET.fullmatch(name):
            return self.synsets.get(match[1])
        if NUMBER.fullmatch(name) and int(name) < len(self.head.labels):
            exact = self.by_name[0].get(name)
            return exact[0] if exact else int(name)
        for names in self.by_name:
            places = names.get(_key(name), [])
            if len(places) > 1:
                ids = {place: synset for synset, place in self.synsets.items()}
                raise LabelError(
                    f"“{name}” stands for {' and '.join(f'{ids[place]} (class {place})' for place in places)}: "
                    "name the folder by one of these."
                )
            if places:
                return places[0]
        return None

    def places(self, names: Sequence[str]) -> dict[str, int]:
        """The class of each name. Raises LabelError that tells the first names that stand for none, or for two."""
        found = {name: self.place(name) for name in dict.fromkeys(names)}
        unknown = [name for name, place in found.items() if place is None]
        if unknown:
            what = "an ImageNet label, WordNet id or number" if self.synsets else "one of the labels"
            shown = ", ".join(unknown[:SHOWN]) + (", …" if len(unknown) > SHOWN else "")
            raise LabelError(
                f"{len(unknown):,} of {len(found):,} names do not stand for {what}: {shown}. "
                "To use the names themselves as labels add --folder-labels."
            )
        return {name: place for name, place in found.items() if place is not None}


def head_of_these(head: Head, places: Iterable[int]) -> tuple[Head, dict[int, int]]:
    """A head of some places alone, as data sets of fewer classes are ranked, and where each of them is in it."""
    from classifier.engine import Head

    kept = sorted(set(places))
    moved = {old: new for new, old in enumerate(kept)}
    doubles = tuple((moved[a], moved[b]) for a, b in head.doubles if a in moved and b in moved)
    labels, indices = tuple(head.labels[k] for k in kept), tuple(head.indices[k] for k in kept)
    return Head(head.name, labels, head.weights[kept], indices, doubles=doubles), moved


def _places(names: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for place, name in names:
        places = found.setdefault(_key(name), [])
        if place not in places:
            places.append(place)
    return found


def _key(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
