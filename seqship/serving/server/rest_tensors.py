"""JSON values to arrays, held to the element type that the signature names.

Most values are right: they are checked a list at a time. Where one is wrong, the lists are walked through one by one as
TensorFlow Serving does, to say in its words what is wrong first.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from seqship.serving.server.json_text import TOO_BIG, flattened, shown, utf8
from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.wire.dtypes import DATA_TYPES, tensorflow_name

B64 = "b64"

_KINDS: dict[str, frozenset[type]] = {
    "f": frozenset({float, int}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
    "O": frozenset({str, dict}),
}
_LARGEST_WHOLE = {"float32": 2**24 - 1, "float64": 2**53 - 1}
_MOST_AXES = 32  # The most that every NumPy supported here takes.
_INT32_FIELDS = ("int8", "int16", "int32", "uint8", "uint16")


def tensor(value: Any, dtype: str) -> NDArray[Any]:
    """Returns a JSON value as an array; its shape is that of the first elements.

    Args:
        value: What the JSON parser made: a number, a string, a list of such, and so on.
        dtype: NumPy name of the element type, or "string".

    Raises:
        StatusError: An element is of another type, or the lists are ragged or nested too deeply.
    """
    shape = dense_shape(value)
    if len(shape) > _MOST_AXES:
        raise invalid_argument(
            f"JSON Value: lists are nested {len(shape)} deep; a tensor has at most {_MOST_AXES} axes"
        )
    elements = _elements(value, shape)
    array = None if elements is None else _array(elements, dtype)
    if array is None:
        _explain(value, shape, dtype)
    return array.reshape(shape)


def dense_shape(value: Any) -> tuple[int, ...]:
    """Returns the shape of nested lists, as their first elements have it."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes: an object of the one key "b64"."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(B64), str)


def decoded_base64(value: Any) -> bytes:
    """Returns the bytes of a base64 object; absl's decoder takes it without padding, too.

    Raises:
        StatusError: It is no such object, or its string is no base64.
    """
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text: str = value[B64]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("Unable to base64 decode") from None


def beyond(value: float, dtype: str) -> bool:
    """Whether a float type cannot hold a number: one too large, or a whole one with more digits than it has.

    Raises:
        StatusError: It is a whole number that no float64 holds; TensorFlow Serving says so while it parses.
    """
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return abs(value) > _LARGEST_WHOLE[dtype]
    try:
        return math.isfinite(value) and abs(value) > float(np.finfo(dtype).max)
    except OverflowError:
        raise invalid_argument(TOO_BIG) from None


def _elements(value: Any, shape: Sequence[int]) -> list[Any] | None:
    """Returns the elements of lists of one shape, down to the shape's depth; None where they are ragged."""
    if not shape:
        return [value]
    level: list[Any] = value
    for size in shape[1:]:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        level = flattened(level, 1)
    return level


def _array(elements: list[Any], dtype: str) -> NDArray[Any] | None:
    """Returns elements as an array; None where one of them is wrong."""
    target = np.dtype(object if dtype == "string" else dtype)
    kinds = set(map(type, elements))
    if dtype == "float16" or not kinds <= _KINDS[target.kind]:
        return None
    if target.kind == "O":
        array = np.empty(len(elements), object)
        try:
            array[:] = [utf8(one) if isinstance(one, str) else decoded_base64(one) for one in elements]
        except StatusError:
            return None
        return array
    if target.kind == "f":
        if int in kinds and any(isinstance(one, int) and beyond(one, dtype) for one in elements):
            return None
        with np.errstate(over="ignore"):
            wide = np.array(elements, np.float64)
            array = wide.astype(target)
        return None if (np.isinf(array) & np.isfinite(wide)).any() else array
    try:
        return np.array(elements, target)
    except OverflowError:
        return None


def _explain(value: Any, shape: Sequence[int], dtype: str) -> NoReturn:
    _walk(value, 0, shape, dtype)
    raise invalid_argument(f"JSON Value: {shown(value)} is no tensor of type: {_name(dtype)}")


def _walk(value: Any, level: int, shape: Sequence[int], dtype: str) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{len(shape)}"
            )
        _check(value, dtype)
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for one in value:
        _walk(one, level + 1, shape, dtype)


def _check(value: Any, dtype: str) -> None:
    if dtype == "string":
        if isinstance(value, dict):
            decoded_base64(value)
            return
        if not isinstance(value, str):
            raise _type_error(value, dtype)
        utf8(value)
        return
    if isinstance(value, dict):
        raise _type_error(value, dtype)
    if dtype == "float16":
        raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: half")
    if dtype == "bool":
        if not isinstance(value, bool):
            raise _type_error(value, dtype)
        return
    if dtype in _LARGEST_WHOLE:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _type_error(value, dtype)
        if beyond(value, dtype):
            raise invalid_argument(
                f"Cannot convert JSON value: {shown(value)} to {_name(dtype)} without loss of precision."
            )
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise _type_error(value, dtype)
    limits = np.iinfo("int32" if dtype in _INT32_FIELDS else dtype)
    own = np.iinfo(dtype)
    if not max(limits.min, own.min) <= value <= min(limits.max, own.max):
        raise _type_error(value, dtype)


def _type_error(value: Any, dtype: str) -> StatusError:
    return invalid_argument(
        f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: {_name(dtype)}"
    )


def json_type(value: Any) -> str:
    """Returns what TensorFlow Serving calls the type of a JSON value."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    return {dict: "Object", list: "Array", str: "String"}.get(type(value), "Number")


def _name(dtype: str) -> str:
    return tensorflow_name(DATA_TYPES[dtype])
