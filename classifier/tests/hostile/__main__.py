"""Read the hostile pictures one after the other: a table for a person, lines of JSON for a program."""

from __future__ import annotations

import io
import json
import sys

from classifier.errors import ImageError
from classifier.pictures import reading
from classifier.tests.hostile import cases
from classifier.tests.hostile.common import LIMITS
from classifier.tests.hostile.measure import allocator_as_deployed, measured


def read(data: bytes) -> tuple[str, str]:
    """(what came of it, the message)"""
    try:
        with reading.picture_open(io.BytesIO(data), **LIMITS) as picture:
            reading.picture_to_jpeg(picture.image)
        return "read", f"{picture.format} {picture.width} x {picture.height}"
    except ImageError as error:
        return type(error).__name__, str(error)
    except Exception as error:
        return f"unexpected {type(error).__name__}", str(error)


def main(wanted: str = "") -> None:
    for case in cases():
        if wanted not in case.name:
            continue
        data, answer = case.data(), []
        took = measured(lambda data=data, answer=answer: answer.extend(read(data)))
        report = {"name": case.name, "expected": case.expected, "bytes": len(data), "outcome": answer[0]}
        report |= {"message": answer[1], **vars(took)}
        print(_line(report) if sys.stdout.isatty() else json.dumps(report), flush=True)


def _line(report: dict) -> str:
    return (
        f"{report['name'][:50]:50} {report['bytes'] / 1e6:5.1f} MB  {report['seconds']:5.2f} s "
        f"{report['memory'] / 1e6:5.1f} MB  {report['outcome']:16} {report['message']}"
    )


if __name__ == "__main__":
    allocator_as_deployed()
    main(*sys.argv[1:])
