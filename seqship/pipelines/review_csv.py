"""Reviews from CSV files with the columns `text` and `label`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqship.errors import DataError
from seqship.pipelines.packed_file import read_packed
from seqship.pipelines.texts import Texts

CLASSES = ("negative", "positive")
COLUMNS = ("text", "label")

_LABELS = {"0": 0, "1": 1, **{name: index for index, name in enumerate(CLASSES)}}
_WANTED = "a CSV file of reviews"
_CONTENT = "the header text,label and rows"


def read_review_csv(path: str | Path) -> Texts:
    """Reads a CSV file of reviews, plain or gzip (told by its content, not by its name).

    Args:
        path: The file, UTF-8: a header that names the columns `text` and `label`, others are passed over; then a row
            a review. A label is 0 or negative, 1 or positive.

    Returns:
        The reviews as they are written, `<br />` marks included; classes negative, positive.

    Raises:
        DataError: The file cannot be read or breaks the layout; the message names the row, the first review's being 1.
    """
    path = Path(path)
    content = read_packed(path, wanted=_WANTED, content=_CONTENT)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
        ) from None
    rows = _rows(path, text)
    header = [name.strip() for name in next(rows, [])]
    for column in COLUMNS:
        if header.count(column) != 1:
            met = ", ".join(header)
            raise DataError(f"{path} has no column {column!r}, met {_short(met)}; begin it with the header text,label")
    text_at, label_at = map(header.index, COLUMNS)
    texts: list[str] = []
    labels: list[int] = []
    for number, row in enumerate(rows, start=1):
        if not row:
            raise DataError(f"{path}, row {number}: the row is blank; remove it")
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}: the number of columns is {len(row)}, not {len(header)}; put texts with commas "
                "in double quotes"
            )
        label = _LABELS.get(row[label_at].strip())
        if label is None:
            raise DataError(
                f"{path}, row {number}: the label is {_short(row[label_at])}; give 0 (negative) or 1 (positive)"
            )
        if not row[text_at].strip():
            raise DataError(f"{path}, row {number}: the review is empty; remove the row")
        texts.append(row[text_at])
        labels.append(label)
    if not texts:
        raise DataError(f"{path} holds a header and no review; add rows")
    return Texts(tuple(texts), np.array(labels, np.int64), CLASSES, f"review CSV {path.name}")


def _rows(path: Path, text: str) -> Iterator[list[str]]:
    """Yields the rows of a CSV file, the header first.

    Raises:
        DataError: A quote is not closed, or something follows a closing one.
    """
    number = 0
    # One text may be as long as the file: the module's limit for all readers is lifted while this one runs.
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        for row in reader:
            yield row
            number += 1
    except csv.Error as error:
        where = f"row {number}" if number else "the header"
        raise DataError(f"{path}, {where}: {error}; put texts in double quotes and double those within") from None
    finally:
        csv.field_size_limit(limit)


def _short(cell: str) -> str:
    """Returns the cell as it is quoted in a message."""
    return repr(cell if len(cell) <= 24 else f"{cell[:24]}...")
