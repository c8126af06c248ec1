"""Labels and prompt templates as people give them: text -> checked lists. Knows neither Django nor torch.

Each problem is told with its line, so that a list of thousands can be put right: `LabelError` carries the first few.
"""

import re
from collections.abc import Sequence

from classifier.engine.tokenizer import words_read
from classifier.errors import LabelError

DEFAULT_TEMPLATE = "This is a photo of {}."  # Hugging Face's
IMAGENET = "imagenet"  # the built-in set
CUSTOM = "custom"  # what the record calls labels that were given for one picture only
RESERVED_NAMES = {IMAGENET, CUSTOM}

MIN_LABELS = 2
MAX_LABELS_ONCE = 100
MAX_LABELS_SET = 5_000
MAX_TEMPLATES = 100
MAX_LENGTH = 200  # characters of a label or a template; CLIP reads 77 tokens, which the text tower checks
MAX_NAME = 60  # characters of a set's name
MAX_FILE = 2_000_000  # bytes of an uploaded list; 5,000 labels of 200 characters are half of it
SHOWN_PROBLEMS = 4

# The published list of Places-365 (categories_places365.txt): "/a/apartment_building/outdoor 8"
PLACES_LINE = re.compile(r"/[a-z]/(\S+)\s+\d+")
# Lone surrogates, which JSON can spell, are no text either: they cannot be written in UTF-8.
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029\ud800-\udfff]")


def labels_from_text(text: str) -> tuple[str, ...]:
    """Labels for one picture, separated by commas or line breaks. Raises `LabelError`."""
    pieces = [piece for line in text.splitlines() for piece in _pieces(line)]
    return labels_check([_tidy(piece) for piece in _trimmed(pieces)], most=MAX_LABELS_ONCE)


def labels_from_list(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels for one picture from a program, which finds them again as it wrote them. Raises `LabelError`."""
    return labels_check([label.strip() for label in labels], most=MAX_LABELS_ONCE)


def set_labels_from_text(text: str) -> tuple[str, ...]:
    """The labels of a set, one per line (or, on a single line, separated by commas).

    A label keeps its commas; underscores become spaces ("aquarium_fish"), and the lines of Places-365
    ("/a/apartment_building/outdoor 8") are understood. Raises `LabelError`.
    """
    lines = _trimmed(text.splitlines())
    if len(lines) == 1:
        lines = _trimmed(lines[0].split(","))
    return labels_check([_tidy(line) for line in lines], most=MAX_LABELS_SET)


def labels_check(labels: Sequence[str], *, most: int) -> tuple[str, ...]:
    """The same labels, if they can be used together. Raises `LabelError`."""
    if not MIN_LABELS <= len(labels) <= most:
        raise LabelError(f"Give {MIN_LABELS} to {most:,} labels; there are {len(labels):,}.")
    _raise_problems([*_blank_or_long(labels, "Label"), *_repeated(labels, "Label")])
    return tuple(labels)


def templates_from_text(text: str) -> tuple[str, ...]:
    """Prompt templates, one per line; the default where there is none. Raises `LabelError`."""
    return templates_check([line.strip() for line in _trimmed(text.splitlines())] or [DEFAULT_TEMPLATE])


def templates_check(templates: Sequence[str]) -> tuple[str, ...]:
    """The same templates, if each has a place for the label. Raises `LabelError`."""
    if not 1 <= len(templates) <= MAX_TEMPLATES:
        raise LabelError(f"Give 1 to {MAX_TEMPLATES} prompt templates; there are {len(templates):,}.")
    placeless = [
        f"Template {place} (“{_short(template)}”) has no {{}}, where the label goes."
        for place, template in enumerate(templates, start=1)
        if template and "{}" not in template
    ]
    _raise_problems([*_blank_or_long(templates, "Template"), *placeless, *_repeated(templates, "Template")])
    return tuple(templates)


def prompt(template: str, label: str) -> str:
    """What CLIP reads. Only {} is filled in, so that braces in a template mean nothing else."""
    return template.replace("{}", label)


def name_check(name: str) -> str:
    """A set's name, tidied. Raises `LabelError`."""
    name = " ".join(name.split())
    if not name:
        raise LabelError("Give the label set a name.")
    if len(name) > MAX_NAME:
        raise LabelError(f"The name has {len(name)} characters; {MAX_NAME} are the most.")
    if CONTROL.search(name):
        raise LabelError("The name has a control character.")
    if name.casefold() in RESERVED_NAMES:
        raise LabelError(f"“{name}” is built in; choose another name.")
    return name


def text_from_bytes(data: bytes) -> str:
    """The text of an uploaded list. Raises `LabelError`."""
    if len(data) > MAX_FILE:
        raise LabelError(f"The list is {len(data) / 1e6:.1f} MB; the limit is {MAX_FILE / 1e6:.0f} MB.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError("The list is not UTF-8 text. Save it as plain text, one label per line.") from error


def _pieces(line: str) -> list[str]:
    """The labels of one line; a comma at its end separates it from the next line and starts no blank label."""
    line = line.strip()
    return line.removesuffix(",").split(",")


def _trimmed(lines: list[str]) -> list[str]:
    """Without blank lines before and after; one in between is a mistake that is told."""
    filled = [place for place, line in enumerate(lines) if line.strip()]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _tidy(line: str) -> str:
    line = line.strip()
    if places := PLACES_LINE.fullmatch(line):
        line = places[1].replace("/", ", ")
    return " ".join(line.replace("_", " ").split(" "))


def _blank_or_long(texts: Sequence[str], what: str) -> list[str]:
    problems = []
    for place, text in enumerate(texts, start=1):
        if CONTROL.search(text):
            problems.append(f"{what} {place} has a control character.")
        elif not words_read(text):
            problems.append(f"{what} {place} is blank.")
        elif len(text) > MAX_LENGTH:
            problems.append(f"{what} {place} (“{_short(text)}”) has {len(text)} characters; {MAX_LENGTH} are the most.")
    return problems


def _repeated(texts: Sequence[str], what: str) -> list[str]:
    """Those that say the same to CLIP: in lower case, with single spaces, and ’ for ', &amp; for & and so on."""
    first: dict[str, int] = {}
    problems = []
    for place, text in enumerate(texts, start=1):
        key = " ".join(words_read(text))
        if key and first.setdefault(key, place) != place:
            problems.append(f"{what} {place} (“{_short(text)}”) repeats {what.lower()} {first[key]}.")
    return problems


def _raise_problems(problems: list[str]) -> None:
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        raise LabelError(" ".join(problems[:SHOWN_PROBLEMS]) + (f" And {more:,} more." if more > 0 else ""))


def _short(text: str, length: int = 40) -> str:
    text = CONTROL.sub("�", text)
    return text if len(text) <= length else f"{text[:length]}…"
