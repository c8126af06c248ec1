"""Uploads with their newest runs as files: JSON in the records of the API, and CSV. Both line by line."""

import csv
import json
import re
from collections.abc import Iterable, Iterator

from django.http import HttpRequest

from classifier.http.records import record_of
from classifier.models import Upload

CSV_RANKS = 5
CSV_COLUMNS = (
    [
        "id",
        "created",
        "file",
        "width",
        "height",
        "status",
        "model",
        "precision",
        "label_set",
        "square",
        "fits",
        "right",
        "right_label",
        "url",
    ]
    + [f"label_{rank}" for rank in range(1, CSV_RANKS + 1)]
    + [f"score_{rank}" for rank in range(1, CSV_RANKS + 1)]
    + [f"similarity_{rank}" for rank in range(1, CSV_RANKS + 1)]
)

# What spreadsheets take for the beginning of a formula, wide forms included, and what they skip before one.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA_SIGNS = tuple("=+-@＝＋－＠\t\r\n")
# Where Excel separates by semicolons it finds them inside our cells, quoted or not, and a formula after one.
FORMULA_AFTER = re.compile(r"""([;,|\t]["\s]*)(?=[=+\-@＝＋－＠])""")
BYTE_ORDER_MARK = "\ufeff"  # without which Excel does not take it for UTF-8


def records_json(uploads: Iterable[Upload], request: HttpRequest) -> Iterator[str]:
    """A JSON array, one record per line."""
    before = "[\n"
    for upload in uploads:
        yield before + json.dumps(record_of(upload, request), ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def records_csv(uploads: Iterable[Upload], request: HttpRequest) -> Iterator[str]:
    """A table with one line per upload."""
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield BYTE_ORDER_MARK + writer.writerow(CSV_COLUMNS)
    for upload in uploads:
        yield writer.writerow(cell_safe(value) for value in _csv_row(upload, request))


def _csv_row(upload: Upload, request: HttpRequest) -> list:
    run = upload.latest
    done = run is not None and run.status == run.Status.DONE  # else it has ended between two queries
    rows = {row.rank: row for row in (run.predictions.all() if done else ())}
    ranks = [rows.get(rank) for rank in range(1, CSV_RANKS + 1)]
    return [
        upload.id,
        upload.created.isoformat(),
        upload.name,
        upload.width,
        upload.height,
        run.status if run else "running",
        run.model if run else "",
        run.precision if run else "",
        run.label_set if run else "",
        " ".join(str(run.square[name]) for name in ("x", "y", "side")) if run and run.square else "",
        {True: "yes", False: "no", None: ""}[upload.fits],
        {"right": "yes", "wrong": "no", "": ""}[upload.verdict],
        upload.right_label,
        request.build_absolute_uri(upload.get_absolute_url()),
        *(row.label if row else "" for row in ranks),
        *(row.score if row else "" for row in ranks),
        *("" if row is None or row.similarity is None else row.similarity for row in ranks),
    ]


def cell_safe(value: object) -> object:
    """Text that a spreadsheet would run gets an apostrophe before the formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    value = FORMULA_AFTER.sub(r"\1'", value)
    return f"'{value}" if value.lstrip(' "\xa0').startswith(FORMULA_SIGNS) else value


class _Echo:
    """A file for csv.writer whose write returns the line."""

    def write(self, line: str) -> str:
        return line
