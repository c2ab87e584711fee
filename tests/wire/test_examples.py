"""tf.Examples are parsed as TensorFlow parses them, and refused in its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines.spec import Field
from seqship.wire.examples import ExampleField, from_examples, input_examples, to_example
from seqship.wire.messages import Example, Input

SEQUENCE = Field("x", "float32", ("batch", "time", 2), pad_value=-1.0)
FIXED = Field("x", "float32", ("batch", 3, 2))
TF_DTYPES = {"float": "float32", "int64": "int64", "string": "string"}


@dataclass(frozen=True)
class Plain:
    """Another class than Field that is one in shape."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    pad_value: float | None = None


def field_of(field: ExampleField) -> ExampleField:
    """The type checker holds both classes to the contract."""
    return field


def row_values(dtype: str, seed: int, shape: tuple[int, ...]) -> Any:
    random = np.random.default_rng(seed)
    if dtype == "string":
        values = np.empty(shape, object)
        for index in np.ndindex(*shape):
            values[index] = random.bytes(int(random.integers(0, 4)))
        return values
    return (
        random.normal(size=shape).astype(dtype) if dtype == "float32" else random.integers(-(2**63), 2**63 - 1, shape)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["float32", "int64"]),
    st.lists(st.integers(0, 5), min_size=1, max_size=4),
    st.sampled_from([(), (1,), (3,), (2, 2)]),
    st.integers(0, 2**32 - 1),
    st.integers(-3, 3),
)
def test_sequences_are_those_of_parse_example(
    dtype: str, lengths: list[int], step: tuple[int, ...], seed: int, pad: int
) -> None:
    import tensorflow as tf

    field = Plain("x", dtype, ("batch", "time", *step), pad)
    rows = [row_values(dtype, seed + index, (length, *step)) for index, length in enumerate(lengths)]
    data = [to_example({"x": row, "other": [1.0]}).SerializeToString() for row in rows]
    spec: Any = tf.io.FixedLenSequenceFeature(step, dtype, allow_missing=True, default_value=pad)
    expected = tf.io.parse_example(data, {"x": spec})["x"].numpy()
    actual = from_examples(data, [field_of(field)])["x"]
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(actual, expected)
    for row, length, values in zip(actual, lengths, rows, strict=True):
        np.testing.assert_array_equal(row[:length], values)
        assert (row[length:] == pad).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["float32", "int64", "string"]),
    st.integers(1, 4),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_fixed_sizes_are_those_of_parse_example(dtype: str, count: int, shape: list[int], seed: int) -> None:
    import tensorflow as tf

    rows = [row_values(dtype, seed + index, tuple(shape)) for index in range(count)]
    examples = [to_example({"x": row}) for row in rows]
    actual = from_examples(examples, [Plain("x", dtype, ("batch", *shape))])["x"]
    spec: Any = tf.io.FixedLenFeature(shape, dtype)
    if 0 not in shape:  # TensorFlow refuses features without elements.
        data = [example.SerializeToString() for example in examples]
        np.testing.assert_array_equal(actual, tf.io.parse_example(data, {"x": spec})["x"].numpy())
    assert actual.shape == (count, *shape)
    assert actual.dtype == (object if dtype == "string" else dtype)
    np.testing.assert_array_equal(actual, np.stack(rows))


def test_the_message_is_the_one_tensorflow_makes() -> None:
    import tensorflow as tf

    ours = to_example({"f": np.arange(4.0).reshape(2, 2), "i": [True, False], "s": ["é", b"\xff"], "n": np.uint8(3)})
    train = tf.train
    theirs = train.Example(
        features=train.Features(
            feature={
                "f": train.Feature(float_list=train.FloatList(value=[0, 1, 2, 3])),
                "i": train.Feature(int64_list=train.Int64List(value=[1, 0])),
                "s": train.Feature(bytes_list=train.BytesList(value=["é".encode(), b"\xff"])),
                "n": train.Feature(int64_list=train.Int64List(value=[3])),
            }
        )
    )
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(deterministic=True)


def test_every_dtype_of_a_field_is_made_of_the_list_of_its_kind() -> None:
    example = to_example({"f": [0.5, 1.5], "i": [0, 1], "s": ["a", "b"]})
    for dtype in ("float16", "float32", "float64", "int8", "uint8", "int32", "uint64", "bool"):
        name = "f" if dtype.startswith("float") else "i"
        value = from_examples([example], [Plain(name, dtype, ("batch", "time"))])[name]
        assert value.dtype == dtype
        assert value.tolist() == [[0.5, 1.5]] if name == "f" else [[0, 1]]
    assert from_examples([example], [Plain("s", "string", ("batch", 2))])["s"].tolist() == [[b"a", b"b"]]


def test_padding_does_not_take_the_dtype_of_the_list() -> None:
    examples = [to_example({"x": [1, 2, 3]}), to_example({"x": []})]
    examples[1].features.feature["x"].int64_list.SetInParent()
    value = from_examples(examples, [Plain("x", "int8", ("batch", "time"), 7)])["x"]
    assert (value.dtype, value.tolist()) == (np.int8, [[1, 2, 3], [7, 7, 7]])


def test_a_scalar_a_row_and_no_rows() -> None:
    examples = [to_example({"x": value}) for value in (1.0, 2.0)]
    assert from_examples(examples, [Plain("x", "float32", ("batch",))])["x"].tolist() == [1, 2]
    assert from_examples([], [SEQUENCE])["x"].shape == (0, 0, 2)
    assert from_examples([], [FIXED])["x"].shape == (0, 3, 2)


def tensorflow_words(examples: list[Any], field: Field) -> str:
    """What TensorFlow says of the same examples, from the feature's name on."""
    import tensorflow as tf

    sizes = [size for size in field.shape[1:] if isinstance(size, int)]
    spec: Any = (
        tf.io.FixedLenSequenceFeature(sizes, field.dtype, allow_missing=True)
        if field.has_time
        else tf.io.FixedLenFeature(sizes, field.dtype)
    )
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.io.parse_example([example.SerializeToString() for example in examples], {field.name: spec})
    return str(caught.value.message).partition("Name: <unknown>, ")[2].partition(" [Op:")[0]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            FIXED,
            [1.0],
            "Key: x, Index: 1.  Number of float values != expected.  Values size: 1 but output shape: [3,2]",
        ),
        (FIXED, [1] * 6, "Key: x, Index: 1.  Data types don't match. Data type: int64 but expected type: float"),
        (FIXED, ["a"] * 6, "Key: x, Index: 1.  Data types don't match. Data type: string but expected type: float"),
        (
            SEQUENCE,
            [1.0] * 3,
            "Key: x, Index: 1.  Number of float values is not a multiple of stride length. Saw 3 values but output "
            "shape is: [?,2]",
        ),
        (SEQUENCE, [1, 2], "Key: x, Index: 1.  Data types don't match. Data type: int64 but expected type: float"),
    ],
)
def test_a_wrong_feature_is_refused_in_the_words_of_tensorflow(field: Field, value: list[Any], message: str) -> None:
    examples = [to_example({"x": np.zeros((3, 2))}), to_example({"x": value})]
    with pytest.raises(DataError) as caught:
        from_examples(examples, [field])
    assert str(caught.value) == message == tensorflow_words(examples, field)


@pytest.mark.parametrize("field", [FIXED, SEQUENCE])
def test_a_missing_feature_is_refused_in_the_words_of_tensorflow(field: Field) -> None:
    words = "Feature: x (data type: float) is required but could not be found."
    unset = Example()
    unset.features.feature["x"].SetInParent()
    for missing in (Example(), to_example({"y": [1.0]}), unset):
        examples = [to_example({"x": np.zeros((3, 2))}), missing]
        with pytest.raises(DataError) as caught:
            from_examples(examples, [field])
        assert str(caught.value) == f"Index: 1, {words}"
        assert len(missing.features.feature) <= 1  # A look at a map of messages would add the feature.
        if field is FIXED:
            assert tensorflow_words(examples, field) == words


def test_without_a_pad_value_sequences_are_equally_long() -> None:
    field = Field("x", "float32", ("batch", "time", 2))
    examples = [to_example({"x": np.zeros((length, 2))}) for length in (3, 3, 1)]
    assert from_examples(examples[:2], [field])["x"].shape == (2, 3, 2)
    with pytest.raises(
        DataError, match=r"^Key: x, Index: 2.  Sequences without a pad value must be equally long: 1 st"
    ):
        from_examples(examples, [field])


def test_padding_has_a_bound_that_can_be_set() -> None:
    examples = [to_example({"x": np.zeros((length, 2))}) for length in (3, 1)]
    assert from_examples(examples, [SEQUENCE], max_bytes=48)["x"].shape == (2, 3, 2)
    with pytest.raises(
        DataError, match=r"^feature 'x' padded to 6 values in 2 examples takes 48 bytes; up to 47 are pad"
    ):
        from_examples(examples, [SEQUENCE], max_bytes=47)
    assert from_examples([examples[0]] * 2, [SEQUENCE], max_bytes=0)["x"].shape == (2, 3, 2)


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("int8", [127, 128], "Key: x, Index: 0.  Values of int8 lie in -128 to 127, here is 128"),
        ("uint64", [-1], "Key: x, Index: 0.  Values of uint64 lie in 0 to 9223372036854775807, here is -1"),
        ("bool", [2], "Key: x, Index: 0.  Values of bool lie in 0 to 1, here is 2"),
        ("float16", [1e6], "feature 'x' holds 1000000.0, which is beyond float16"),
        ("complex64", [1.0], "feature 'x' is of complex64; a tf.Example holds numbers, bool and strings"),
    ],
)
def test_values_that_do_not_fit_the_dtype(dtype: str, value: list[Any], message: str) -> None:
    for pad in (None, 0.0):
        with pytest.raises(DataError) as caught:
            from_examples([to_example({"x": value})], [Plain("x", dtype, ("batch", "time"), pad)])
        assert str(caught.value) == message


def test_contracts_that_no_example_can_keep() -> None:
    example = to_example({"x": ["a"]})
    with pytest.raises(
        DataError, match=r"^feature 'x' has shape \('batch', 'time', 'f'\); only the first two axes may"
    ):
        from_examples([example], [Plain("x", "float32", ("batch", "time", "f"))])
    with pytest.raises(DataError, match=r"^feature 'x' is of strings; the pad value 0 is a number$"):
        from_examples([example], [Plain("x", "string", ("batch", "time"), 0)])
    with pytest.raises(
        DataError, match=r"^Index: 1\.  Could not parse example input; it is no serialized tf\.Example$"
    ):
        from_examples([example.SerializeToString(), b"\xff"], [])


def test_arrays_that_no_example_can_hold() -> None:
    with pytest.raises(
        DataError, match=r"^feature 'x' holds complex64; a tf\.Example holds numbers, bool and strings$"
    ):
        to_example({"x": np.zeros(1, np.complex64)})
    with pytest.raises(
        DataError, match=r"^feature 'x' holds 9223372036854775808; a tf\.Example holds whole numbers of"
    ):
        to_example({"x": np.array([2**63], np.uint64)})
    with pytest.raises(DataError, match=r"^feature 'x' holds 1e\+300, which is beyond float32$"):
        to_example({"x": [1e300]})
    assert to_example({"x": [np.inf]}).features.feature["x"].float_list.value[0] == np.inf


def test_a_context_is_the_base_of_every_example() -> None:
    request = Input()
    with pytest.raises(DataError, match=r"^Input is empty\.$"):
        input_examples(request)
    request.example_list_with_context.context.CopyFrom(to_example({"a": [1.0], "b": [1.0]}))
    with pytest.raises(DataError, match=r"^Input is empty\.$"):
        input_examples(request)
    own = [to_example({"b": [2.0]}), to_example({"c": [3]})]
    request.example_list_with_context.examples.extend(own)
    merged = input_examples(request)
    assert merged == [to_example({"a": [1.0], "b": [2.0]}), to_example({"a": [1.0], "b": [1.0], "c": [3]})]
    request.example_list.examples.extend(own)
    assert input_examples(request) == own
