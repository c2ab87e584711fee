"""Sequences of unequal length to one right-padded array, with numpy alone: the serving runtime uses this too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from seqship.errors import DataError


def pad_right(
    sequences: Sequence[ArrayLike],
    *,
    pad_value: float,
    length: int | None = None,
    dtype: DTypeLike = np.float32,
) -> NDArray[Any]:
    """Returns the sequences as one array, each followed by `pad_value` up to the common length.

    Right padding is the only kind that cuDNN's recurrent kernels and ONNX's `sequence_lens` both take.

    Args:
        sequences: One array a sequence, shaped (time, features); shaped (time,) it is taken as (time, 1). A sequence
            of no steps is allowed and becomes a row of padding.
        pad_value: What fills the steps that are no data.
        length: Number of steps of the result; the longest sequence's where None.
        dtype: Element type of the result. Values may be narrowed to it, but not changed in kind (no float to int).

    Returns:
        Array of `dtype` shaped (n, time, features). For no sequences at all, whose features nobody knows, the shape
        is (0, `length` or 0, 1).

    Raises:
        DataError: A sequence is longer than `length`, is not of rank 1 or 2, has another number of features than the
            first, or cannot be held by `dtype`; or `dtype` cannot hold `pad_value`.
        ValueError: `length` is negative.
    """
    target = np.dtype(dtype)
    if length is not None and length < 0:
        raise ValueError(f"length must be 0 or more, met {length}; leave it out to take the longest sequence's")
    if target.kind in "iub" and not _holds(target, pad_value):
        raise DataError(f"{target} cannot hold the padding {pad_value}; take another pad_value or a float dtype")
    if not len(sequences):
        return np.empty((0, length or 0, 1), target)
    arrays = [_as_steps(sequence, index) for index, sequence in enumerate(sequences)]
    features = arrays[0].shape[1]
    for index, array in enumerate(arrays):
        if array.shape[1] != features:
            raise DataError(
                f"sequence {index} has {array.shape[1]} features a step, sequence 0 has {features}; make them the same"
            )
        if array.size and not np.can_cast(array.dtype, target, "same_kind"):
            raise DataError(f"sequence {index} is {array.dtype}, which {target} cannot hold; convert it first")
    lengths = np.array([len(array) for array in arrays])
    longest = int(lengths.max())
    steps = longest if length is None else length
    if longest > steps:
        raise DataError(
            f"sequence {int(lengths.argmax())} has {longest} steps, more than the length {steps}; "
            "truncate it or raise the length"
        )
    padded = np.full((len(arrays), steps, features), pad_value, target)
    is_data = np.arange(steps) < lengths[:, np.newaxis]
    padded[is_data] = np.concatenate(arrays)
    return padded


def _as_steps(sequence: ArrayLike, index: int) -> NDArray[Any]:
    """Returns the sequence as (time, features)."""
    array = np.asarray(sequence)
    if array.ndim == 1:
        return array[:, np.newaxis]
    if array.ndim != 2:
        raise DataError(f"sequence {index} has the shape {array.shape}; make it (time,) or (time, features)")
    return array


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether the integer type can hold the value exactly."""
    if dtype.kind == "b":
        return value in (0, 1)
    bounds = np.iinfo(dtype)
    return float(value).is_integer() and bounds.min <= value <= bounds.max
