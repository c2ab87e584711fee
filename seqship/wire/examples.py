"""tf.Example to arrays and back, as `tf.io.parse_example` parses them.

A tf.Example knows three kinds of lists: float32, int64 and bytes. Every other element type travels in one of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.wire.messages import Example, Feature, Proto
from seqship.wire.strings import as_array, encoded
from seqship.wire.tensors import MAX_BYTES

_LISTS = {"float": "float_list", "int64": "int64_list", "string": "bytes_list"}
_KINDS = {"f": "float", "i": "int64", "u": "int64", "b": "int64"}


class ExampleField(Protocol):
    """The contract of one feature; `pipelines.Field` is one."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str:
        """NumPy name of the element type, or "string"."""
        ...

    @property
    def shape(self) -> tuple[int | str, ...]:
        """Sizes from the batch axis on; the second may be free, which a name stands for."""
        ...

    @property
    def pad_value(self) -> float | None:
        """What fills the steps after the end of a sequence; None where all must be equally long."""
        ...


def to_example(values: Mapping[str, Any]) -> Proto:
    """Returns the tf.Example of one row: each array flattened, in the list of its kind.

    Args:
        values: Arrays by feature name. Floats are rounded to float32, bool becomes 0 and 1, str becomes UTF-8.

    Raises:
        DataError: An element type has no list, or a number is beyond float32 or int64.
    """
    example = Example()
    for name, value in values.items():
        array = as_array(value)
        kind = "string" if array.dtype.kind in "OSUT" else _KINDS.get(array.dtype.kind)
        if kind is None:
            raise DataError(f"feature {name!r} holds {array.dtype.name}; a tf.Example holds numbers, bool and strings")
        flat = array.ravel()
        if flat.dtype == np.uint64 and flat.size and flat.max() > np.iinfo(np.int64).max:
            raise DataError(f"feature {name!r} holds {flat.max()}; a tf.Example holds whole numbers of int64")
        target = getattr(example.features.feature[name], _LISTS[kind])
        target.SetInParent()  # An empty list is a feature, no list is none.
        if kind == "string":
            target.value.extend(encoded(item) for item in flat.tolist())
        else:
            numbers = _rounded(flat, "float32", name) if kind == "float" else flat.astype(np.int64)
            target.value.extend(numbers.tolist())
    return example


def from_examples(
    examples: Sequence[Proto | bytes], fields: Sequence[ExampleField], *, max_bytes: int = MAX_BYTES
) -> dict[str, NDArray[Any]]:
    """Parses tf.Examples into one batch.

    Args:
        examples: Messages of any descriptor pool, or serialized.
        fields: What to take out of them. A free second axis is as long as the longest sequence; shorter ones are
            filled on the right with the field's pad value. An empty list is a sequence of no steps; a missing
            feature is an error, where `tf.io.FixedLenSequenceFeature` would take it for an empty one.
        max_bytes: The largest array that padding may make: one long sequence among many short ones is a small message
            and a huge batch.

    Returns:
        The arrays by field name, (examples, ...) each, of the fields' dtypes; strings are objects of type bytes.

    Raises:
        DataError: A feature is missing, of another kind, or of another size; or a value does not fit the dtype. The
            words are TensorFlow's where it has some; the example is counted from 0.
    """
    features = [_features(example, index) for index, example in enumerate(examples)]
    return {field.name: _batch(features, field, max_bytes) for field in fields}


def input_examples(request_input: Proto) -> list[Proto]:
    """Returns the examples of a Classify, Regress or MultiInference request's `input`.

    A context is the base of every example: features of the example itself win.

    Raises:
        DataError: There is no example; TensorFlow Serving's words.
    """
    kind = request_input.WhichOneof("kind")
    chosen = None if kind is None else getattr(request_input, kind)
    if chosen is None or not chosen.examples:
        raise DataError("Input is empty.")
    if kind == "example_list":
        return list(chosen.examples)
    merged: list[Proto] = []
    for example in chosen.examples:
        whole = Example.FromString(chosen.context.SerializeToString())
        whole.MergeFromString(example.SerializeToString())
        merged.append(whole)
    return merged


def _features(example: Proto | bytes, index: int) -> Mapping[str, Proto]:
    if not isinstance(example, bytes):
        return example.features.feature
    try:
        return Example.FromString(example).features.feature
    except DecodeError:
        raise DataError(f"Index: {index}.  Could not parse example input; it is no serialized tf.Example") from None


def _batch(features: Sequence[Mapping[str, Proto]], field: ExampleField, max_bytes: int) -> NDArray[Any]:
    kind = _kind(field)
    sizes = [size for size in field.shape[2:] if isinstance(size, int)]
    free = len(field.shape) > 1 and isinstance(field.shape[1], str)
    if not field.shape or len(sizes) != len(field.shape[2:]):
        raise DataError(f"feature {field.name!r} has shape {field.shape}; only the first two axes may be free")
    if not free:
        sizes = [size for size in field.shape[1:] if isinstance(size, int)]
    step = math.prod(sizes)
    rows = [_row(feature, field, kind, index) for index, feature in enumerate(features)]
    for index, row in enumerate(rows):
        if free and (len(row) % step if step else len(row)):
            raise _error(
                field,
                index,
                f"Number of {_plural(kind)} values is not a multiple of stride length. Saw {len(row)} values but "
                f"output shape is: [?{''.join(f',{size}' for size in sizes)}]",
            )
        if not free and len(row) != step:
            raise _error(
                field,
                index,
                f"Number of {_plural(kind)} values != expected.  Values size: {len(row)} but output shape: "
                f"[{','.join(map(str, sizes))}]",
            )
    if not free:
        return _joined(rows, field).reshape(len(rows), *sizes)
    return _padded(rows, field, step, max_bytes).reshape(len(rows), -1 if rows and step else 0, *sizes)


def _row(features: Mapping[str, Proto], field: ExampleField, kind: str, index: int) -> NDArray[Any]:
    feature: Proto = features[field.name] if field.name in features else Feature()
    given = feature.WhichOneof("kind")
    if given is None:
        raise DataError(
            f"Index: {index}, Feature: {field.name} (data type: {kind}) is required but could not be found."
        )
    if given != _LISTS[kind]:
        actual = next(name for name, attribute in _LISTS.items() if attribute == given)
        raise _error(field, index, f"Data types don't match. Data type: {actual} but expected type: {kind}")
    values = getattr(feature, given).value
    if kind == "string":
        row = np.empty(len(values), object)
        row[:] = list(values)
        return row
    row = np.array(values, np.float32 if kind == "float" else np.int64)
    if kind == "int64":
        low, high = (0, 1) if field.dtype == "bool" else _limits(field.dtype)
        wrong = row[(row < low) | (row > high)]
        if wrong.size:
            raise _error(field, index, f"Values of {field.dtype} lie in {low} to {high}, here is {wrong[0]}")
    return row


def _joined(rows: Sequence[NDArray[Any]], field: ExampleField) -> NDArray[Any]:
    dtype = np.dtype(object if field.dtype == "string" else field.dtype)
    if not rows:
        return np.empty(0, dtype)
    values = np.concatenate(rows)
    return _rounded(values, field.dtype, field.name) if dtype.kind == "f" else values.astype(dtype)


def _padded(rows: Sequence[NDArray[Any]], field: ExampleField, step: int, max_bytes: int) -> NDArray[Any]:
    longest = max((len(row) for row in rows), default=0)
    if field.pad_value is None:
        for index, row in enumerate(rows):
            if len(row) != len(rows[0]):
                raise _error(
                    field,
                    index,
                    f"Sequences without a pad value must be equally long: {len(row) // step} steps here, "
                    f"{len(rows[0]) // step} in example 0",
                )
        return _joined(rows, field)
    if field.dtype == "string":
        raise DataError(f"feature {field.name!r} is of strings; the pad value {field.pad_value} is a number")
    size = len(rows) * longest * np.dtype(field.dtype).itemsize
    if size > max_bytes and any(len(row) < longest for row in rows):
        raise DataError(
            f"feature {field.name!r} padded to {longest} values in {len(rows)} examples takes {size} bytes; "
            f"up to {max_bytes} are padded"
        )
    batch = np.full((len(rows), longest), field.pad_value, field.dtype)
    for row, values in zip(batch, rows, strict=True):
        row[: len(values)] = _joined([values], field)
    return batch


def _rounded(values: NDArray[Any], dtype: str, name: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    beyond = values[np.isinf(rounded) & np.isfinite(values)]
    if beyond.size:
        raise DataError(f"feature {name!r} holds {beyond[0]}, which is beyond {dtype}")
    return rounded


def _kind(field: ExampleField) -> str:
    kind = "string" if field.dtype == "string" else _KINDS.get(np.dtype(field.dtype).kind)
    if kind is None:
        raise DataError(f"feature {field.name!r} is of {field.dtype}; a tf.Example holds numbers, bool and strings")
    return kind


def _limits(dtype: str) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    # What is beyond int64 cannot come in.
    return max(int(limits.min), -(2**63)), min(int(limits.max), 2**63 - 1)


def _plural(kind: str) -> str:
    return "bytes" if kind == "string" else kind


def _error(field: ExampleField, index: int, reason: str) -> DataError:
    return DataError(f"Key: {field.name}, Index: {index}.  {reason}")
