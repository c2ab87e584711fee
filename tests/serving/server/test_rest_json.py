"""The REST API's JSON: every body is answered or refused in words, and what is written can be read again."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from seqship.pipelines.spec import Field
from seqship.serving.server.json_text import error_body, parse_json, refuse_too_large
from seqship.serving.server.rest_json import (
    Format,
    classification_body,
    example_input,
    predict_body,
    predict_feed,
    regression_body,
    signature_name,
)
from seqship.serving.server.rest_path import parse_path
from seqship.serving.server.signatures import Feed, Outputs, Signature
from seqship.serving.server.status import Code, StatusError
from seqship.wire.messages import ClassificationResult, RegressionResult


def run(feed: Feed, deadline: float | None) -> Outputs:
    raise AssertionError


def signature(**inputs: str) -> Signature:
    fields = tuple(Field(name, dtype, ("batch",)) for name, dtype in inputs.items())
    return Signature("serving_default", "", fields, (), run)


def decoded(body: bytes | str, **inputs: str) -> dict[str, NDArray[Any]]:
    document = parse_json(body.encode() if isinstance(body, str) else body)
    return dict(predict_feed(document, signature(**inputs))[0])


def refusal(body: bytes | str, **inputs: str) -> StatusError:
    with pytest.raises(StatusError) as caught:
        decoded(body, **inputs)
    return caught.value


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ("[1, 2.5, -0.0, 1e-3]", "float32", [1, 2.5, -0.0, 1e-3]),
        ("[NaN, Infinity, -Infinity]", "float64", [math.nan, math.inf, -math.inf]),
        ("[16777215, 16777216.0]", "float32", [16777215, 16777216]),
        ("[18446744073709551616]", "float64", [2.0**64]),
        ("[-2147483648, 2147483647]", "int32", [-(2**31), 2**31 - 1]),
        ("[9223372036854775807]", "int64", [2**63 - 1]),
        ("[18446744073709551615]", "uint64", [2**64 - 1]),
        ("[0, 255]", "uint8", [0, 255]),
        ("[true, false]", "bool", [True, False]),
        ('["a", "\\u00e7", {"b64": "AP8="}, {"b64": "AP8"}]', "string", [b"a", "ç".encode(), b"\0\xff", b"\0\xff"]),
    ],
)
def test_values_that_a_type_holds(text: str, dtype: str, expected: list[Any]) -> None:
    wanted = np.array(expected, object if dtype == "string" else dtype)
    for body in (f'{{"instances": {text}}}', f'{{"inputs": {text}}}', f'{{"inputs": {{"x": {text}}}}}'):
        made = decoded(body, x=dtype)["x"]
        assert made.dtype == wanted.dtype
        np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(
    ("text", "dtype", "said"),
    [
        ("1.0", "int32", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ("2147483648", "int32", "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ("9223372036854775808", "int64", "Type: Number is not of expected type: int64"),
        ("-1", "uint32", "JSON Value: -1 Type: Number is not of expected type: uint32"),
        ("300", "uint8", "JSON Value: 300 Type: Number is not of expected type: uint8"),
        ("true", "int64", "JSON Value: true Type: True is not of expected type: int64"),
        ("1", "bool", "JSON Value: 1 Type: Number is not of expected type: bool"),
        ("null", "float32", "JSON Value: null Type: Null is not of expected type: float"),
        ('"1"', "float64", 'JSON Value: "1" Type: String is not of expected type: double'),
        ("1", "string", "JSON Value: 1 Type: Number is not of expected type: string"),
        ('{"b64": "AAAA"}', "float32", "is not of expected type: float"),
        ('{"b64": "*"}', "string", "Unable to base64 decode"),
        ('{"b64": 1}', "string", "not formatted correctly for base64 data"),
        ("16777216", "float32", "Cannot convert JSON value: 16777216 to float without loss of precision."),
        ("9007199254740992", "float64", "Cannot convert JSON value: 9007199254740992 to double without loss"),
        ("3.5e38", "float32", "Cannot convert JSON value: 3.5e+38 to float without loss of precision."),
        ('"\\ud800"', "string", "The surrogate pair in string is invalid."),
    ],
)
def test_values_that_a_type_does_not_hold(text: str, dtype: str, said: str) -> None:
    error = refusal(f'{{"inputs": {{"x": [{text}]}}}}', x=dtype)
    assert error.code is Code.INVALID_ARGUMENT
    assert said in error.message


def test_halves_are_not_taken() -> None:
    assert refusal('{"inputs": [1.0]}', x="float16").code is Code.UNIMPLEMENTED
    assert refusal('{"instances": [1.0]}', x="float16").code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"instances": [[1], [1, 2]]}', "Expecting tensor size: 1 but got: 2"),
        ('{"instances": [[[1, 2]], [[1], [2]]]}', "Expecting shape [1,2] but got: [2,1]"),
        ('{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1 of input list"),
        ('{"instances": [1, {"x": 2}]}', "Expecting value/list but got object at item 1 of input list"),
        ('{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        ('{"inputs": [[1], [2, 3]]}', "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
    ],
)
def test_ragged_lists(body: str, said: str) -> None:
    assert said in refusal(body, x="float32").message


def test_several_inputs_need_their_names() -> None:
    both = {"x": "float32", "y": "int32"}
    made = decoded('{"instances": [{"y": 1, "x": [2]}, {"x": [3], "y": 4}]}', **both)
    assert made["x"].tolist() == [[2.0], [3.0]]
    assert made["y"].tolist() == [1, 4]
    said = refusal('{"instances": [{"x": [2]}]}', **both).message
    assert said == (
        "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"x\": [\n        2\n    ]\n} keys must "
        "be equal to: x,y"
    )
    assert "expecting list of objects as multiple input tensors" in refusal('{"instances": [1]}', **both).message
    assert "expecting an object as multiple input tensors" in refusal('{"inputs": [1]}', **both).message
    assert refusal('{"inputs": {"x": [2]}}', **both).message == "Missing named input: y in 'inputs' object."


def test_what_follows_the_object_is_ignored() -> None:
    assert decoded('\ufeff {"inputs": [1.5]} and more', x="float32")["x"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b" \n", "The document is empty. at offset: 2"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b"{a: 1}", "Missing a name for object member. at offset: 1"),
        (b'{"a": [1 2]}', "Missing a comma or ] after an array element. at offset: 9"),
        ('{"ç": 1 "b": 2}'.encode(), "Missing a comma or } after an object member. at offset: 9"),
        (b'{"a": "b', "Missing a closing quotation mark in string. at offset: 6"),
        (b'{"a": "\\x"}', "Invalid escape character in string. at offset: 7"),
        (b'{"a": nul}', "Invalid value. at offset: 6"),
        (b'{"a":' * 100_000, "Nested too deeply."),
        (b'{"a": ' + b"9" * 5000 + b"}", "Number too big to be stored in double."),
    ],
)
def test_what_is_no_json(body: bytes, said: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_json(body)
    assert caught.value.message.startswith("JSON Parse error: ")
    assert said in caught.value.message


def test_only_written_infinities_are_infinite() -> None:
    refuse_too_large(b'{"a": [Infinity, 1e308]}')
    with pytest.raises(StatusError, match="Number too big to be stored in double"):
        refuse_too_large(b'{"a": [1e309]}')


@pytest.mark.parametrize(
    ("values", "dtype", "text"),
    [
        ([1, 0.1, 1e6, 123456, 1234567, -0.0], "float32", "1.0, 0.1, 1e+06, 123456.0, 1234567.0, -0.0"),
        ([1 / 3, 1e-7, 16777216], "float32", "0.333333343, 1e-07, 16777216.0"),
        ([1 / 3, 1e300, 1e22], "float64", "0.33333333333333331, 1e+300, 1e+22"),
        ([math.nan, math.inf, -math.inf], "float32", "NaN, Infinity, -Infinity"),
        ([-1, 2**63 - 1], "int64", "-1, 9223372036854775807"),
        ([True, False], "bool", "true, false"),
        ([b'a"\\\n\x01', "ç".encode()], "object", '"a\\"\\\\\\n\\u0001", "ç"'),
    ],
)
def test_how_values_are_written(values: list[Any], dtype: str, text: str) -> None:
    body = predict_body({"y": np.array(values, dtype)}, Format.ROW)
    assert body.decode() == f'{{\n    "predictions": [{text}\n    ]\n}}'


def test_bytes_are_written_by_name() -> None:
    values = np.array([b"\0\xff"], object)
    row = predict_body({"a_bytes": values, "b": np.array([1.5])}, Format.ROW)
    assert json.loads(row) == {"predictions": [{"a_bytes": {"b64": "AP8="}, "b": 1.5}]}
    assert row.decode() == (
        '{\n    "predictions": [\n        {\n            "a_bytes": {"b64": "AP8="},\n            "b": 1.5\n'
        "        }\n    ]\n}"
    )
    # What is no text goes out as it is, as RapidJSON writes it.
    assert b'"\0'.replace(b"\0", b"\\u0000") + b'\xff"' in predict_body({"a": values}, Format.COLUMNAR)


def test_outputs_that_have_no_rows() -> None:
    with pytest.raises(StatusError, match="Tensor name: y has no shape information"):
        predict_body({"y": np.array(1.0)}, Format.ROW)
    with pytest.raises(StatusError, match="Tensor name: z has inconsistent batch size: 1 expecting: 2"):
        predict_body({"y": np.zeros(2), "z": np.zeros(1)}, Format.ROW)
    with pytest.raises(StatusError, match="Failed to write JSON value for tensor type: half"):
        predict_body({"y": np.zeros(2, np.float16)}, Format.COLUMNAR)
    assert json.loads(predict_body({"y": np.array(1.5)}, Format.COLUMNAR)) == {"outputs": 1.5}
    assert json.loads(predict_body({"y": np.zeros((0, 3))}, Format.ROW)) == {"predictions": []}
    assert json.loads(predict_body({"y": np.zeros((2, 0))}, Format.ROW)) == {"predictions": [[], []]}
    assert json.loads(predict_body({"y": np.zeros((2, 0, 3))}, Format.ROW)) == {"predictions": [[], []]}
    assert json.loads(predict_body({"y": np.zeros((2, 3, 0))}, Format.ROW)) == {"predictions": [[[]] * 3] * 2}


def test_results() -> None:
    result = ClassificationResult()
    for score in (0.25, 0.1):
        result.classifications.add().classes.add(label="ä", score=score)
    assert classification_body(result).decode() == '{\n    "results": [[["ä", 0.25]], [["ä", 0.1]]\n    ]\n}'
    regressions = RegressionResult()
    regressions.regressions.add(value=2)
    assert regression_body(regressions).decode() == '{\n    "results": [2.0]\n}'


def test_an_errors_text_may_hold_anything() -> None:
    assert json.loads(error_body('a "b" \\ \x00 ç \ud800')) == {"error": 'a "b" \\ \x00 ç \\ud800'}


SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)


@settings(max_examples=100, deadline=None)
@given(
    array=st.one_of(
        arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32)),
        arrays.arrays(np.float64, SHAPES),
        arrays.arrays(np.int64, SHAPES),
        arrays.arrays(np.bool_, SHAPES),
    ),
    columnar=st.booleans(),
)
def test_numbers_come_back(array: NDArray[Any], columnar: bool) -> None:
    """What is written of one model can be sent to the next."""
    body = predict_body({"y": array}, Format.COLUMNAR if columnar else Format.ROW)
    request = body.replace(b'"outputs"', b'"inputs"').replace(b'"predictions"', b'"instances"')
    back = decoded(request, y=array.dtype.name)["y"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@settings(max_examples=100, deadline=None)
@given(values=arrays.arrays(object, SHAPES, elements=st.binary(max_size=9)))
def test_bytes_come_back(values: NDArray[Any]) -> None:
    body = predict_body({"y_bytes": values}, Format.COLUMNAR).replace(b'"outputs"', b'"inputs"')
    assert decoded(body, y="string")["y"].tolist() == values.tolist()
    b64 = [{"b64": base64.b64encode(value).decode().rstrip("=")} for value in values.ravel()]
    assert decoded(json.dumps({"instances": b64}), y="string")["y"].tolist() == values.ravel().tolist()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "b64"]), inner, max_size=2),
    max_leaves=8,
)
SIGNATURES: Mapping[str, dict[str, str]] = {
    "float": {"x": "float32"},
    "int": {"x": "int32"},
    "text": {"x": "string"},
    "bool": {"x": "bool"},
    "both": {"x": "float64", "y": "int64"},
}


@settings(max_examples=400, deadline=None)
@given(
    keys=st.dictionaries(
        st.sampled_from(["instances", "inputs", "signature_name", "examples", "context", "x"]), JSON, max_size=3
    ),
    inputs=st.sampled_from(list(SIGNATURES)),
)
def test_no_document_makes_it_stumble(keys: dict[str, Any], inputs: str) -> None:
    """Each is taken, or refused with a status that says so: nothing else is ever raised."""
    document = parse_json(json.dumps(keys).encode())
    assert json.dumps(document) == json.dumps(keys)
    for read in (
        lambda: predict_feed(document, signature(**SIGNATURES[inputs])),
        lambda: example_input(document, "classify"),
        lambda: signature_name(document),
    ):
        try:
            read()
        except StatusError as error:
            assert error.code in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED)
            json.loads(error_body(error.message))


@settings(max_examples=400, deadline=None)
@given(
    body=st.binary(max_size=60)
    | st.text('{}[]",:0123456789eE+-.ntfINa\\u \n', max_size=60).map(str.encode)
    | JSON.map(lambda value: json.dumps({"inputs": value}).encode()[:-2])
)
def test_no_bytes_make_it_stumble(body: bytes) -> None:
    try:
        decoded(body, x="float32")
    except StatusError as error:
        assert error.code in (Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED)
        json.loads(error_body(error.message))


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    path=st.text("/:%v1modelsvrinbp.é\x00\n2f", max_size=40).map(lambda text: "/v1/" + text)
    | st.text(max_size=12).map(lambda name: f"/v1/models/{name}:predict"),
)
def test_no_path_makes_it_stumble(method: str, path: str) -> None:
    try:
        asked = parse_path(method, path)
        assert asked.spec.name
    except StatusError as error:
        assert error.code is Code.INVALID_ARGUMENT
