"""Where in two arrays the first difference is that rounding does not explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.oracle import Measured
from seqship.export.tolerance import FLOAT32, ROUNDING, Limit


@dataclass(frozen=True)
class Place:
    """An element that differs.

    Attributes:
        row: Row of the batch.
        step: Step of the sequence; None where there are none.
        element: Index within that row and step.
        expected: What it should be.
        actual: What it is.
        times: Its difference in proportion to what is allowed.
    """

    row: int
    step: int | None
    element: tuple[int, ...]
    expected: float
    actual: float
    times: float


def limit_of(one: Measured) -> Limit:
    """Returns how far an export may be from one value of the oracle, or of Keras where there is no oracle."""
    return FLOAT32 if one.error is None else ROUNDING.limit(one.error, one.scale)


def first_place(
    actual: NDArray[Any],
    expected: NDArray[Any],
    limit: Limit,
    *,
    valid: NDArray[np.bool_] | None = None,
    steps: bool = False,
    rank: NDArray[np.int64] | None = None,
) -> Place | None:
    """Returns the largest difference at the first step that has one; None where every element is within the limit.

    Args:
        actual: What was found, (batch, ...).
        expected: What it should be.
        limit: What is allowed.
        valid: Which steps (batch, time) count; all if left out.
        steps: Whether the second axis is time.
        rank: When each step (batch, time) runs; in its place in the array if left out.
    """
    if actual.shape != expected.shape:
        return Place(0, None, (), float("nan"), float("nan"), float("inf"))
    times = _times(actual, expected, limit)
    if valid is not None:
        times = np.where(valid.reshape(*valid.shape, *(1,) * (times.ndim - 2)), times, 0.0)
    wrong = times > 1
    if not wrong.any():
        return None
    if steps:
        when = np.broadcast_to(np.arange(times.shape[1]), times.shape[:2]) if rank is None else rank
        bad = wrong.reshape(*times.shape[:2], -1).any(axis=2)
        first = when[bad].min()
        chosen = bad & (when == first)
        times = np.where(chosen.reshape(*chosen.shape, *(1,) * (times.ndim - 2)), times, 0.0)
    index = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(times)), times.shape))
    row, rest = (index[0] if index else 0), index[1:]
    step, element = (rest[0], rest[1:]) if steps else (None, rest)
    return Place(row, step, element, float(expected[index]), float(actual[index]), float(times[index]))


def _times(actual: NDArray[Any], expected: NDArray[Any], limit: Limit) -> NDArray[np.float64]:
    got, want = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        times = np.where(same, 0.0, np.abs(got - want) / limit.allowed(want))
    return np.where(~same & ~(np.isfinite(got) & np.isfinite(want)), np.inf, times)
