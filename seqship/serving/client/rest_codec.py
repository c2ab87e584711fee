"""The bodies of TensorFlow Serving's REST API, from the caller's side: arrays to requests, answers to arrays.

Python writes a float32 with as many digits as a float64 needs, which every parser reads back to the same float32; NaN
and infinities are bare words, as TensorFlow Serving reads and writes them (`util/json_tensor.cc`).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.spec import Field
from seqship.serving.client.contract import SignatureContract
from seqship.wire.dtypes import DATA_TYPES
from seqship.wire.messages import Proto

Document = Mapping[str, Any]
Outputs = dict[str, NDArray[Any]]


class NoJsonFormError(DataError):
    """An array has no form in the REST API; gRPC takes it."""


class AnswerError(ValueError):
    """An answer is none of the API's, or does not fit the signature."""


def predict_body(feed: Mapping[str, NDArray[Any]], signature: str) -> bytes:
    """Returns the body of a Predict request, by columns.

    Raises:
        NoJsonFormError: JSON has no form of an array's type in TensorFlow Serving, or none of its shape.
    """
    for name, array in feed.items():
        if array.dtype == np.float16:
            raise NoJsonFormError(
                f"input {name!r} is float16, which TensorFlow Serving does not read from JSON; use grpc://"
            )
        if 0 in array.shape[:-1]:
            raise NoJsonFormError(f"input {name!r} has shape {array.shape}, which JSON cannot say; use grpc://")
    inputs = {name: _json_value(array) for name, array in feed.items()}
    return _dumped({"signature_name": signature, "inputs": inputs})


def examples_body(examples: Iterable[Proto], signature: str, context: Proto | None = None) -> bytes:
    """Returns the body of a Classify or Regress request.

    Args:
        examples: tf.Examples.
        signature: Name of the signature.
        context: A tf.Example whose features all examples have, unless they have their own.
    """
    document: dict[str, Any] = {"signature_name": signature, "examples": [_json_example(one) for one in examples]}
    return _dumped(document if context is None else document | {"context": _json_example(context)})


def parse_answer(body: bytes) -> Document:
    """Returns the object that an answer is.

    Raises:
        AnswerError: It is none.
    """
    try:
        # TensorFlow Serving writes the bytes of string outputs as they are, whether they are UTF-8 or not.
        document = json.loads(body.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        shown = body[:60].decode("utf-8", "replace")
        raise AnswerError(f"the answer is no JSON, it begins with {shown!r}") from None
    if not isinstance(document, dict):
        raise AnswerError("the answer is no JSON object")
    return document


def predict_outputs(document: Document, signature: SignatureContract, names: Sequence[str]) -> Outputs:
    """Returns the outputs of a Predict answer, in the types of the signature; strings are objects of type bytes.

    Raises:
        AnswerError: They are not those of the signature.
    """
    if "outputs" not in document:
        raise AnswerError("the answer has no outputs")
    outputs = document["outputs"]
    if len(signature.outputs) == 1:  # Then the name is left out.
        outputs = {signature.outputs[0].name: outputs}
    if not isinstance(outputs, dict):
        raise AnswerError(f"the answer has one output, the signature {signature.name!r} has {len(signature.outputs)}")
    fields = {one.name: one for one in signature.outputs}
    if missing := [name for name in names if name not in outputs]:
        raise AnswerError(f"the answer lacks the output {missing[0]!r}")
    return {name: _tensor(outputs[name], fields[name], name in signature.unchecked) for name in names}


def classifications(document: Document) -> list[list[tuple[str, float]]]:
    """Returns the label and score of each class of each example, scores as float32 gives them.

    Raises:
        AnswerError: The answer has none.
    """
    try:
        return [[(str(label), float(np.float32(score))) for label, score in row] for row in document["results"]]
    except (KeyError, TypeError, ValueError):
        raise AnswerError("the answer has no results with a label and a score each") from None


def regressions(document: Document) -> NDArray[np.float32]:
    """Returns the value of each example, (examples,).

    Raises:
        AnswerError: The answer has none.
    """
    try:
        values = np.array(document["results"], np.float64)
    except (KeyError, TypeError, ValueError):
        raise AnswerError("the answer has no results that are numbers") from None
    if values.ndim != 1:
        raise AnswerError("the answer has no results with one number each")
    return values.astype(np.float32)


def _json_value(array: NDArray[Any]) -> Any:
    if array.dtype == object:
        flat = np.empty(array.size, object)
        flat[:] = [_base64(one) for one in array.ravel().tolist()]
        return flat.reshape(array.shape).tolist()
    return array.tolist()


def _json_example(example: Proto) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        made[name] = [_base64(one) for one in values] if kind == "bytes_list" else values
    return made


def _base64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode("ascii")}


def _dumped(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _tensor(value: Any, field: Field, unchecked: bool) -> NDArray[Any]:
    if field.dtype not in DATA_TYPES:
        raise AnswerError(f"the output {field.name!r} is {field.dtype}, which has no NumPy array here")
    try:
        array = _strings(value) if field.dtype == "string" else _numbers(value, np.dtype(field.dtype))
    except (TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise AnswerError(f"the output {field.name!r} is no {field.dtype} array: {reason}") from None
    return array if unchecked else _shaped(array, field)


def _numbers(value: Any, target: np.dtype[Any]) -> NDArray[Any]:
    if target.kind == "f":  # As float64 holds what the text says, then rounded once.
        with np.errstate(over="ignore"):
            return np.array(value, np.float64).astype(target)
    # Beside whole numbers beyond int64 NumPy would take the others for floats.
    array = np.array(value, object if target == np.uint64 else None)
    kinds = {type(one) for one in array.ravel().tolist()}
    if kinds - {bool if target.kind == "b" else int}:
        raise ValueError(f"it holds {', '.join(sorted(kind.__name__ for kind in kinds))}")
    return np.array(array.tolist(), target)  # Which refuses what the type cannot hold; astype would wrap.


def _shaped(array: NDArray[Any], field: Field) -> NDArray[Any]:
    """Returns an array with the axes that an empty list does not tell."""
    if not array.size and array.ndim < field.rank:
        array = array.reshape(*array.shape, *(one if isinstance(one, int) else 0 for one in field.shape[array.ndim :]))
    if array.ndim != field.rank:
        raise AnswerError(f"the output {field.name!r} has {array.ndim} axes, the signature says {field.rank}")
    return array


def _strings(value: Any) -> NDArray[Any]:
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list):
        shape.append(len(level[0]))
        level = [one for inner in level for one in inner]
    made = np.empty(len(level), object)
    made[:] = [_bytes(one) for one in level]
    return made.reshape(shape)


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError) as error:
            raise ValueError(f"{value!r} is no base64: {error}") from None
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no string")
    return value.encode("utf-8", "surrogateescape")
