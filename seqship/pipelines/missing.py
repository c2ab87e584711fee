"""Missing values of time series, with numpy alone; memory stays flat for memory-mapped values.

Nothing here ever looks ahead: a value is filled from the steps before it or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError

Missing = Literal["error", "drop", "mask", "forward"]
"""What becomes of windows with missing inputs: an error; left out; the whole step becomes the pad value; the last
value is carried forward. A missing target is never made up: but for "error", such windows are left out."""

MISSING: tuple[Missing, ...] = ("error", "drop", "mask", "forward")
_CHUNK = 1 << 18
"""Steps looked at together."""


def missing_steps(
    values: NDArray[np.float32], columns: Sequence[int], *, start: int = 0, stop: int | None = None
) -> NDArray[np.int64]:
    """Returns the steps that lack a value in one of the columns.

    Args:
        values: Shaped (steps, columns), NaN where missing.
        columns: Indices of the columns to look at.
        start: First step to look at.
        stop: Step after the last one; None is the end.

    Returns:
        Indices of the steps, int64, ascending, shaped (missing,).

    Raises:
        DataError: A value is infinite.
    """
    found = [np.zeros(0, np.int64)]
    for at, part in _chunks(values, columns, start, len(values) if stop is None else stop):
        if np.isfinite(part).all():
            continue
        infinite = np.argwhere(np.isinf(part))
        if len(infinite):
            step, column = infinite[0]
            raise DataError(
                f"step {at + step} holds {part[step, column]} in column {columns[column]}; "
                "put NaN where a value is missing"
            )
        found.append(at + np.flatnonzero(np.isnan(part).any(axis=1)))
    return np.concatenate(found)


def first_step_of(
    values: NDArray[np.float32], columns: Sequence[int], value: float, *, start: int = 0, stop: int | None = None
) -> int | None:
    """Returns the first step whose columns all hold `value`, which a mask would take for a missing one."""
    sought = np.float32(value)
    for at, part in _chunks(values, columns, start, len(values) if stop is None else stop):
        equal = (part == sought).all(axis=1)
        if equal.any():
            return at + int(equal.argmax())
    return None


def forward_fill(
    values: NDArray[np.float32], borders: NDArray[np.int64] | None = None, *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Carries the last value of each column forward over missing ones, never from another series.

    What is missing at the beginning of a series stays missing: there is nothing to carry.

    Args:
        values: Shaped (steps, columns), NaN where missing.
        borders: Where the series begin and end, as `Series.borders`; None is one series.
        out: Where the result goes, float32 of the same shape, a writable memory map for instance; it may be `values`
            itself. None makes a new array.

    Returns:
        The filled values.
    """
    filled = np.empty(values.shape, np.float32) if out is None else out
    edges = [0, len(values)] if borders is None else borders.tolist()
    for start, stop in pairwise(edges):
        carried = np.full((1, values.shape[1]), np.nan, np.float32)
        for at in range(start, stop, _CHUNK):
            until = min(at + _CHUNK, stop)
            rows = np.concatenate([carried, values[at:until]])
            number = np.where(np.isnan(rows), 0, np.arange(len(rows))[:, np.newaxis])
            rows = np.take_along_axis(rows, np.maximum.accumulate(number, axis=0), axis=0)
            filled[at:until] = rows[1:]
            carried = rows[-1:]
    return filled


def mask_steps(values: NDArray[np.float32], pad_value: float) -> NDArray[np.float32]:
    """Returns the values with every step that lacks one filled with `pad_value` in all columns.

    Args:
        values: Shaped (..., columns), NaN where missing.
        pad_value: What Keras' `Masking` looks for.
    """
    lacking = np.isnan(values).any(axis=-1, keepdims=True)
    return np.where(lacking, np.float32(pad_value), values)


def _chunks(
    values: NDArray[np.float32], columns: Sequence[int], start: int, stop: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yields where each chunk begins, and the chunk."""
    whole = tuple(columns) == tuple(range(values.shape[1]))
    for at in range(start, stop, _CHUNK):
        part = np.asarray(values[at : min(at + _CHUNK, stop)])
        yield at, part if whole else part[:, list(columns)]
