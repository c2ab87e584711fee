"""Arrays to TensorProto and back, as `tf.make_tensor_proto` and `tf.make_ndarray` do it.

A message comes from outside: what it claims is checked before anything of the claimed size is allocated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.wire.dtypes import DATA_TYPES, NUMPY_NAMES, STRING, data_type_of, enum_name, numpy_name
from seqship.wire.messages import Proto, TensorProto
from seqship.wire.strings import as_array, encoded

MAX_BYTES = 1 << 28
"""What a message may claim beyond the elements that it carries, unless the caller says otherwise."""

_MAX_RANK = 32  # The most that every NumPy supported here takes.

_FIELDS = {
    "float16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "int64": "int64_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
}

_HALF = DATA_TYPES["float16"]


def to_tensor_proto(array: Any, *, content: bool = False) -> Proto:
    """Returns the TensorProto of an array.

    Args:
        array: Of any shape; floats of 16, 32 and 64 bits, whole numbers, bool, or str and bytes.
        content: Whether the elements go as raw little-endian bytes, which is faster; strings have no such form.

    Raises:
        DataError: The element type cannot travel, or an object is neither str nor bytes.
    """
    proto = TensorProto()
    fill_tensor_proto(proto, array, content=content)
    return proto


def fill_tensor_proto(proto: Proto, array: Any, *, content: bool = False) -> None:
    """Fills an empty TensorProto, such as one of a response, with an array; see `to_tensor_proto`.

    Raises:
        DataError: The element type cannot travel, or an object is neither str nor bytes.
    """
    values = as_array(array)
    data_type = data_type_of(values.dtype)
    proto.dtype = data_type
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    if data_type == STRING:
        proto.string_val.extend(encoded(value) for value in values.ravel().tolist())
    elif content:
        proto.tensor_content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    elif data_type == _HALF:
        bits = np.ascontiguousarray(values, np.float16).view(np.uint16)
        proto.half_val.extend(bits.ravel().tolist())
    else:
        getattr(proto, _FIELDS[NUMPY_NAMES[data_type]]).extend(values.ravel().tolist())


def from_tensor_proto(proto: Proto, *, max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Returns the array of a TensorProto; strings come as objects of type bytes.

    Raw content wins over the typed field. A typed field shorter than the shape repeats its last element, an empty one
    is all zeros: TensorFlow's rule. A longer one is refused, as `tf.make_ndarray` does.

    Args:
        proto: A TensorProto of any descriptor pool.
        max_bytes: The largest array that is made of a message which does not carry all of its elements.

    Returns:
        A new, writable array in the machine's byte order.

    Raises:
        DataError: The element type has no array, the shape is unknown, negative or too large, or the number of
            elements is not that of the shape.
    """
    name = numpy_name(proto.dtype)
    dtype = np.dtype(object if name == "string" else name)
    shape, count = _shape(proto, dtype.itemsize)
    if proto.tensor_content:
        return _from_content(proto, dtype, count).reshape(shape)
    field = getattr(proto, _FIELDS[name])
    given = len(field)
    if given > count:
        raise DataError(f"a tensor of shape {list(shape)} has {count} elements, {_FIELDS[name]} holds {given}")
    if given < count and count * dtype.itemsize > max_bytes:
        raise DataError(
            f"a tensor of shape {list(shape)} takes {count * dtype.itemsize} bytes, but {_FIELDS[name]} holds {given} "
            f"of its {count} elements; up to {max_bytes} bytes are filled up"
        )
    values = _from_field(field, name, dtype)
    if given == count:
        return values.reshape(shape)
    whole = np.empty(count, dtype)
    whole[:given] = values
    whole[given:] = values[-1] if given else b"" if name == "string" else 0
    return whole.reshape(shape)


def _shape(proto: Proto, itemsize: int) -> tuple[tuple[int, ...], int]:
    if proto.tensor_shape.unknown_rank:
        raise DataError("the shape of a tensor must be known, its rank is not; state every size")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if len(shape) > _MAX_RANK:
        raise DataError(f"a tensor has at most {_MAX_RANK} axes, this one has {len(shape)}")
    if any(size < 0 for size in shape):
        raise DataError(f"the shape of a tensor must be known, it is {list(shape)}; state every size")
    # An empty array, too, must have sizes whose product without the zeros NumPy can count.
    if math.prod(max(size, 1) for size in shape) * itemsize > np.iinfo(np.intp).max:
        raise DataError(f"a tensor of shape {list(shape)} is larger than any array")
    return shape, math.prod(shape)


def _from_content(proto: Proto, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    content: bytes = proto.tensor_content
    if proto.dtype == STRING:
        return _from_string_content(content, count)
    if len(content) != count * dtype.itemsize:
        raise DataError(
            f"tensor_content of {count} elements of {enum_name(proto.dtype)} takes {count * dtype.itemsize} bytes, "
            f"it has {len(content)}"
        )
    if dtype.kind == "b":
        return np.frombuffer(content, np.uint8) != 0
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype)


def _from_string_content(content: bytes, count: int) -> NDArray[Any]:
    """Reads what TensorFlow's C++ writes: the lengths of all strings as varints, then their bytes."""
    wrong = DataError(f"tensor_content does not hold {count} strings")
    if count > len(content):  # Each takes a byte at least.
        raise wrong
    lengths: list[int] = []
    place = 0
    for _ in range(count):
        length = shift = 0
        while True:
            if place >= len(content) or shift > 63:
                raise wrong
            byte = content[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if place + sum(lengths) != len(content):
        raise wrong
    values = np.empty(count, object)
    for index, length in enumerate(lengths):
        values[index] = content[place : place + length]
        place += length
    return values


def _from_field(field: Any, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    if name == "string":
        values = np.empty(len(field), object)
        values[:] = list(field)
        return values
    if _FIELDS[name] not in ("int_val", "half_val"):
        return np.array(field, dtype)
    # The one field for many types: its numbers are of 32 bits.
    numbers = np.array(field, np.int32)
    limits = np.iinfo(np.uint16 if name == "float16" else dtype)
    if numbers.size and (numbers.min() < limits.min or numbers.max() > limits.max):
        wrong = numbers[(numbers < limits.min) | (numbers > limits.max)][0]
        raise DataError(f"{_FIELDS[name]} of {name} lies in {limits.min} to {limits.max}, it holds {wrong}")
    return numbers.astype(np.uint16).view(np.float16) if name == "float16" else numbers.astype(dtype)
