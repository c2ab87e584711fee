"""TensorFlow's element types and NumPy's names for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from seqship.errors import DataError
from seqship.wire.messages import POOL

_ENUM: Any = POOL.FindEnumTypeByName("tensorflow.DataType")

_NUMPY_NAMES = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_HALF": "float16",
    "DT_INT8": "int8",
    "DT_INT16": "int16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_UINT8": "uint8",
    "DT_UINT16": "uint16",
    "DT_UINT32": "uint32",
    "DT_UINT64": "uint64",
    "DT_BOOL": "bool",
    "DT_STRING": "string",
}

NUMPY_NAMES: dict[int, str] = {_ENUM.values_by_name[name].number: numpy for name, numpy in _NUMPY_NAMES.items()}
"""NumPy's name of each element type that can travel, by its number in DataType; "string" is that of texts and bytes."""

DATA_TYPES: dict[str, int] = {numpy: number for number, numpy in NUMPY_NAMES.items()}
"""The number in DataType of each element type that can travel, by NumPy's name."""

STRING = DATA_TYPES["string"]

_BY_DTYPE = {np.dtype(name): number for name, number in DATA_TYPES.items() if name != "string"}
"""NumPy takes a microsecond and more to name a dtype, and every request has several."""


def enum_name(data_type: int) -> str:
    """Returns the name of an element type in DataType, such as "DT_FLOAT"; for a number without one, the number."""
    value = _ENUM.values_by_number.get(data_type)
    return str(data_type) if value is None else value.name


def tensorflow_name(data_type: int) -> str:
    """Returns what TensorFlow calls an element type in its messages: "float", "half", "int64", "string"."""
    return enum_name(data_type).removeprefix("DT_").lower()


def numpy_name(data_type: int) -> str:
    """Returns NumPy's name of an element type, "string" for DT_STRING.

    Raises:
        DataError: It has no array here: bfloat16, complex, quantised and the like.
    """
    if data_type not in NUMPY_NAMES:
        raise DataError(f"a tensor of {enum_name(data_type)} has no array here; use one of {', '.join(_NUMPY_NAMES)}")
    return NUMPY_NAMES[data_type]


def data_type_of(dtype: DTypeLike) -> int:
    """Returns the number in DataType of an array's dtype; arrays of bytes, str and objects are strings.

    Raises:
        DataError: No tensor here has it: complex, bfloat16, dates and the like.
    """
    resolved = np.dtype(dtype)
    if (known := _BY_DTYPE.get(resolved)) is not None:
        return known
    name = "string" if resolved.kind in "OSUT" else resolved.name
    if name not in DATA_TYPES:
        raise DataError(f"an array of {resolved.name} cannot travel; cast it to one of {', '.join(DATA_TYPES)}")
    return DATA_TYPES[name]
