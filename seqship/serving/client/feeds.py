"""The caller's values as the arrays that a signature takes; what it would not take is refused before it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.pad import pad_right
from seqship.pipelines.spec import Field
from seqship.serving.client.contract import SignatureContract
from seqship.serving.sequence_checks import checked_sequence, fits, fixed_length
from seqship.wire.strings import as_array, encoded

Feed = dict[str, NDArray[Any]]

_MOST_EXACT = {"float16": 2**11, "float32": 2**24, "float64": 2**53}
"""Up to here every whole number is a number of the type."""

_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_TAKES: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(_MOST_EXACT, "fiu"), **dict.fromkeys(_WHOLE, "iu"), "bool": "b"}
)
"""Kinds of NumPy types that each element type takes."""


def checked_feed(inputs: Any, signature: SignatureContract, *, pad_value: float | None = None) -> Feed:
    """Returns what a caller gave as an array for each input of a signature.

    Numbers are rounded to the input's type where that is a float of fewer digits, and otherwise never changed. Axes of
    size 1 that end an input's shape may be left out, and so may all states of a stream: a server may keep them.

    Args:
        inputs: A value for each input by name; or the value alone, where there is one input. A value is an array,
            nested lists, or a list of sequences of unequal length, (time,) or (time, features) each.
        signature: What is called.
        pad_value: What fills the steps behind the shorter sequences; it is not in the metadata of a served model. Where
            it is given, sequences in lists are also held to it: none may contain it.

    Raises:
        DataError: A name, a type or a shape is none of the signature's.
    """
    fields = {one.name: one for one in signature.inputs}
    needed = [one.name for one in signature.inputs if not one.is_state]
    if not isinstance(inputs, Mapping):
        if len(needed) != 1:
            raise DataError(f"{_called(signature)} takes {', '.join(fields)}; give a mapping with a value for each")
        inputs = {needed[0]: inputs}
    if set(inputs) not in (set(fields), set(needed)):
        missing, unknown = sorted(set(fields) - set(inputs)), sorted(set(inputs) - set(fields), key=str)
        said = [f"{name!r} is missing" for name in missing] + [f"{name!r} is not one of them" for name in unknown]
        raise DataError(f"{_called(signature)} takes {', '.join(fields)}: {', '.join(said)}")
    given = ((name, one) for name, one in fields.items() if name in inputs)
    return {name: _checked(inputs[name], one, signature, pad_value) for name, one in given}


def checked_outputs(outputs: Iterable[str] | None, signature: SignatureContract) -> tuple[str, ...]:
    """Returns the names of the outputs that are wanted: all where none are named.

    Raises:
        DataError: The signature has no such output.
    """
    known = tuple(one.name for one in signature.outputs)
    if outputs is None:
        return known
    wanted = tuple(dict.fromkeys((outputs,) if isinstance(outputs, str) else outputs))
    if unknown := [name for name in wanted if name not in known]:
        raise DataError(f"{_called(signature)} has no output {unknown[0]!r}; it has: {', '.join(known)}")
    if not wanted:
        raise DataError(f"outputs= names none; leave it out for all: {', '.join(known)}")
    return wanted


def _checked(value: Any, field: Field, signature: SignatureContract, pad_value: float | None) -> NDArray[Any]:
    if field.name in signature.unchecked:
        return _converted(as_array(value), field, signature)
    array = _converted(_array(value, field, pad_value), field, signature)
    missing = field.shape[array.ndim :]
    if missing and array.ndim and all(size == 1 for size in missing):
        array = array.reshape(*array.shape, *missing)
    if not fits(array.shape, field):
        shape = ", ".join(str(size) if isinstance(size, int) else "?" for size in field.shape)
        raise DataError(f"{_input(field, signature)} takes the shape ({shape}), got {array.shape}")
    return array


def _array(value: Any, field: Field, pad_value: float | None) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        if value.dtype != object or field.dtype == "string":
            return value
        value = list(value)
    if field.rank < 2 or field.dtype == "string" or not isinstance(value, list | tuple):
        return as_array(value)
    lengths = {len(one) if isinstance(one, list | tuple | np.ndarray) and np.ndim(one) else -1 for one in value}
    if -1 in lengths or (len(lengths) < 2 and pad_value is None):
        return as_array(value)
    if pad_value is None:
        raise DataError(
            f"input {field.name!r} is given sequences of {min(lengths)} to {max(lengths)} steps; give pad_value=, as "
            "the bundle's contract has it, or sequences of one length"
        )
    held = replace(field, pad_value=pad_value)
    rows = [checked_sequence(one, index, held) for index, one in enumerate(value)]
    padded = pad_right(rows, pad_value=pad_value, length=fixed_length(field), dtype=np.dtype(field.dtype))
    return padded.reshape(*padded.shape[:2], *held.shape[2:])


def _converted(array: NDArray[Any], field: Field, signature: SignatureContract) -> NDArray[Any]:
    """Returns the array in the input's type."""
    if field.dtype == "string":
        if array.size and array.dtype.kind not in "OSUT":
            raise _wrong_type(array, field, signature)
        made = np.empty(array.shape, object)
        made.ravel()[:] = [encoded(one) for one in array.ravel().tolist()]
        return made
    if field.dtype not in _TAKES:
        raise DataError(f"{_input(field, signature)} is {field.dtype}, which has no NumPy array here")
    target = np.dtype(field.dtype)
    if array.dtype == target or not array.size:
        return array.astype(target)
    if array.dtype.kind not in _TAKES[field.dtype]:
        raise _wrong_type(array, field, signature)
    if array.dtype.kind in "iu":
        low, high = _whole_limits(target)
        if (wrong := array[(array < low) | (array > high)]).size:
            raise DataError(f"{_input(field, signature)} takes {target}, which cannot hold {wrong.flat[0]}")
    with np.errstate(over="ignore"):
        made = array.astype(target)
    if target.kind == "f" and array.dtype.kind == "f" and (beyond := np.isinf(made) & np.isfinite(array)).any():
        raise DataError(f"{_input(field, signature)} takes {target}, which cannot hold {array[beyond].flat[0]:g}")
    return made


def _whole_limits(target: np.dtype[Any]) -> tuple[int, int]:
    if target.kind == "f":
        return -_MOST_EXACT[target.name], _MOST_EXACT[target.name]
    limits = np.iinfo(target)
    return int(limits.min), int(limits.max)


def _wrong_type(array: NDArray[Any], field: Field, signature: SignatureContract) -> DataError:
    kind = type(array.flat[0]).__name__ if array.dtype == object else array.dtype.name
    cast = (
        "" if field.dtype == "string" or array.dtype.kind not in "fiub" else f"; cast it with .astype({field.dtype!r})"
    )
    return DataError(f"{_input(field, signature)} takes {field.dtype}, got {kind}{cast}")


def _called(signature: SignatureContract) -> str:
    return f"the signature {signature.name!r}"


def _input(field: Field, signature: SignatureContract) -> str:
    return f"input {field.name!r} of {_called(signature)}"
