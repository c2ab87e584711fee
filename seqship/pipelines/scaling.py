"""Scaling of columns, with numpy alone: the serving runtime scales inputs and unscales outputs with this too."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError

Kind = Literal["standard", "minmax", "none"]
KINDS: tuple[Kind, ...] = ("standard", "minmax", "none")
_CHUNK = 1 << 18
"""Rows taken together, so that a memory-mapped array is never copied as a whole."""


@dataclass(frozen=True)
class Scaling:
    """What each column is shifted and divided by: scaled = (value - offset) / scale.

    Attributes:
        kind: "standard" to mean 0 and deviation 1, "minmax" to 0..1, "none" leaves the values as they are.
        columns: Names of the columns.
        offset: What is subtracted, one a column, in the unit of the column.
        scale: What is divided by, one a column, in the unit of the column; never 0.

    Raises:
        DataError: The parts do not fit together, or a number is not finite or a scale not above 0.
        ValueError: There is no such kind.
    """

    kind: Kind
    columns: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        if not len(self.columns) == len(self.offset) == len(self.scale) == len(set(self.columns)):
            raise DataError(
                f"each column has one offset and one scale, met {len(self.columns)} columns, {len(self.offset)} "
                f"offsets and {len(self.scale)} scales; fit the scaling again"
            )
        for column, offset, scale in zip(self.columns, self.offset, self.scale, strict=True):
            if not (math.isfinite(offset) and math.isfinite(scale) and scale > 0):
                raise DataError(
                    f"column {column!r} has the offset {offset} and the scale {scale}; give finite ones, scale above 0"
                )

    def apply(self, values: NDArray[Any], columns: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Returns the values scaled, float32, in the shape of `values`; NaN stays NaN.

        Args:
            values: Shaped (..., columns).
            columns: Which columns these are; None is all of them.

        Raises:
            DataError: There is no such column, or `values` has another number of columns.
        """
        offset, scale = self._of(values, columns)
        # Computed in float64: a large offset would eat the digits of float32.
        return ((values.astype(np.float64) - offset) / scale).astype(np.float32)

    def invert(self, values: NDArray[Any], columns: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Returns scaled values in their own units, float32, in the shape of `values`.

        Args:
            values: Shaped (..., columns), predictions for instance.
            columns: Which columns these are, the target's for instance; None is all of them.

        Raises:
            DataError: There is no such column, or `values` has another number of columns.
        """
        offset, scale = self._of(values, columns)
        return (values.astype(np.float64) * scale + offset).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form; `from_json` gives back the very same numbers."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Scaling:
        """Returns the scaling of a JSON form.

        Raises:
            DataError: It is none.
        """
        try:
            columns = tuple(str(name) for name in document["columns"])
            offset, scale = ([float(number) for number in document[key]] for key in ("offset", "scale"))
            return cls(document["kind"], columns, tuple(offset), tuple(scale))
        except (KeyError, TypeError, ValueError) as error:
            met = json.dumps(document, default=str)[:80]
            raise DataError(
                f"a scaling has kind, columns, offset and scale, met {met} ({error}); fit it again"
            ) from None

    def _of(
        self, values: NDArray[Any], columns: Sequence[str] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns offset and scale of the columns."""
        names = self.columns if columns is None else tuple(columns)
        for name in names:
            if name not in self.columns:
                raise DataError(f"column {name!r} was not scaled; the scaled ones are {', '.join(self.columns)}")
        if not values.ndim or values.shape[-1] != len(names):
            raise DataError(
                f"the last axis holds the {len(names)} columns {', '.join(names)}, met the shape {values.shape}; "
                "name the columns that these values are"
            )
        at = [self.columns.index(name) for name in names]
        return np.array(self.offset)[at], np.array(self.scale)[at]


def fit_scaling(values: NDArray[Any], kind: Kind, columns: Sequence[str]) -> Scaling:
    """Fits a scaling; missing values (NaN) count for nothing. Fit it on the training steps alone.

    A column of one value only gets the scale 1, so that it becomes 0 and comes back as it was.

    Args:
        values: Shaped (steps, columns); `Span.values_of` gives the training steps.
        kind: "standard" for mean and standard deviation (of the population), "minmax" for the range, or "none".
        columns: Names of the columns.

    Raises:
        DataError: `values` has another number of columns, or a column has no value or an infinite one.
        ValueError: There is no such kind.
    """
    _check_kind(kind)
    if values.ndim != 2 or values.shape[1] != len(columns):
        raise DataError(
            f"values are shaped (steps, {len(columns)}), one column for each name, met {values.shape}; "
            "give one row a step"
        )
    width = len(columns)
    if kind == "none":
        return Scaling(kind, tuple(columns), (0.0,) * width, (1.0,) * width)
    count, total = np.zeros(width), np.zeros(width)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for at in range(0, len(values), _CHUNK):
        part = values[at : at + _CHUNK].astype(np.float64)
        known = ~np.isnan(part)
        count += known.sum(axis=0)
        total += np.where(known, part, 0).sum(axis=0)
        low = np.minimum(low, np.where(known, part, np.inf).min(axis=0))
        high = np.maximum(high, np.where(known, part, -np.inf).max(axis=0))
    for name, number, least, most in zip(columns, count, low, high, strict=True):
        if not number:
            raise DataError(f"column {name!r} has no value to fit a scaling on; leave the column out")
        if math.isinf(least) or math.isinf(most):
            raise DataError(f"column {name!r} holds an infinite value; put NaN where a value is missing")
    if kind == "minmax":
        offset, spread = low, high - low
    else:
        offset, squares = total / count, np.zeros(width)
        for at in range(0, len(values), _CHUNK):  # A second pass: the one-pass formula cancels where the mean is large.
            squares += np.nansum((values[at : at + _CHUNK].astype(np.float64) - offset) ** 2, axis=0)
        spread = np.sqrt(squares / count)
    constant = (low == high) | (spread <= 0)
    offset, spread = np.where(constant, low, offset), np.where(constant, 1.0, spread)
    return Scaling(kind, tuple(columns), tuple(offset.tolist()), tuple(spread.tolist()))


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, met {kind!r}; 'standard' is a common one")
