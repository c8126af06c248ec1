"""Log lines: key=value, one line per event, nothing in them that a visitor could use to forge or break a line.

No Django here: gunicorn's first process formats its messages with this, too.
"""

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# C0 and C1 controls, Unicode's line ends, lone surrogates, and what turns the writing direction.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 200  # characters of a value
TRACEBACK = 3000  # characters; its end says most

_fields: ContextVar[dict[str, object] | None] = ContextVar("log_fields", default=None)


def escape(text: str) -> str:
    r"""The text on one line: what is unsafe becomes \xNN or \uNNNN."""
    return UNSAFE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def pair(key: str, value: object) -> str:
    """key=value; text is quoted where it holds more than letters, digits and a few signs, and cut where it is long."""
    if isinstance(value, float):
        return f"{key}={value:.0f}"
    text = str(value)
    if len(text) > LONGEST:
        text = text[:LONGEST] + "..."
    return f"{key}={text}" if re.fullmatch(r"[\w./:+-]+", text, re.ASCII) else f"{key}={json.dumps(text)}"


def explained(record: logging.LogRecord) -> bool:
    """Whether a record tells more than the request's own line, which has the path and the status."""
    return record.exc_info is not None


def line(**fields: object) -> str:
    return " ".join(pair(key, value) for key, value in fields.items() if value is not None)


def note(**fields: object) -> None:
    """Add to the line of the request that is being answered, wherever in it this is called."""
    noted = _fields.get()
    if noted is not None:
        noted.update(fields)


@contextmanager
def collect() -> Iterator[dict[str, object]]:
    """Collect what `note` is told within."""
    fields: dict[str, object] = {}
    token = _fields.set(fields)
    try:
        yield fields
    finally:
        _fields.reset(token)


class LineFormatter(logging.Formatter):
    r"""time, level, logger and the message; a traceback follows as one quoted value (`sed 's/\\n/\n/g'` unfolds it)."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = (
            f"time={moment}.{int(record.msecs):03d}Z level={record.levelname.lower()} logger={record.name} "
            f"{escape(record.getMessage())}"
        )
        if record.exc_info:
            text += f" traceback={json.dumps(self.formatException(record.exc_info)[-TRACEBACK:])}"
        return text
