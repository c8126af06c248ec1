"""What somebody without a picture at hand can try: photos of ours, most with labels that show what zero-shot means."""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpRequest


@dataclass(frozen=True)
class Example:
    """A photo in static/classifier/examples, by script/make_examples.py, and what to ask of it."""

    photo: str
    question: str
    labels: tuple[str, ...] = ()  # none: ImageNet's 1000
    template: str = ""


ZERO_SHOT = (
    Example("astronaut", "Happy or sad?", ("happy", "sad"), "a photo of a {} person."),
    Example("rocket", "Day or night?", ("day", "night"), "a photo taken at {}."),
    Example("coffee", "Hot dog or not?", ("a hot dog", "something else")),
    Example("cat", "Which of 1000 things?"),
)
PLAIN = (Example("coffee", "Coffee"), Example("cat", "Cat"), Example("rocket", "Rocket"))  # for the stand-in


def examples_shown() -> tuple[Example, ...]:
    return PLAIN if settings.CLIP_MODEL == "standin" else ZERO_SHOT


def example_file(request: HttpRequest) -> dict[str, SimpleUploadedFile]:
    """The photo that was picked in place of a file, if one was."""
    name = request.POST.get("example")
    if name not in {example.photo for example in ZERO_SHOT}:
        return {}
    path = Path(finders.find(f"classifier/examples/{name}.webp"))
    return {"image": SimpleUploadedFile(path.name, path.read_bytes())}
