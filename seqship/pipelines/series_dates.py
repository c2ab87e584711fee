"""The dates of a time series: which columns hold them, how they are written, and whether steps are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqship.errors import DataError

Gaps = Literal["error", "split", "allow"]
Cells = Any
"""A column of a pandas table; pandas ships no types that tell what is in it."""

_NAMES = ("date", "datetime", "time", "timestamp", "ds", "month", "day", "week", "year", "period")
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_FORMATS = tuple(
    day + time
    for day in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y.%m.%d", "%d-%m-%Y", "%m-%d-%Y")
    for time in ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f")
)
_TWOFOLD = ("%d/", "%m/", "%d-", "%m-")
_FEWEST_TRADING_DAYS = 10
_WEEKEND = 5


def check_gaps(gaps: str) -> None:
    """Raises a ValueError where `gaps` is no known policy."""
    if gaps not in ("error", "split", "allow"):
        raise ValueError(f"gaps must be 'error', 'split' or 'allow', met {gaps!r}; 'split' begins a new series there")


def date_columns(path: Path, names: Sequence[str], date: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns the columns that hold the date; none where there is no date.

    Raises:
        DataError: A named column does not exist, or several do not make up a date.
    """
    if date is None:
        plain = {name: "".join(name.lower().replace("_", " ").split()) for name in names}
        parts = tuple(name for part in _PARTS for name in names if plain[name] == part)
        if {"year", "month"} <= {plain[name] for name in parts}:
            return parts
        return next(((name,) for name in names if plain[name] in _NAMES), ())
    wanted = (date,) if isinstance(date, str) else tuple(date)
    for name in wanted:
        if name not in names:
            raise DataError(f"{path} has no column {name!r}; its columns are {', '.join(names)}")
    lower = [name.lower() for name in wanted]
    if len(wanted) > 1 and (not set(lower) <= set(_PARTS) or "year" not in lower):
        raise DataError(
            f"{path}: a date of several columns is made of {', '.join(_PARTS)}, met {', '.join(wanted)}; name those"
        )
    return wanted


def parse_dates(
    path: Path, lines: NDArray[np.int64], cells: Mapping[str, Cells], date_format: str | None
) -> NDArray[np.datetime64]:
    """Returns the dates, datetime64 in microseconds; those with a time zone in UTC.

    Args:
        path: The file, for messages.
        lines: Line of each row, for messages.
        cells: The columns that hold the date.
        date_format: How it is written; None finds out.

    Raises:
        DataError: A cell is no date, or may be read in two ways.
    """
    if len(cells) == 1:
        column = next(iter(cells.values())).str.strip()
    else:
        column = _joined(path, lines, cells)
        date_format = "%Y-%m-%d %H:%M:%S"
    # Written out, because pandas' own guess takes 01/02/2009 for the 2nd of January without a word.
    formats = ("ISO8601", *_FORMATS) if date_format is None else (date_format,)
    first = column.iloc[:100]
    form = max(formats, key=lambda one: int(_parsed(first, one).notna().sum()))
    dates = _parsed(column, form)
    if dates.isna().any():
        row = int(dates.isna().to_numpy().argmax())
        raise DataError(
            f"{path}, line {lines[row]}: {column.iloc[row][:24]!r} is no date like {column.iloc[0][:24]!r} "
            f"({form}); correct it or give date_format"
        )
    for other in formats:
        # Day and month may both be read as the other where a format begins with one of them.
        if form.startswith(_TWOFOLD) and other.startswith(_TWOFOLD):
            again = _parsed(column, other)
            if again.notna().all() and (again != dates).any():
                raise DataError(
                    f"{path}: dates like {column.iloc[0]!r} may be day and month or month and day; give date_format, "
                    f"{form!r} or {other!r}"
                )
    return dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def _joined(path: Path, lines: NDArray[np.int64], cells: Mapping[str, Cells]) -> Cells:
    """Returns the dates that several columns make up, written like 2010-01-31 23:00:00."""
    parts: dict[str, Any] = {}
    for name, column in cells.items():
        numbers: Any = np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
        wrong = ~(np.floor(numbers) == numbers)
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{path}, line {lines[row]}: {name} is {column.iloc[row]!r}; put a whole number there")
        parts[name.lower()] = numbers.astype(np.int64)
    one = np.ones(len(lines), np.int64)
    order = [parts.get(part, one * (part in ("month", "day"))) for part in _PARTS]
    return pd.Series(["{:04d}-{:02d}-{:02d} {:02d}:{:02d}:{:02d}".format(*row) for row in zip(*order, strict=True)])


def _parsed(column: Cells, form: str) -> Cells:
    """Returns the dates, NaT where a cell is not written so."""
    return pd.to_datetime(column, format=form, errors="coerce", utc=True)


def regular_pieces(
    path: Path, lines: NDArray[np.int64], times: NDArray[np.datetime64], borders: NDArray[np.int64], gaps: Gaps
) -> NDArray[np.int64]:
    """Checks that dates ascend, and that none is left out.

    Args:
        path: The file, for messages.
        lines: Line of each row, for messages.
        times: Date of each row, shaped (rows,).
        borders: Where the series begin and end.
        gaps: What becomes of gaps.

    Returns:
        The borders, with one more at each gap where gaps are to split.

    Raises:
        DataError: Dates descend or are double, or there is a gap and it is an error.
    """
    cuts = [borders]
    for start, stop in pairwise(borders.tolist()):
        distance = np.diff(times[start:stop])
        if (wrong := distance <= np.timedelta64(0)).any():
            row = start + 1 + int(wrong.argmax())
            fault, way_out = ("again", "keep one of them")
            if times[row] < times[row - 1]:
                fault, way_out = f"after {_short(times[row - 1])}", "sort the file by date, or name the group's column"
            raise DataError(f"{path}, line {lines[row]}: {_short(times[row])} comes {fault}; {way_out}")
        if gaps == "allow" or stop - start < 3 or _trading_days(times[start:stop]):
            continue
        counted, unit = _distances(times[start:stop])
        usual, often = _commonest(counted)
        others = counted != usual
        if often * 2 <= len(counted) and gaps == "error":
            raise DataError(
                f"{path}: the dates follow no regular step (the commonest, {_written(usual, unit)}, comes "
                f"{often} times in {len(counted)}); give gaps='allow'"
            )
        if others.any() and gaps == "error":
            row = start + 1 + int(others.argmax())
            raise DataError(
                f"{path}, line {lines[row]}: {_short(times[row])} comes "
                f"{_written(int(counted[row - start - 1]), unit)} after the row before, the others "
                f"{_written(usual, unit)}; fill the gap, or give gaps='split' or gaps='allow'"
            )
        cuts.append(start + 1 + np.flatnonzero(others))
    return np.unique(np.concatenate(cuts)).astype(np.int64)


def _trading_days(times: NDArray[np.datetime64]) -> bool:
    """Whether these are days, most of them one after another, of which none is on a weekend."""
    days = times.astype("datetime64[D]")
    if len(days) < _FEWEST_TRADING_DAYS or (days != times).any():
        return False
    weekdays = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0.
    usual, _ = _commonest(np.diff(days).astype(np.int64))
    return bool((weekdays < _WEEKEND).all()) and usual == 1


def _distances(times: NDArray[np.datetime64]) -> tuple[NDArray[np.int64], str]:
    """Returns the distances between neighbours: months where the day of the month is one, else microseconds."""
    months = times.astype("datetime64[M]")
    within = times - months
    to_end = (months + 1).astype(times.dtype) - times
    if (within == within[0]).all() or (to_end == to_end[0]).all():
        whole = np.diff(months).astype(np.int64)
        if (whole > 0).all():
            return whole, "month"
    return np.diff(times).astype("timedelta64[us]").astype(np.int64), "us"


def _commonest(distances: NDArray[np.int64]) -> tuple[int, int]:
    """Returns the commonest distance and how often it comes."""
    values, counts = np.unique(distances, return_counts=True)
    return int(values[counts.argmax()]), int(counts.max())


def _written(distance: int, unit: str) -> str:
    """Returns a distance in words."""
    if unit == "month":
        return f"{distance} month{'' if distance == 1 else 's'}"
    return str(pd.Timedelta(distance, unit="us"))


def _short(time: Any) -> str:
    """Returns a date without the fractions that it does not have."""
    return str(pd.Timestamp(time))
