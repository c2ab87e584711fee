"""Element types have the names that NumPy and TensorFlow give them."""

from __future__ import annotations

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.wire.dtypes import DATA_TYPES, NUMPY_NAMES, STRING, data_type_of, enum_name, numpy_name, tensorflow_name


def test_numbers_and_names_are_tensorflows() -> None:
    import tensorflow as tf

    assert len(DATA_TYPES) == len(NUMPY_NAMES) == 13
    for name, number in DATA_TYPES.items():
        theirs = tf.dtypes.as_dtype(number)
        assert theirs == tf.dtypes.as_dtype(name)
        assert tensorflow_name(number) == {"float64": "double", "float32": "float", "float16": "half"}.get(name, name)
        assert numpy_name(number) == name
        if name != "string":
            assert data_type_of(np.dtype(name)) == data_type_of(np.dtype(name).newbyteorder(">")) == number


def test_strings_and_what_has_no_name() -> None:
    assert STRING == 7
    assert {data_type_of(dtype) for dtype in ("S3", "U3", "O", np.dtypes.StringDType())} == {STRING}
    assert enum_name(14) == "DT_BFLOAT16"
    assert enum_name(999) == "999"
    with pytest.raises(
        DataError, match=r"^a tensor of DT_BFLOAT16 has no array here; use one of DT_FLOAT, DT_DOUBLE, "
    ):
        numpy_name(14)
    with pytest.raises(DataError, match=r"^an array of complex128 cannot travel; cast it to one of float32, float64, "):
        data_type_of("complex128")
