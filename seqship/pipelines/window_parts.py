"""What a window is made of (inputs, covariates, targets), and how many windows are read at once, with numpy alone."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from seqship.pipelines.missing import mask_steps


@dataclass(frozen=True, eq=False)
class WindowPart:
    """One tensor of a window.

    Attributes:
        values: What it is read from, float32, shaped (steps, columns); perhaps memory-mapped.
        columns: Which columns of `values` it has; None is all of them.
        offset: Steps from the beginning of the window to its first step.
        steps: Number of steps.
        horizon: Instead of each step the `horizon` steps that begin there, of which `steps` are then counted; None
            is the step itself.
        squeeze: Whether an only column has no axis.
        pad_value: What fills a step that lacks a value; None leaves NaN.
    """

    values: NDArray[np.float32]
    columns: tuple[int, ...] | None
    offset: int
    steps: int
    horizon: int | None = None
    squeeze: bool = False
    pad_value: float | None = None

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.values.shape[1] if self.columns is None else len(self.columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one window's tensor."""
        nested = () if self.horizon is None else (self.horizon,)
        return (self.steps, *nested, *(() if self.squeeze and self.width == 1 else (self.width,)))

    def read(self, starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the tensors of the windows that begin at `starts`, shaped (windows, *shape)."""
        steps = self.steps + (self.horizon or 1) - 1
        block = _gathered(self.values, starts + self.offset, steps)
        if self.columns is not None:
            block = block[:, :, list(self.columns)]
        if self.pad_value is not None:
            block = mask_steps(block, self.pad_value)
        if self.horizon is not None:
            block = np.moveaxis(sliding_window_view(block, self.horizon, axis=1), -1, 2)
        return np.ascontiguousarray(block).reshape(-1, *self.shape)


def is_mapped(values: NDArray[Any]) -> bool:
    """Whether the array lies in a memory-mapped file, itself or as a view."""
    owner: Any = values
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return True
        owner = owner.base
    return isinstance(owner, mmap.mmap)


def narrowed(
    values: NDArray[np.float32], columns: tuple[int, ...]
) -> tuple[NDArray[np.float32], tuple[int, ...] | None]:
    """Returns an array with as few other columns as can be had without copying a file, and which to take of it."""
    if columns == tuple(range(values.shape[1])):
        return (values if is_mapped(values) else np.ascontiguousarray(values)), None
    if is_mapped(values):
        return values, columns
    return np.ascontiguousarray(values[:, list(columns)]), None


def _gathered(values: NDArray[np.float32], starts: NDArray[np.int64], steps: int) -> NDArray[np.float32]:
    """Returns the `steps` steps from each start on, shaped (starts, steps, columns)."""
    table = np.asarray(values)
    rows, columns = table.shape
    down, across = table.strides
    if table.flags.c_contiguous:
        # The steps of a window lie side by side: one copy a window instead of one a step. The strides are computed,
        # because an axis of length 1 may have any.
        shape, strides = (rows - steps + 1, steps * columns), (columns * table.itemsize, table.itemsize)
    else:
        shape, strides = (rows - steps + 1, steps, columns), (down, down, across)
    windows = as_strided(table, shape, strides, writeable=False)
    return windows[starts].reshape(-1, steps, columns)
