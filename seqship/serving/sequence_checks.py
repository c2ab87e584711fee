"""Holds sequences to the contract of an input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqship.errors import DataError
from seqship.pipelines.spec import Field


def check_sequences(sequences: Sequence[ArrayLike] | NDArray[Any], field: Field) -> tuple[NDArray[Any], ...]:
    """Returns sequences as (time, features) each once they keep the contract.

    Args:
        sequences: What `Predictor.predict` takes.
        field: Contract of the input.

    Raises:
        DataError: Values break the contract; the sequence is named.
    """
    if isinstance(sequences, np.ndarray) and sequences.dtype != object:
        array = checked_array(sequences, field)
        return tuple(array.reshape(*array.shape[:2], field.step_size))
    return tuple(checked_sequence(sequence, index, field) for index, sequence in enumerate(sequences))


def _as_dtype(values: ArrayLike, field: Field, what: str) -> NDArray[Any]:
    """Returns numbers in the contract's type; what that type cannot hold is refused, not cut."""
    target = np.dtype(field.dtype)
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":  # NumPy would read texts as numbers, and take half of a complex one.
            raise DataError(f"{what} is no array of numbers: it holds {array.dtype.type.__name__}")
        if target.kind in "iu" and array.dtype.kind == "f" and not np.equal(np.trunc(array), array).all():
            raise DataError(f"{what} holds {array[np.trunc(array) != array][0]:g}; the model takes whole numbers")
        with np.errstate(over="ignore"):  # Too large for float32 is infinite, which is refused with its place.
            return np.ascontiguousarray(array, dtype=target) if array.ndim else array
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{what} is no array of numbers: {error}") from None


def fixed_length(field: Field) -> int | None:
    """Returns the number of steps that the model takes, None where it takes any."""
    return int(field.shape[1]) if field.rank > 1 and not field.has_time else None


def fits(shape: tuple[int, ...], field: Field) -> bool:
    """Whether an array of this shape can be the input; free axes take any size."""
    return len(shape) == field.rank and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(shape, field.shape, strict=True)
    )


def shape_text(field: Field) -> str:
    """Returns the shape for an error message."""
    return f"({', '.join(map(str, field.shape))})"


def checked_sequence(sequence: ArrayLike, index: int, field: Field) -> NDArray[Any]:
    """Returns one sequence as (time, features) once it keeps the contract."""
    array = _as_dtype(sequence, field, f"sequence {index}")
    features = field.step_size
    shaped: NDArray[Any] | None = None
    if array.ndim == 1:
        shaped = array[:, None]
    elif array.ndim == field.rank - 1:
        shaped = array.reshape(len(array), math.prod(array.shape[1:]))
    if shaped is None or (len(shaped) and shaped.shape[1] != features):
        raise DataError(f"sequence {index} has shape {array.shape}; the model takes (time, {features})")
    if not len(shaped):
        raise DataError(f"sequence {index} is empty; a sequence has at least one step")
    length = fixed_length(field)
    if length is not None and (len(shaped) > length or (len(shaped) < length and field.pad_value is None)):
        raise DataError(f"sequence {index} has {len(shaped)} steps; the model takes {length}")
    if field.pad_value is not None and (padding := np.all(shaped == field.pad_value, axis=1)).any():
        step = int(padding.argmax())
        raise DataError(
            f"sequence {index} holds the pad value {field.pad_value:g} at step {step}, which would be ignored; "
            "cut the padding off, or give one padded array"
        )
    _check_values(shaped, field, lambda at: f"sequence {index} at step {int(at[0])}")
    return shaped


def checked_array(array: NDArray[Any], field: Field) -> NDArray[Any]:
    """Returns one padded array as the model's input once it keeps the contract."""
    given = array.shape
    if array.ndim == field.rank - 1 and field.step_size == 1:
        array = array[..., None]
    if not fits(array.shape, field):
        raise DataError(f"the array has shape {given}; the model takes {shape_text(field)}")
    if array.shape[1] == 0:
        raise DataError(f"the array has shape {given}: no steps; a sequence has at least one")
    array = _as_dtype(array, field, "the array")
    checked = array.reshape(*array.shape[:2], field.step_size)
    if field.pad_value is not None:
        padding = np.all(checked == field.pad_value, axis=2)
        if len(padding) and (empty := padding.all(axis=1)).any():
            raise DataError(f"sequence {int(empty.argmax())} is all padding; a sequence has at least one step")
        checked = np.where(padding[..., None], field.minimum or 0.0, checked)
    _check_values(checked, field, lambda at: f"sequence {at[0]} at step {at[1]}")
    return array


def _check_values(values: NDArray[Any], field: Field, place: Callable[[NDArray[np.int64]], str]) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        at = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{place(at)} is {values[tuple(at)]}; values are finite numbers")
    low = -np.inf if field.minimum is None else field.minimum
    high = np.inf if field.maximum is None else field.maximum
    outside = (values < low) | (values > high)
    if outside.any():
        at = np.argwhere(outside)[0]
        raise DataError(
            f"{place(at)} is {values[tuple(at)]:g}, outside {low:g}..{high:g}; "
            f"the model takes: {field.unit or 'no unit'}"
        )
