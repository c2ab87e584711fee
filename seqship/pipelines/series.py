"""Time series: one or several, one after another in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError


@dataclass(frozen=True, eq=False)
class Series:
    """One time series, or several one after another.

    Attributes:
        values: One row a step, float32, shaped (steps, columns); NaN where a value is missing. A memory-mapped array
            stays one: it is never copied as a whole.
        columns: Names of the columns.
        borders: Series i holds the steps `borders[i]` to `borders[i + 1]`, which no window crosses; int64, shaped
            (series + 1,), from 0 to `steps`.
        times: Time of each step, datetime64, shaped (steps,), ascending within each series; None where unknown.
        source: Where the data came from, in words.

    Raises:
        DataError: The parts do not fit together.
    """

    values: NDArray[np.float32]
    columns: tuple[str, ...]
    borders: NDArray[np.int64]
    times: NDArray[np.datetime64] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise DataError(
                f"the values of a series are float32 of shape (steps, columns), met {self.values.dtype} "
                f"{self.values.shape}; convert them with as_series"
            )
        steps, width = self.values.shape
        if len(self.columns) != width or len(set(self.columns)) != width:
            raise DataError(f"{width} columns need as many different names, met {self.columns}; name each once")
        ascending = self.borders.ndim == 1 and len(self.borders) > 1 and bool((np.diff(self.borders) >= 0).all())
        if not ascending or self.borders[0] != 0 or self.borders[-1] != steps:
            raise DataError(
                f"borders ascend from 0 to the {steps} steps, met {self.borders.tolist()}; give all of them"
            )
        if self.times is not None and self.times.shape != (steps,):
            raise DataError(f"each of the {steps} steps has one time, met {self.times.shape}; give one a step or none")
        if self.times is not None and steps:
            later = np.diff(self.times) >= np.timedelta64(0)
            later[np.unique(self.borders[(self.borders > 0) & (self.borders < steps)]) - 1] = True
            if not later.all():
                step = int((~later).argmax()) + 1
                raise DataError(
                    f"times ascend within a series, met {self.times[step]} after {self.times[step - 1]} at step "
                    f"{step}; sort the steps"
                )

    def __len__(self) -> int:
        """Returns the number of steps of all series together."""
        return len(self.values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of steps of each series, shaped (series,)."""
        return np.diff(self.borders)

    def column_indices(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Returns where the named columns are; None is all of them.

        Raises:
            DataError: There is no such column, or a name is given twice.
        """
        if names is None:
            return tuple(range(len(self.columns)))
        for name in names:
            if name not in self.columns:
                raise DataError(f"there is no column {name!r}; the columns are {', '.join(self.columns)}")
        if isinstance(names, str) or not names or len(set(names)) != len(names):
            raise DataError(f"columns are a list of different names, met {names!r}; name each once")
        return tuple(self.columns.index(name) for name in names)


def as_series(
    values: NDArray[Any],
    *,
    columns: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
    times: NDArray[np.datetime64] | None = None,
    source: str = "an array",
) -> Series:
    """Returns an array as a series.

    Args:
        values: Numbers shaped (steps,), which is one column, or (steps, columns). Other types than float32 are
            converted, which copies them; a memory-mapped array must be float32 already.
        columns: Names of the columns; "0", "1", ... where left out.
        lengths: Steps of each of several series that lie one after another; None is one series.
        times: Time of each step, shaped (steps,).
        source: Where the data came from, in words.

    Raises:
        DataError: The values are no numbers, do not fit float32, or their shape is another one.
    """
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiub":
        raise DataError(
            f"a series is an array of numbers shaped (steps,) or (steps, columns), met {values.dtype} {values.shape}; "
            "give one row a step"
        )
    table = values[:, np.newaxis] if values.ndim == 1 else values
    names = tuple(map(str, range(table.shape[1]))) if columns is None else tuple(columns)
    counts = [len(table)] if lengths is None else list(lengths)
    borders = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Series(_narrowed(table), names, borders, times, source)


def _narrowed(table: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the values as float32, the same array where they are."""
    if table.dtype == np.float32:
        return table
    if isinstance(table, np.memmap):
        raise DataError(
            f"a memory-mapped series must be float32, met {table.dtype}, which would be copied as a whole; "
            "write the file as float32"
        )
    with np.errstate(over="ignore"):
        narrow = table.astype(np.float32)
    lost = np.isinf(narrow) & np.isfinite(table)
    if lost.any():
        step, column = np.argwhere(lost)[0]
        raise DataError(f"step {step} holds {table[step, column]}, beyond float32; scale the values down first")
    return narrow
