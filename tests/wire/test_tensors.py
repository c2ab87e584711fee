"""Arrays travel as TensorFlow's own functions make and read them; what a message claims is checked first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.wire.dtypes import DATA_TYPES
from seqship.wire.messages import TensorProto
from seqship.wire.tensors import MAX_BYTES, from_tensor_proto, to_tensor_proto

NUMBERS = [name for name in DATA_TYPES if name != "string"]
TYPED = {"float_val": 1, "double_val": 2, "int_val": 3, "int64_val": 9, "bool_val": 10, "string_val": 7}


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    name = draw(st.sampled_from([*NUMBERS, "string"]))
    if name == "string":
        values = np.empty(shape, object)
        for index in np.ndindex(*shape):
            values[index] = draw(st.binary(max_size=5))
        return values
    return draw(hnp.arrays(name, shape))


def assert_same(one: NDArray[Any], other: NDArray[Any]) -> None:
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    np.testing.assert_array_equal(one, other)


def proto_of(data_type: str, shape: tuple[int, ...], **values: Any) -> Any:
    proto = TensorProto(dtype=data_type, **values)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@settings(max_examples=150, deadline=None)
@given(arrays(), st.booleans())
def test_round_trip(array: NDArray[Any], content: bool) -> None:
    proto = TensorProto.FromString(to_tensor_proto(array, content=content).SerializeToString())
    back = from_tensor_proto(proto)
    assert_same(back, array)
    assert back.flags.writeable
    assert bool(proto.tensor_content) == (content and array.size > 0 and array.dtype != object)


@settings(max_examples=150, deadline=None)
@given(arrays(), st.booleans())
def test_tensorflow_reads_and_writes_the_same(array: NDArray[Any], content: bool) -> None:
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto as TheirProto

    ours = to_tensor_proto(array, content=content)
    assert_same(tf.make_ndarray(TheirProto.FromString(ours.SerializeToString())), array)
    theirs: Any = tf.make_tensor_proto(array, dtype=tf.string if array.dtype == object else None)
    assert_same(from_tensor_proto(theirs), array)
    if content and theirs.tensor_content:
        assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)
    # The C++ of TensorFlow, which serves, reads messages by code of its own.
    name = "string" if array.dtype == object else array.dtype.name
    tensor = tf.io.parse_tensor(ours.SerializeToString(), tf.dtypes.as_dtype(name))
    assert_same(np.asarray(tensor.numpy(), array.dtype).reshape(tensor.shape), array)


@settings(max_examples=60, deadline=None)
@given(arrays())
def test_seqship_reads_what_the_cpp_of_tensorflow_writes(array: NDArray[Any]) -> None:
    import tensorflow as tf

    # It writes strings, too, as raw content.
    data = tf.io.serialize_tensor(tf.constant(array, tf.string if array.dtype == object else None)).numpy()
    assert_same(from_tensor_proto(TensorProto.FromString(data)), array)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(DATA_TYPES)), st.integers(0, 3), st.integers(0, 3))
def test_a_short_typed_field_is_filled_up_as_tensorflow_does(name: str, given_count: int, more: int) -> None:
    import tensorflow as tf

    values = [b"a", b"bc", b""][:given_count] if name == "string" else [1, 0, 1][:given_count]
    proto = to_tensor_proto(np.array(values, object if name == "string" else name))
    proto.tensor_shape.dim[0].size = given_count + more
    whole = from_tensor_proto(proto)
    assert whole.shape == (given_count + more,)
    assert_same(whole[:given_count], np.array(values, whole.dtype))
    tensor = tf.io.parse_tensor(proto.SerializeToString(), tf.dtypes.as_dtype(name)).numpy()
    assert_same(whole, np.asarray(tensor, whole.dtype))
    if given_count and more:
        assert (whole[given_count:] == whole[given_count - 1]).all()


def test_floats_keep_every_bit() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    proto = to_tensor_proto(bits.view(np.float16))
    assert list(proto.half_val) == list(range(2**16))
    np.testing.assert_array_equal(from_tensor_proto(proto).view(np.uint16), bits)
    for name in ("float32", "float64"):
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(name).tiny / 4, np.finfo(name).max], name)
        for content in (False, True):
            assert from_tensor_proto(to_tensor_proto(special, content=content)).tobytes() == special.tobytes()


def test_text_becomes_utf8_and_layout_does_not_matter() -> None:
    assert from_tensor_proto(to_tensor_proto(["é", "日本"])).tolist() == ["é".encode(), "日本".encode()]
    assert from_tensor_proto(to_tensor_proto(np.array([b"a", b"bc"]))).tolist() == [b"a", b"bc"]
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    for array in (matrix.T, matrix[:, ::2], matrix.astype(">f4")):
        for content in (False, True):
            assert_same(from_tensor_proto(to_tensor_proto(array, content=content)), np.array(array, np.float32))


def test_content_wins_over_the_typed_field() -> None:
    proto = to_tensor_proto(np.array([1, 2], np.float32), content=True)
    proto.float_val.append(9)
    assert from_tensor_proto(proto).tolist() == [1, 2]


def test_true_is_any_byte_but_zero() -> None:
    assert from_tensor_proto(proto_of("DT_BOOL", (3,), tensor_content=b"\x00\x01\x02")).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (proto_of("DT_BFLOAT16", (1,), half_val=[1]), r"a tensor of DT_BFLOAT16 has no array here; use one of DT_FLOA"),
        (proto_of("DT_COMPLEX64", (1,), scomplex_val=[1, 0]), "a tensor of DT_COMPLEX64 has no array here"),
        (proto_of("DT_QINT8", (1,), int_val=[1]), "a tensor of DT_QINT8 has no array here"),
        (proto_of("DT_RESOURCE", ()), "a tensor of DT_RESOURCE has no array here"),
        (TensorProto(), "a tensor of DT_INVALID has no array here"),
        (TensorProto(dtype=101), "a tensor of 101 has no array here"),
        (proto_of("DT_FLOAT", (2, -1)), r"the shape of a tensor must be known, it is \[2, -1\]; state every size$"),
        (TensorProto(dtype=1, tensor_shape={"unknown_rank": True}), "the shape of a tensor must be known, its rank"),
        (proto_of("DT_FLOAT", (1,) * 33, float_val=[1]), "a tensor has at most 32 axes, this one has 33$"),
        (proto_of("DT_FLOAT", (0, 2**62, 2**62)), r"a tensor of shape \[0, \d+, \d+\] is larger than any array$"),
        (proto_of("DT_FLOAT", (2**62, 8), float_val=[1]), r"a tensor of shape \[\d+, 8\] is larger than any array$"),
        (proto_of("DT_FLOAT", (2,), float_val=[1, 2, 3]), r"a tensor of shape \[2\] has 2 elements, float_val holds 3"),
        (
            proto_of("DT_FLOAT", (2,), tensor_content=b"1234567"),
            "tensor_content of 2 elements of DT_FLOAT takes 8 bytes, it has 7$",
        ),
        (proto_of("DT_FLOAT", (0,), tensor_content=b"1"), "tensor_content of 0 elements of DT_FLOAT takes 0 bytes, it"),
        (proto_of("DT_INT8", (1,), int_val=[128]), "int_val of int8 lies in -128 to 127, it holds 128$"),
        (proto_of("DT_UINT16", (2,), int_val=[1, -1]), "int_val of uint16 lies in 0 to 65535, it holds -1$"),
        (proto_of("DT_HALF", (1,), half_val=[65536]), "half_val of float16 lies in 0 to 65535, it holds 65536$"),
        (proto_of("DT_STRING", (2,), tensor_content=b"\x01\x01a"), "tensor_content does not hold 2 strings$"),
        (proto_of("DT_STRING", (1,), tensor_content=b"\x80"), "tensor_content does not hold 1 strings$"),
        (proto_of("DT_STRING", (1,), tensor_content=b"\xff" * 12), "tensor_content does not hold 1 strings$"),
        (proto_of("DT_STRING", (2**40,), tensor_content=b"\x00"), r"tensor_content does not hold \d+ strings$"),
    ],
)
def test_a_wrong_message_is_refused_in_one_line(proto: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}") as caught:
        from_tensor_proto(proto)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data_type", ["DT_FLOAT", "DT_STRING", "DT_BOOL"])
def test_a_small_message_cannot_make_a_large_array(data_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_allocation(*_: Any) -> Any:
        raise AssertionError("allocated before it was checked")

    monkeypatch.setattr(np, "empty", no_allocation)
    proto = proto_of(data_type, (2**20, 2**20))
    with pytest.raises(
        DataError, match=rf"^a tensor of shape \[{2**20}, {2**20}\] takes \d+ bytes, but \w+ holds 0 of"
    ):
        from_tensor_proto(proto)


def test_filling_up_has_a_bound_that_can_be_set() -> None:
    proto = proto_of("DT_FLOAT", (1000,), float_val=[2])
    assert from_tensor_proto(proto, max_bytes=4000).tolist() == [2] * 1000
    with pytest.raises(
        DataError, match=r"^a tensor of shape \[1000\] takes 4000 bytes, .*; up to 3999 bytes are fille"
    ):
        from_tensor_proto(proto, max_bytes=3999)
    # What the message carries in full is no claim.
    assert from_tensor_proto(to_tensor_proto(np.ones(5)), max_bytes=0).tolist() == [1] * 5
    assert MAX_BYTES == 2**28


def test_arrays_that_cannot_travel() -> None:
    import ml_dtypes

    with pytest.raises(DataError, match=r"^an array of complex64 cannot travel; cast it to one of float32, "):
        to_tensor_proto(np.zeros(1, np.complex64))
    with pytest.raises(DataError, match=r"^an array of bfloat16 cannot travel"):
        to_tensor_proto(np.zeros(1, ml_dtypes.bfloat16))
    with pytest.raises(DataError, match=r"^an array of datetime64\[s\] cannot travel"):
        to_tensor_proto(np.zeros(1, "M8[s]"))
    with pytest.raises(DataError, match=r"^a string tensor holds bytes or str, not int; cast the array first$"):
        to_tensor_proto(np.array(["a", 1], object))
    with pytest.raises(
        DataError, match=r"^a string tensor holds bytes or UTF-8 text, not '.*': surrogates not allowed"
    ):
        to_tensor_proto(["\ud800"])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_cause_anything_but_a_data_error(data: bytes) -> None:
    from google.protobuf.message import DecodeError

    try:
        proto = TensorProto.FromString(data)
    except DecodeError:
        return
    try:
        from_tensor_proto(proto, max_bytes=1 << 16)
    except DataError as error:
        assert "\n" not in str(error)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 33),
    st.lists(st.integers(-2, 2**63 - 1) | st.integers(0, 3), max_size=4),
    st.binary(max_size=20),
    st.sampled_from(sorted(TYPED)),
    st.booleans(),
)
def test_no_claim_causes_anything_but_a_data_error(
    data_type: int, shape: list[int], content: bytes, field: str, filled: bool
) -> None:
    value: Any = b"a" if field == "string_val" else 1
    proto = proto_of("DT_FLOAT", tuple(shape), tensor_content=content, **{field: [value] * filled})
    proto.dtype = data_type
    try:
        array = from_tensor_proto(proto, max_bytes=1 << 16)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert array.shape == tuple(shape)
