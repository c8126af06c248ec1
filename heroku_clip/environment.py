"""Variables of the environment, read so that what is wrong with one is a sentence. An empty one counts as unset."""

import math
import os

from django.core.exceptions import ImproperlyConfigured


def env_flag(name: str, default: bool) -> bool:
    """Read a boolean; anything but 1/0, true/false, yes/no, on/off fails."""
    value = os.environ.get(name, "").strip().lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    if value == "":
        return default
    raise ImproperlyConfigured(f"{name} is {value!r}; it must be 1 or 0.")


def env_number(name: str, default: float, minimum: float, maximum: float = float("inf")) -> float:
    """Read a number within bounds; anything else fails."""
    value = os.environ.get(name, "").strip()
    try:
        number = float(value) if value else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be a number.") from error
    if not math.isfinite(number):
        raise ImproperlyConfigured(f"{name} is {value!r}; it must be a number.")
    if not minimum <= number <= maximum:
        raise ImproperlyConfigured(f"{name} is {number:g}; it must be between {minimum:g} and {maximum:g}.")
    return number


def env_list(name: str, default: list[str]) -> list[str]:
    """Read a comma-separated list."""
    values = [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]
    return values or default
