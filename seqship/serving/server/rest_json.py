"""The bodies of TensorFlow Serving's REST API: requests to arrays and examples, answers to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from seqship.serving.server.json_text import indented, nested, quoted, scalars, shown, utf8
from seqship.serving.server.rest_tensors import (
    beyond,
    decoded_base64,
    is_base64,
    json_type,
    tensor,
)
from seqship.serving.server.signatures import Feed, Outputs, Signature
from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.wire.messages import Example, Feature, Input, Proto

Document = Mapping[str, Any]


class Format(Enum):
    """How a Predict request names its inputs, and so its outputs."""

    ROW = "instances"
    COLUMNAR = "inputs"


def signature_name(document: Document) -> str:
    """Returns the signature that a request names; the empty string where it names none.

    Raises:
        StatusError: It is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return utf8(name).decode("utf-8", "replace")


def predict_feed(document: Document, signature: Signature) -> tuple[Feed, Format]:
    """Returns the inputs of a Predict request, and how it named them.

    Raises:
        StatusError: They are not those of the signature; TensorFlow Serving's words.
    """
    if "instances" in document and "inputs" in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
            "to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid_argument(f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid_argument(f"JSON Value: {shown(document)} No values in 'instances' array")
        return _from_rows(instances, signature), Format.ROW
    if "inputs" in document:
        return _from_columns(document["inputs"], signature), Format.COLUMNAR
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def predict_body(outputs: Outputs, form: Format) -> bytes:
    """Returns the answer to a Predict request, in the format of the request.

    Raises:
        StatusError: An output has no batch, another one than the others, or a type that JSON has not.
    """
    if form is Format.COLUMNAR:
        return _columns(outputs)
    return _rows(outputs)


def example_input(document: Document, method: str) -> Proto:
    """Returns the `Input` of a Classify or Regress request.

    Raises:
        StatusError: There are no examples, or a value is none that a feature holds.
    """
    made = Input()
    context = document.get("context")
    if "context" in document:
        made.example_list_with_context.context.CopyFrom(_example(context))
    if "examples" not in document:
        raise invalid_argument(
            f"JSON Value: {shown(document)} When method is {method}, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid_argument(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid_argument(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    target = made.example_list_with_context if "context" in document else made.example_list
    for one in examples:
        target.examples.add().CopyFrom(_example(one))
    return made


def classification_body(result: Proto) -> bytes:
    """Returns the answer to a Classify request: a label and a score of each class of each example."""
    rows: list[str] = []
    for one in result.classifications:
        scores = scalars(np.array([entry.score for entry in one.classes], np.float32))
        pairs = (f"[{quoted(entry.label.encode())}, {score}]" for entry, score in zip(one.classes, scores, strict=True))
        rows.append(f"[{', '.join(pairs)}]")
    return utf8(f'{{\n    "results": [{", ".join(rows)}\n    ]\n}}')


def regression_body(result: Proto) -> bytes:
    """Returns the answer to a Regress request: a value of each example."""
    values = scalars(np.array([one.value for one in result.regressions], np.float32))
    return utf8(f'{{\n    "results": [{", ".join(values)}]\n}}')


def _from_rows(instances: list[Any], signature: Signature) -> Feed:
    expected = signature.inputs_by_name
    first = instances[0]
    if not isinstance(first, dict) and len(expected) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_named(first)
    for number, one in enumerate(instances):
        if named and not _is_named(one):
            raise invalid_argument(f"Expecting object but got list at item {number} of input list")
        if not named and _is_named(one):
            raise invalid_argument(f"Expecting value/list but got object at item {number} of input list")
    if not named:
        name, field = next(iter(expected.items()))
        return {name: _stacked(instances, field.dtype, "")}
    for number, one in enumerate(instances):
        if unknown := [name for name in one if name not in expected]:
            _fail(number, unknown[0], invalid_argument(f"JSON object: does not have named input: {unknown[0]}"))
        if one.keys() != expected.keys():
            for name in one:  # What is wrong with a value is said first.
                _stacked([one[name]], expected[name].dtype, name, number)
            raise invalid_argument(
                f"Failed to process element: {number} of 'instances' list. JSON object: {shown(one)} keys must be "
                f"equal to: {','.join(expected)}"
            )
    return {name: _stacked([one[name] for one in instances], field.dtype, name) for name, field in expected.items()}


def _stacked(values: list[Any], dtype: str, name: str, start: int = 0) -> NDArray[Any]:
    """Returns the values of one input of all rows as one array; they have one shape."""
    try:
        return tensor(values, dtype)
    except StatusError:
        pass  # The element that is wrong is to be named.
    shape: tuple[int, ...] | None = None
    for number, value in enumerate(values, start):
        try:
            found = tensor(value, dtype).shape
        except StatusError as error:
            if error.code is Code.UNIMPLEMENTED:
                error = invalid_argument(error.message)
            _fail(number, name, error)
        shape = shape or found
        if np.prod(found) != np.prod(shape):
            expected, got = int(np.prod(shape)), int(np.prod(found))
            _fail(number, name, invalid_argument(f"Expecting tensor size: {expected} but got: {got}"))
        if found != shape:
            _fail(number, name, invalid_argument(f"Expecting shape {_listed(shape)} but got: {_listed(found)}"))
    return tensor(values, dtype)


def _fail(number: int, name: str, error: StatusError) -> NoReturn:
    key = f" key: {name}" if name else ""
    raise invalid_argument(f"Failed to process element: {number}{key} of 'instances' list. Error: {error}") from None


def _from_columns(value: Any, signature: Signature) -> Feed:
    expected = signature.inputs_by_name
    if not isinstance(value, dict) or is_base64(value):
        if len(expected) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        name, field = next(iter(expected.items()))
        return {name: tensor(value, field.dtype)}
    for name in expected:
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
    return {name: tensor(value[name], field.dtype) for name, field in expected.items()}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _rows(outputs: Outputs) -> bytes:
    batch: int | None = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if batch is not None and batch != len(array):
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}")
        batch = len(array)
    columns = {
        name: list(nested(scalars(array, as_bytes=_is_bytes(name, array)), array.shape))
        for name, array in outputs.items()
    }
    if len(columns) == 1:
        inner = ", ".join(next(iter(columns.values())))
    else:
        pads = " " * 12
        items = (
            ",\n".join(f"{pads}{quoted(name.encode())}: {column[row]}" for name, column in columns.items())
            for row in range(batch or 0)
        )
        inner = ",".join(f"\n        {{\n{item}\n        }}" for item in items)
    return utf8(f'{{\n    "predictions": [{inner}\n    ]\n}}')


def _columns(outputs: Outputs) -> bytes:
    def text(name: str, array: NDArray[Any], level: int) -> str:
        return indented(scalars(array, as_bytes=_is_bytes(name, array)), array.shape, level)

    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return utf8(f'{{\n    "outputs": {text(name, array, 1)}\n}}')
    items = (f"        {quoted(name.encode())}: {text(name, array, 2)}" for name, array in outputs.items())
    return utf8('{\n    "outputs": {\n' + ",\n".join(items) + "\n    }\n}")


def _is_bytes(name: str, array: NDArray[Any]) -> bool:
    return array.dtype.kind == "O" and name.endswith("_bytes")


def _example(value: Any) -> Proto:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(value)}")
    example = Example()
    for name, content in value.items():
        feature = _feature(name, content if isinstance(content, list) else [content])
        example.features.feature[utf8(name).decode("utf-8", "replace")].CopyFrom(feature)
    return example


def _feature(name: str, values: Sequence[Any]) -> Proto:
    feature = Feature()
    kinds: set[str] = set()
    for value in values:
        kind = _feature_kind(name, value)
        if kinds and kind not in kinds:
            known = next(iter(kinds))
            raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {known}")
        kinds.add(kind)
        if kind == "bytes":
            feature.bytes_list.value.append(decoded_base64(value) if isinstance(value, dict) else utf8(value))
        elif kind == "float":
            if beyond(value, "float32"):
                raise invalid_argument(f"Cannot convert JSON value: {shown(value)} to float without loss of precision.")
            feature.float_list.value.append(value)
        else:
            if value >= 2**63:
                raise invalid_argument(f"Feature: {name} has uint64 element. Only int64 is supported.")
            feature.int64_list.value.append(int(value))
    return feature


def _feature_kind(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "int64"
    if isinstance(value, int):
        return "int64" if -(2**63) <= value < 2**64 else "float"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str) or is_base64(value):
        return "bytes"
    raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")


def _listed(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
