"""Time series from CSV files: one row a step, the names of the columns in the first line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.packed_file import read_packed
from seqship.pipelines.series import Series
from seqship.pipelines.series_dates import Cells, Gaps, check_gaps, date_columns, parse_dates, regular_pieces

MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none", "?")
"""Cells that stand for a missing value, in any case."""

_COUNTERS = ("", "no", "index", "id", "row", "unnamed: 0")


def read_series(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    date: str | Sequence[str] | None = None,
    date_format: str | None = None,
    group: str | None = None,
    gaps: Gaps = "error",
    separator: str = ",",
) -> Series:
    """Reads one or several time series from a CSV file, plain or gzip (told by its content), in UTF-8.

    A cell that is empty, NA, N/A, NaN, null, None or ? is a missing value and becomes NaN. Empty lines are passed over.

    Args:
        path: The file.
        columns: Names of the columns to read, in this order. None is every column of numbers: all but the date, the
            group, columns that hold no number at all, and a first column that counts the rows ("No", "index").
        date: Name of the date's column, or several of year, month, day, hour, minute, second that make it up. None
            finds it by its name (date, time, Date Time, timestamp, month, ...); an empty list reads no dates.
        date_format: How a date is written, as `datetime.strptime` takes it. None knows ISO 8601 and what is written
            with dots or slashes, where it can be read in one way only.
        group: Name of a column that says which series a row belongs to; rows of several may be mixed. None is one.
        gaps: What becomes of steps left out between regular dates: "error"; "split" begins a new series there;
            "allow". Regular is a distance that most neighbours have, counted in months where all dates are the same
            day of a month. Days that are never a weekend are trading days, whose holidays are no gaps.
        separator: What stands between the cells of a row.

    Returns:
        The series one after another, in the order in which their groups first come.

    Raises:
        DataError: The file cannot be read, has no rows, lacks a column, a row has another number of cells, a cell is
            no number or no date, or dates are not ascending, double or with a gap. The message names the line.
        ValueError: `gaps` is none of the three.
    """
    check_gaps(gaps)
    path = Path(path)
    content = _text(path)
    names, lines = _shape(path, content, separator)
    table: Any = pd.read_csv(
        io.StringIO(content),
        sep=separator,
        dtype=str,
        na_filter=False,
        names=list(range(len(names))),
        header=0,
        skipinitialspace=True,
        index_col=False,
    )
    if len(table) != len(lines):
        raise DataError(f"{path} has {len(lines)} rows, of which {len(table)} can be read; look for stray quotes")
    cells: dict[str, Cells] = {name: table[number] for number, name in enumerate(names)}
    if group is not None and group not in names:
        raise DataError(f"{path} has no column {group!r}; its columns are {', '.join(names)}")
    dates = date_columns(path, names, date)
    times = parse_dates(path, lines, {name: cells[name] for name in dates}, date_format) if dates else None
    chosen = _chosen(path, names, cells, columns, {*dates, *(() if group is None else (group,))})
    values = np.stack([_numbers(path, lines, name, cells[name]) for name in chosen], axis=1)
    borders = np.array([0, len(values)], np.int64)
    if group is not None:
        codes, _ = pd.factorize(cells[group].str.strip())
        order = np.argsort(codes, kind="stable")
        values, lines = values[order], lines[order]
        times = None if times is None else times[order]
        borders = np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.int64)
    if times is not None:
        borders = regular_pieces(path, lines, times, borders, gaps)
    return Series(values, chosen, borders, times, f"time series CSV {path.name}")


def _text(path: Path) -> str:
    """Returns the text of a file, unpacked and without a byte order mark."""
    content = read_packed(path, wanted="a CSV file with a header", content="a header and one row a step")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8 text"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}, line {line}: a zero byte is no text; save the file as UTF-8 text")
    return text


def _shape(path: Path, content: str, separator: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Returns the names of the columns and the line of each row; every row has as many cells as the header."""
    reader = csv.reader(io.StringIO(content), delimiter=separator, skipinitialspace=True)
    names: tuple[str, ...] = ()
    lines: list[int] = []
    try:
        for row in reader:
            if not row or row == [""]:
                continue
            if not names:
                names = _header(path, reader.line_num, row, separator)
            elif len(row) != len(names):
                raise DataError(
                    f"{path}, line {reader.line_num}: the row has {len(row)} cells, the header {len(names)}; "
                    "make them the same"
                )
            else:
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no CSV ({error}); correct the line") from None
    if not lines:
        raise DataError(f"{path} has a header and no rows; give one row a step")
    return names, np.array(lines, np.int64)


def _header(path: Path, line: int, row: list[str], separator: str) -> tuple[str, ...]:
    """Returns the names of the columns."""
    names = tuple(name.strip() for name in row)
    if len(names) == 1:
        for other in ";\t|,":
            if other != separator and other in names[0]:
                raise DataError(
                    f"{path}, line {line}: one column named {names[0][:40]!r}; the cells seem to be separated by "
                    f"{other!r}, give separator={other!r}"
                )
    if all(_is_number(name) for name in names):
        raise DataError(f"{path}, line {line}: {names[0]!r}, ... are numbers; begin with the names of the columns")
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}, line {line}: {names.count(name)} columns are named {name!r}; name each once")
    return names


def _chosen(
    path: Path,
    names: tuple[str, ...],
    cells: dict[str, Cells],
    columns: Sequence[str] | None,
    others: set[str],
) -> tuple[str, ...]:
    """Returns the names of the columns to read."""
    if columns is not None:
        for name in columns:
            if name not in names:
                raise DataError(f"{path} has no column {name!r}; its columns are {', '.join(names)}")
        if not columns or len(set(columns)) != len(columns):
            raise DataError(f"{path}: columns are a list of different names, met {list(columns)}; name each once")
        return tuple(columns)
    found = [name for name in names if name not in others and _has_number(cells[name])]
    if found and found[0] == names[0] and found[0].lower() in _COUNTERS and _counts(cells[found[0]]):
        del found[0]
    if not found:
        raise DataError(f"{path} has no column of numbers; its columns are {', '.join(names)}")
    return tuple(found)


def _has_number(cells: Cells) -> bool:
    """Whether a cell is a number, or all are missing."""
    kinds = cells.drop_duplicates()  # A column of words repeats few of them.
    known = kinds[~kinds.str.strip().str.lower().isin(MISSING_WORDS)]
    return not len(known) or any(map(_is_number, known))


def _counts(cells: Cells) -> bool:
    """Whether the cells count the rows, one by one."""
    numbers = np.asarray(pd.to_numeric(cells, errors="coerce"), np.float64)
    return bool((np.diff(numbers) == 1).all())


def _numbers(path: Path, lines: NDArray[np.int64], name: str, cells: Cells) -> NDArray[np.float32]:
    """Returns the numbers of a column, NaN where one is missing."""
    stripped = cells.str.strip()
    missing = stripped.str.lower().isin(MISSING_WORDS).to_numpy(bool)
    wide = np.asarray(pd.to_numeric(stripped.where(~missing), errors="coerce"), np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    wrong = ~np.isfinite(narrow) & ~missing
    if wrong.any():
        row = int(wrong.argmax())
        fault = "is beyond float32; scale the values down" if np.isfinite(wide[row]) else "is no finite number"
        way_out = "" if np.isfinite(wide[row]) else "; put one there, or NA where it is missing"
        raise DataError(
            f"{path}, line {lines[row]}: column {name!r} is {stripped.iloc[row][:24]!r}, which {fault}{way_out}"
        )
    return narrow


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
