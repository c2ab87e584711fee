"""Reads sequences from JSON lines, CSV and npz, and writes answers as JSON lines."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.heartbeat_layout import SAMPLES
from seqship.pipelines.spec import Field
from seqship.serving.predictor import Prediction

CsvLayout = Literal["plain", "heartbeat"]
"""A row is a sequence; or it is 187 samples, zero padded at the end, and then the class."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_MAGIC = b"PK"


def read_records(
    source: Path | BinaryIO, field: Field, *, layout: CsvLayout = "plain"
) -> list[NDArray[Any]] | NDArray[Any]:
    """Reads the sequences of a file or stream; the format is told by its content.

    - npz: one padded array, under the input's name or alone.
    - JSON lines: each line a list of steps, or an object that holds one under the input's name.
    - CSV: each row one sequence of a model with one feature; empty cells at a row's end are left out.
    Any of them may be gzipped.

    Args:
        source: The file, or a binary stream.
        field: Contract of the model's input.
        layout: How a CSV row is laid out.

    Returns:
        A list of sequences, (time,) or (time, features) each; for npz the array.

    Raises:
        DataError: The file is missing, empty or broken; its line is named.
    """
    if field.rank < 2 or field.dtype == "string":
        raise DataError(f"the input {field.name!r} is no sequence of numbers; use serving.Predictor.predict_batch")
    data, name = read_source(source)
    if data.startswith(_ZIP_MAGIC):
        return _from_npz(data, field, name)
    text = decoded(data, name)
    if text.lstrip()[0] in "[{":
        return list(_from_json_lines(text, field, name))
    return list(_from_csv(text, field, name, layout))


def read_source(source: Path | BinaryIO) -> tuple[bytes, str]:
    """Returns the content of a file or stream, unzipped, and its name for errors.

    Raises:
        DataError: It cannot be read.
    """
    name = str(source) if isinstance(source, Path) else "standard input"
    try:
        data = source.read_bytes() if isinstance(source, Path) else source.read()
        return (gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data), name
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"cannot read {name}: {reason.lower()}") from None


def decoded(data: bytes, name: str) -> str:
    """Returns what a file holds as text.

    Raises:
        DataError: It is no UTF-8, or there is nothing.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    if not text.strip():
        raise DataError(f"{name} is empty; give JSON lines, CSV or npz")
    return text


def prediction_lines(prediction: Prediction) -> Iterator[str]:
    """Yields one JSON line an answer: the class and the probabilities, or the outputs by name."""
    if prediction.classes is not None and prediction.probabilities is not None:
        for name, scores in zip(prediction.classes, prediction.probabilities, strict=True):
            yield json.dumps({"class": name, "probabilities": [float(score) for score in scores]})
        return
    count = len(next(iter(prediction.outputs.values())))
    for row in range(count):
        yield json.dumps({name: values[row].tolist() for name, values in prediction.outputs.items()})


def _from_npz(data: bytes, field: Field, name: str) -> NDArray[Any]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            key = field.name if field.name in arrays.files else arrays.files[0] if len(arrays.files) == 1 else None
            if key is None:
                raise DataError(f"{name} holds {', '.join(arrays.files) or 'nothing'}; the input is {field.name!r}")
            array: Any = arrays[key]
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{name} is no npz of plain arrays: {error}") from None
    if not isinstance(array, np.ndarray):  # NumPy gives what is no array as bytes.
        raise DataError(f"{name} is no npz of plain arrays: {key} is none")
    return array


def _from_json_lines(text: str, field: Field, name: str) -> Iterator[NDArray[Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} is no JSON: {error}") from None
        if isinstance(value, dict):
            if field.name not in value:
                raise DataError(f"{place} has no {field.name!r}; it has: {', '.join(map(str, value)) or 'nothing'}")
            value = value[field.name]
        try:
            yield np.asarray(value, dtype=None if np.dtype(field.dtype).kind in "iu" else np.dtype(field.dtype))
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{place} is no list of numbers, each step alike") from None


def _from_csv(text: str, field: Field, name: str, layout: CsvLayout) -> Iterator[NDArray[Any]]:
    if field.step_size != 1:
        raise DataError(
            f"a CSV row holds one feature a step, the model takes {field.step_size}; give JSON lines or npz"
        )
    for number, row in enumerate(_rows(text, name), start=1):
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        place = f"{name} row {number}"
        if not cells:
            raise DataError(f"{place} is empty; a sequence has at least one step")
        try:
            values = np.array(cells, dtype=np.float64)
        except ValueError:
            wrong = next(cell for cell in cells if not _is_number(cell))
            raise DataError(f"{place} holds {wrong[:40]!r}, which is no number") from None
        if layout == "heartbeat":
            if len(values) != SAMPLES + 1:
                raise DataError(f"{place} has {len(values)} columns; the heartbeat layout has {SAMPLES + 1}")
            values = np.trim_zeros(values[:SAMPLES], "b")
        yield values


def _rows(text: str, name: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text))
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(f"{name} is no CSV: {error} in line {reader.line_num}") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
