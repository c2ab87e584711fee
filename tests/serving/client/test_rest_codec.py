"""The client's bodies against the server's: what one writes the other reads, to the bit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from seqship.pipelines.spec import Field
from seqship.serving.client.contract import SignatureContract
from seqship.serving.client.rest_codec import (
    AnswerError,
    classifications,
    parse_answer,
    predict_body,
    predict_outputs,
    regressions,
)
from seqship.serving.server.json_text import parse_json
from seqship.serving.server.rest_json import Format, predict_feed
from seqship.serving.server.rest_json import predict_body as server_body
from seqship.serving.server.signatures import Outputs, Signature
from seqship.wire.dtypes import DATA_TYPES

NUMBERS = sorted(set(DATA_TYPES) - {"string", "float16"})


def contract(*outputs: Field) -> SignatureContract:
    return SignatureContract("s", "", (), outputs)


def decoded(outputs: Outputs, *fields: Field) -> Outputs:
    document = parse_answer(server_body(outputs, Format.COLUMNAR))
    return predict_outputs(document, contract(*fields), [one.name for one in fields])


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """NaN has many forms, JSON has one."""
    if one.dtype.kind == "f":
        assert np.array_equal(np.isnan(one), np.isnan(other))
        one, other = (np.nan_to_num(value, nan=0, posinf=np.inf, neginf=-np.inf) for value in (one, other))
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=4)))
def test_every_float32_comes_back_to_the_bit(array: NDArray[np.float32]) -> None:
    field = Field("y", "float32", tuple("abc")[: array.ndim])
    assert same_bits(decoded({"y": array}, field)["y"], array)


@given(st.sampled_from(NUMBERS), st.data())
def test_every_type_comes_back(dtype: str, data: st.DataObject) -> None:
    array = data.draw(arrays.arrays(np.dtype(dtype), arrays.array_shapes(max_dims=2, max_side=4)))
    other = np.arange(3, dtype=np.int32)
    fields = (Field("y", dtype, tuple("ab")[: array.ndim]), Field("z", "int32", ("a",)))
    made = decoded({"y": array, "z": other}, *fields)
    assert same_bits(made["y"], array)
    assert same_bits(made["z"], other)


@given(st.lists(st.binary(max_size=5), max_size=4), st.sampled_from(["y", "y_bytes"]))
def test_strings_come_back_as_bytes(values: list[bytes], name: str) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    assert decoded({name: array}, Field(name, "string", ("a",)))[name].tolist() == values


@given(st.sampled_from(NUMBERS), st.data())
def test_the_server_reads_what_is_sent(dtype: str, data: st.DataObject) -> None:
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.startswith("float") else None
    array = data.draw(arrays.arrays(np.dtype(dtype), arrays.array_shapes(max_dims=3, max_side=3), elements=elements))
    if dtype in ("uint32", "uint64") and array.max() > np.iinfo(np.int32).max and dtype == "uint32":
        array = array // 2
    field = Field("x", dtype, tuple("abc")[: array.ndim])
    signature = Signature("s", "", (field,), (), lambda feed, _: dict(feed))
    feed, form = predict_feed(parse_json(predict_body({"x": array}, "s")), signature)
    assert form is Format.COLUMNAR
    assert same_bits(feed["x"], array)


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=4))
def test_the_server_reads_any_bytes(values: list[bytes]) -> None:
    array = np.empty((len(values), 1), object)
    array[:, 0] = values
    signature = Signature("s", "", (Field("x", "string", ("a", "b")),), (), lambda feed, _: dict(feed))
    feed, _ = predict_feed(parse_json(predict_body({"x": array}, "s")), signature)
    assert feed["x"].tolist() == array.tolist()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (0, 5, 2), (3,), ()])
def test_empty_arrays_keep_their_rank(shape: tuple[int, ...]) -> None:
    free = tuple("batch" if not axis else size or f"axis{axis}" for axis, size in enumerate(shape))
    made = decoded({"y": np.zeros(shape, np.float32)}, Field("y", "float32", free))["y"]
    assert made.shape == shape


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hello</html>", "the answer is no JSON, it begins with '<html>hello</html>'"),
        (b"[1]", "the answer is no JSON object"),
        (b'{"predictions": [1]}', "the answer has no outputs"),
        (b'{"outputs": [1.0, "a"]}', "the output 'y' is no float32 array: could not convert string to float: 'a'"),
        (b'{"outputs": [[1.0], []]}', "the output 'y' is no float32 array: setting an array element with a sequence"),
        (b'{"outputs": [[1.0]]}', "the output 'y' has 2 axes, the signature says 1"),
    ],
)
def test_answers_of_another_kind(body: bytes, said: str) -> None:
    with pytest.raises(AnswerError, match=f"^{re.escape(said)}"):
        predict_outputs(parse_answer(body), contract(Field("y", "float32", ("a",))), ["y"])


def test_answers_that_do_not_fit_the_signature() -> None:
    two = contract(Field("y", "int64", ("a",)), Field("z", "bool", ("a",)))
    with pytest.raises(AnswerError, match=r"^the answer has one output, the signature 's' has 2$"):
        predict_outputs({"outputs": [1]}, two, ["y"])
    with pytest.raises(AnswerError, match=r"^the answer lacks the output 'z'$"):
        predict_outputs({"outputs": {"y": [1]}}, two, ["y", "z"])
    with pytest.raises(AnswerError, match=r"^the output 'y' is no int64 array: it holds float$"):
        predict_outputs({"outputs": {"y": [1.0]}}, two, ["y"])
    with pytest.raises(AnswerError, match=r"^the output 'z' is no bool array: it holds int$"):
        predict_outputs({"outputs": {"z": [1]}}, two, ["z"])
    with pytest.raises(AnswerError, match=r"^the output 'w' is bfloat16, which has no NumPy array here$"):
        predict_outputs({"outputs": [1.0]}, contract(Field("w", "bfloat16", ("a",))), ["w"])
    with pytest.raises(AnswerError, match=r"^the output 'w' is no string array: 1 is no string$"):
        predict_outputs({"outputs": [1]}, contract(Field("w", "string", ("a",))), ["w"])


def test_results_of_examples() -> None:
    document = {"results": [[["a", 0.1], ["b", 0.9]]]}
    assert classifications(document) == [[("a", float(np.float32(0.1))), ("b", float(np.float32(0.9)))]]
    assert regressions({"results": [0.1, float("nan")]}).tolist()[0] == float(np.float32(0.1))
    for wrong in ({}, {"results": [1]}, {"results": [["a"]]}):
        with pytest.raises(AnswerError, match="the answer has no results with a label and a score each"):
            classifications(wrong)
    for wrong in ({}, {"results": ["a"]}, {"results": [[1.0]]}):
        with pytest.raises(AnswerError, match="the answer has no results"):
            regressions(wrong)
