"""Reads raw texts from JSON lines, CSV and plain lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from seqship.errors import DataError
from seqship.serving.records import decoded, read_source

COLUMN = "text"


def read_texts(source: Path | BinaryIO) -> list[str]:
    """Reads the texts of a file or stream; the format is told by the first line.

    - JSON lines: each line a string, or an object that holds one under `text`.
    - CSV whose header has a column `text`; the other columns are left out.
    - Else each line is a text.
    Any of them may be gzipped.

    Args:
        source: The file, or a binary stream.

    Raises:
        DataError: The file is missing, empty or broken; its line is named.
    """
    data, name = read_source(source)
    text = decoded(data, name)
    first = next(line for line in text.split("\n") if line.strip())
    if _is_json(first):
        return list(_from_json_lines(text, name))
    if COLUMN in _cells(first):
        return list(_from_csv(text, name))
    return [line.strip() for line in text.split("\n") if line.strip()]


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), str | dict)
    except (ValueError, RecursionError):
        return False


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line]), [])]


def _from_json_lines(text: str, name: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} line {number} is no JSON: {error}") from None
        value = value.get(COLUMN) if isinstance(value, dict) else value
        if not isinstance(value, str):
            raise DataError(
                f'{name} line {number} is neither a text nor an object with one, such as {{"{COLUMN}": "..."}}'
            )
        yield value


def _from_csv(text: str, name: str) -> Iterator[str]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [cell.strip() for cell in next(reader)]
        column = header.index(COLUMN)
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{name} line {reader.line_num} has {len(row)} columns, the header {len(header)}; "
                    "put texts that hold commas into double quotes"
                )
            yield row[column]
    except csv.Error as error:
        raise DataError(f"{name} is no CSV: {error} in line {reader.line_num}") from None
