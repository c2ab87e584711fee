"""What a caller may give for a signature, and what is refused before anything is sent."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.pipelines.spec import Field
from seqship.serving.client.contract import SignatureContract
from seqship.serving.client.feeds import checked_feed, checked_outputs


def signature(*fields: Field, unchecked: frozenset[str] = frozenset()) -> SignatureContract:
    outputs = (Field("a", "float32", ("batch",)), Field("b", "float32", ("batch",)))
    return SignatureContract("s", "tensorflow/serving/predict", fields, outputs, unchecked)


def one(dtype: str, *shape: int | str) -> SignatureContract:
    return signature(Field("x", dtype, shape))


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("float32", [0.1, 2], [0.1, 2.0]),
        ("float32", np.array([0.1, 1e-50]), [0.1, 0.0]),
        ("float64", np.array([0.5], np.float32), [0.5]),
        ("float32", [np.inf, -np.inf], [np.inf, -np.inf]),
        ("float32", [2**24], [2.0**24]),
        ("int32", np.array([7], np.uint64), [7]),
        ("int64", [-5], [-5]),
        ("uint8", [255], [255]),
        ("bool", [True, False], [True, False]),
        ("float32", [], []),
        ("string", ["é", b"\xff\0"], ["é".encode(), b"\xff\0"]),
        ("string", np.array(["a", "bc"]), [b"a", b"bc"]),
        ("string", np.array([b"a"], object), [b"a"]),
    ],
)
def test_values_become_the_type_of_the_signature(dtype: str, value: Any, expected: list[Any]) -> None:
    made = checked_feed({"x": value}, one(dtype, "batch"))["x"]
    assert made.dtype == np.dtype(object if dtype == "string" else dtype)
    assert made.tolist() == np.array(expected, made.dtype).tolist()


@pytest.mark.parametrize(
    ("dtype", "value", "said"),
    [
        ("float32", ["1"], "input 'x' of the signature 's' takes float32, got str"),
        ("float32", [True], "takes float32, got bool; cast it with .astype('float32')"),
        ("float32", [1e39], "takes float32, which cannot hold 1e+39"),
        ("float32", [2**24 + 1], "takes float32, which cannot hold 16777217"),
        ("int32", [1.0], "takes int32, got float64; cast it with .astype('int32')"),
        ("int32", [2**31], "takes int32, which cannot hold 2147483648"),
        ("uint8", np.array([-1]), "takes uint8, which cannot hold -1"),
        ("bool", [1], "takes bool, got int64; cast it with .astype('bool')"),
        ("string", [1], "takes string, got int64"),
        ("string", [["a"], [None]], "a string tensor holds bytes or str, not NoneType; cast the array first"),
        ("bfloat16", [1.0], "is bfloat16, which has no NumPy array here"),
        ("float32", [[1.0]], "takes the shape (?), got (1, 1)"),
        ("float32", 1.0, "takes the shape (?), got ()"),
        ("float32", [[1.0], [1.0, 2.0]], "the values are no array"),
    ],
)
def test_values_that_are_refused(dtype: str, value: Any, said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        checked_feed({"x": value}, one(dtype, "batch"))
    assert "\n" not in str(caught.value)


def test_names() -> None:
    two = signature(Field("x", "float32", ("batch",)), Field("y", "float32", ("batch",)))
    assert list(checked_feed({"y": [1.0], "x": [2.0]}, two)) == ["x", "y"]
    with pytest.raises(DataError, match=r"^the signature 's' takes x, y: 'y' is missing, 'z' is not one of them$"):
        checked_feed({"z": [1.0], "x": [2.0]}, two)
    with pytest.raises(DataError, match=r"^the signature 's' takes x, y; give a mapping with a value for each$"):
        checked_feed([1.0], two)


def test_shapes() -> None:
    fields = one("float32", "batch", "time", 2)
    assert checked_feed(np.zeros((3, 4, 2)), fields)["x"].shape == (3, 4, 2)
    with pytest.raises(DataError, match=r"takes the shape \(\?, \?, 2\), got \(3, 4\)"):
        checked_feed(np.zeros((3, 4)), fields)
    assert checked_feed([1.0, 2.0], one("float32", "batch", 1))["x"].tolist() == [[1.0], [2.0]]
    free = signature(Field("x", "float32", ()), unchecked=frozenset({"x"}))
    assert checked_feed([[1.0]], free)["x"].shape == (1, 1)


def test_sequences_of_unequal_length() -> None:
    fields = one("float32", "batch", "time", 1)
    made = checked_feed([[1.0, 2.0], np.array([3.0])], fields, pad_value=-1)["x"]
    assert made.tolist() == [[[1.0], [2.0]], [[3.0], [-1.0]]]
    tokens = checked_feed([[1, 2], [3]], one("int32", "batch", "time"), pad_value=0)["x"]
    assert (tokens.dtype, tokens.tolist()) == (np.int32, [[1, 2], [3, 0]])
    fixed = checked_feed([[1.0], [2.0]], one("float32", "batch", 3, 1), pad_value=9)["x"]
    assert fixed[..., 0].tolist() == [[1.0, 9.0, 9.0], [2.0, 9.0, 9.0]]
    objects = np.empty(2, object)
    objects[:] = [np.zeros((2, 2)), np.ones((1, 2))]
    pairs = checked_feed(objects, one("float32", "batch", "time", 2), pad_value=-1)["x"]
    assert pairs.tolist() == [[[0, 0], [0, 0]], [[1, 1], [-1, -1]]]


@pytest.mark.parametrize(
    ("value", "pad_value", "said"),
    [
        ([[1.0, 2.0], [3.0]], None, "input 'x' is given sequences of 1 to 2 steps; give pad_value=, as the bundle's"),
        ([[1.0, 2.0], [-1.0]], -1.0, "sequence 1 holds the pad value -1 at step 0, which would be ignored"),
        ([[1.0, 2.0], []], -1.0, "sequence 1 is empty; a sequence has at least one step"),
        ([[[1.0, 2.0]], [3.0]], -1.0, "sequence 0 has shape (1, 2); the model takes (time, 1)"),
        ([[1.0], [float("nan"), 1.0]], -1.0, "sequence 1 at step 0 is nan; values are finite numbers"),
        ([[1.0], [1.0, "a"]], -1.0, "sequence 1 is no array of numbers"),
    ],
)
def test_sequences_that_are_refused(value: Any, pad_value: float | None, said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        checked_feed(value, one("float32", "batch", "time", 1), pad_value=pad_value)


def test_outputs() -> None:
    assert checked_outputs(None, one("float32")) == ("a", "b")
    assert checked_outputs(["b", "b"], one("float32")) == ("b",)
    with pytest.raises(DataError, match=r"^the signature 's' has no output 'c'; it has: a, b$"):
        checked_outputs(["c"], one("float32"))
    with pytest.raises(DataError, match=r"^outputs= names none; leave it out for all: a, b$"):
        checked_outputs([], one("float32"))
