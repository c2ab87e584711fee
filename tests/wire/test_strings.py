"""Strings stay whole on their way into an array."""

from __future__ import annotations

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.wire.strings import as_array, encoded
from seqship.wire.tensors import from_tensor_proto, to_tensor_proto


def test_bytes_of_a_list_keep_their_last_zeros_and_texts_may_stand_beside() -> None:
    values = as_array([[b"a\0", "é"], [b"\xff", ""]])
    assert (values.dtype, values.shape) == (object, (2, 2))
    assert values.tolist() == [[b"a\0", "é"], [b"\xff", ""]]
    assert from_tensor_proto(to_tensor_proto([b"a\0", b"\0"])).tolist() == [b"a\0", b"\0"]
    assert from_tensor_proto(to_tensor_proto(b"a\0")).item() == b"a\0"


def test_numbers_get_the_dtype_that_numpy_gives_them() -> None:
    assert as_array([1, 2]).dtype == np.int64
    assert as_array([[1.5]]).dtype == np.float64
    assert as_array([]).dtype == np.float64
    assert as_array(np.float32(1)).dtype == np.float32
    array = np.zeros(3, np.int8)
    assert as_array(array) is array


def test_what_is_no_array() -> None:
    with pytest.raises(DataError, match=r"^the values are no array: .*inhomogeneous[^\n]*$"):
        as_array([[1.0], [1.0, 2.0]])
    assert encoded("é") == b"\xc3\xa9"
    with pytest.raises(DataError, match=r"^the values are no array: .*inhomogeneous[^\n]*$"):
        to_tensor_proto([["a"], ["b", "c"]])
