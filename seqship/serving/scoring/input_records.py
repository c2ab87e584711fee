"""The records of input files: what each is called by, and its sequence or why there is none."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.errors import DataError
from seqship.pipelines.spec import Field
from seqship.serving.records import CsvLayout
from seqship.serving.records import read_records as read_rows
from seqship.serving.scoring.input_parts import FormatChoice, Part, format_of
from seqship.serving.scoring.opened_file import DAMAGED, opened_file
from seqship.serving.text_records import COLUMN
from seqship.wire.examples import from_examples
from seqship.wire.messages import Example
from seqship.wire.records import read_records as read_tfrecords

ID, INPUT, FILE, LINE, RECORD = "id", "input", "file", "line", "record"

_ROW = "standard input row 1 "
"""How `serving.records` begins a message on a stream of one row."""
_BROKEN = (*DAMAGED, UnicodeDecodeError, zlib.error, csv.Error)


@dataclass(frozen=True)
class Broken:
    """What a file holds instead of a sequence, and why it is none."""

    reason: str


Key = dict[str, Any]
Record = tuple[Key, Any]
"""A key of file, line or record, and id where there is one; and a sequence, mapping, text, or Broken."""


@dataclass(frozen=True)
class InputFormat:
    """How input files are read.

    Attributes:
        inputs: Contract of each input of the model.
        texts: Whether the sequences are texts.
        format: One format of all files, or "auto".
        layout: How a CSV row is laid out.
    """

    inputs: tuple[Field, ...]
    texts: bool
    format: FormatChoice
    layout: CsvLayout

    def is_cut_at_lines(self, path: str) -> bool:
        """Whether a line end always ends a record: not in TFRecord files, nor within the quotes of a text."""
        found = format_of(path, self.format)
        return found == "jsonl" or (found == "csv" and not self.texts)

    def check(self, files: Iterable[str]) -> None:
        """Refuses files that cannot be read for this model before any is.

        Raises:
            DataError: A file is CSV, whose rows hold one feature, and the model takes something else.
        """
        for path in files:
            if format_of(path, self.format) != "csv" or self.texts:
                continue
            if len(self.inputs) != 1 or self.inputs[0].rank < 2 or self.inputs[0].step_size != 1:
                raise DataError(f"a CSV row holds one sequence of one feature; give JSON lines instead of {path}")


def read_part(part: Part, how: InputFormat) -> Iterator[Record]:
    """Yields what a part of a file holds; blank lines are left out.

    What is damaged ends the file: it is one broken record, and the rest is not read.
    """
    found = format_of(part.path, how.format)
    if found == "tfrecord":
        yield from _tfrecords(part, how)
    elif found == "csv" and how.texts:
        yield from _text_rows(part)
    else:
        yield from _lines(part, how, is_csv=found == "csv")


def _lines(part: Part, how: InputFormat, *, is_csv: bool) -> Iterator[Record]:
    number = part.first
    try:
        with opened_file(part.path, start=part.start) as file:
            position = part.start
            while (part.stop is None or position < part.stop) and (line := file.readline()):
                position += len(line)
                if line.strip():
                    key = {FILE: part.path, LINE: number}
                    try:
                        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                        yield _row(key, text, how) if is_csv else _json_line(key, text, how)
                    except UnicodeDecodeError as error:
                        yield key, Broken(f"the line is not UTF-8 text: {error.reason} at byte {error.start}")
                number += 1
    except (*_BROKEN, OSError) as error:
        yield _rest({FILE: part.path, LINE: number}, error)


def _json_line(key: Key, line: str, how: InputFormat) -> Record:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return key, Broken(f"the line is no JSON: {error}")
    if not isinstance(value, dict):
        return key, value
    if ID in value:
        key = key | {ID: value[ID]}
        if not isinstance(value[ID], str | int | float):
            return key, Broken("the id is neither a text nor a number")
    if len(how.inputs) > 1:
        return key, value
    (name,) = (field.name for field in how.inputs)
    for candidate in (name, INPUT, *((COLUMN,) if how.texts else ())):
        if candidate in value:
            return key, value[candidate]
    return key, Broken(f"there is no {name!r} and no {INPUT!r}; there is: {', '.join(map(str, value)) or 'nothing'}")


def _row(key: Key, line: str, how: InputFormat) -> Record:
    try:
        return key, next(iter(read_rows(io.BytesIO(line.encode()), how.inputs[0], layout=how.layout)))
    except DataError as error:
        return key, Broken(f"the row {str(error).removeprefix(_ROW)}")


def _text_rows(part: Part) -> Iterator[Record]:
    number = 1
    try:
        with opened_file(part.path, start=part.start) as file:
            lines = (line.decode("utf-8-sig" if index == 0 else "utf-8") for index, line in enumerate(file_lines(file)))
            reader = csv.reader(lines)
            header = [cell.strip() for cell in next(reader, [])]
            if COLUMN not in header:
                yield {FILE: part.path, LINE: 1}, Broken(f"the header has no column {COLUMN!r}; the file is not read")
                return
            number = reader.line_num + 1
            for row in reader:
                key: Key = {FILE: part.path, LINE: number}
                number = reader.line_num + 1
                if not row:
                    continue
                if len(row) != len(header):
                    yield key, Broken(f"the row has {len(row)} columns, the header {len(header)}; quote commas")
                    continue
                cells = dict(zip(header, row, strict=True))
                yield (key | {ID: cells[ID]} if ID in cells else key), cells[COLUMN]
    except (*_BROKEN, OSError) as error:
        yield _rest({FILE: part.path, LINE: number}, error)


def file_lines(file: Any) -> Iterator[bytes]:
    """Yields the lines of a file of Beam's, which need not be iterable."""
    while line := file.readline():
        yield line


def _tfrecords(part: Part, how: InputFormat) -> Iterator[Record]:
    number = 0
    with tempfile.TemporaryDirectory(prefix="seqship-") as folder:
        copy = Path(folder, "records")
        try:
            # The reader checks each length against the file's: it needs one that is whole.
            with opened_file(part.path) as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target)
            for data in read_tfrecords(copy):
                yield _example({FILE: part.path, RECORD: number}, data, how)
                number += 1
        except DataError as error:
            yield {FILE: part.path, RECORD: number}, Broken(str(error).replace(str(copy), "the file"))
        except (*_BROKEN, OSError) as error:
            yield _rest({FILE: part.path, RECORD: number}, error)


def _example(key: Key, data: bytes, how: InputFormat) -> Record:
    try:
        example = Example.FromString(data)
    except Exception:  # protobuf has a type of its own for each of its implementations.
        return key, Broken("the record is no serialized tf.Example")
    features: Mapping[str, Any] = example.features.feature
    if ID in features and not any(field.name == ID for field in how.inputs):
        kind = features[ID].WhichOneof("kind")
        values = getattr(features[ID], kind).value if kind else ()
        if len(values) != 1:
            return key, Broken(f"the feature 'id' has {len(values)} values; it has one")
        name = values[0]
        key = key | {ID: name.decode(errors="replace") if isinstance(name, bytes) else name}
    if how.texts and COLUMN in features:
        texts = features[COLUMN].bytes_list.value
        return key, texts[0] if len(texts) == 1 else Broken(f"the feature 'text' has {len(texts)} texts; it has one")
    try:
        arrays = from_examples([example], how.inputs)
    except DataError as error:
        return key, Broken(str(error))
    return key, {name: array[0] for name, array in arrays.items()}


def _rest(key: Key, error: Exception) -> Record:
    """A damaged file; what a network or a disk refuses is no fault of the file, and the runner may try again."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return key, Broken(f"the file is damaged from here on, and not read: {' '.join(str(error).split())}")
