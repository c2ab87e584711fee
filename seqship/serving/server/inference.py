"""Predict, Classify, Regress and MultiInference on one loaded version."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.serving.server.metrics import Metrics
from seqship.serving.server.servable import Servable, call
from seqship.serving.server.signatures import Feed, Outputs, Signature
from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.wire.dtypes import data_type_of, enum_name
from seqship.wire.examples import input_examples
from seqship.wire.messages import (
    ClassificationResponse,
    MultiInferenceResponse,
    PredictResponse,
    Proto,
    RegressionResponse,
)
from seqship.wire.signature_names import CLASSIFY, REGRESS, SERVING_DEFAULT, STREAM
from seqship.wire.tensors import fill_tensor_proto, from_tensor_proto

CLASSIFY_INPUTS = "inputs"

_MOST_FILLED = 1 << 22
"""Bytes to which a tensor is filled up that names a shape and holds fewer elements: a message of a hundred bytes could
ask for a sequence of millions of steps, which takes minutes and gigabytes. A larger one must hold all it claims."""


@dataclass(frozen=True, eq=False)
class Called:
    """What a request is answered by.

    Attributes:
        name: Name of the model.
        version: The version that answers.
        servable: The version, loaded.
        deadline: Time on `time.monotonic`'s clock at which nobody waits any more.
        content: Whether outputs travel as raw bytes rather than in typed fields.
        metrics: Told what was done.
        session: What a chunk of a streaming session calls instead of a signature of the model; None for other requests.
    """

    name: str
    version: int
    servable: Servable
    deadline: float | None = None
    content: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    session: Signature | None = None


def predict(called: Called, request: Proto) -> Proto:
    """Answers a PredictRequest.

    Raises:
        StatusError: The request cannot be answered.
    """
    signature = predict_signature(called, request.model_spec.signature_name)
    feed = _decoded(signature, request.inputs)
    names = _output_names(signature, request.output_filter)
    made = run(called, signature, feed, "Predict")
    response = PredictResponse()
    fill_spec(response.model_spec, called, signature.name)
    for name in names:
        fill_tensor_proto(response.outputs[name], made[name], content=called.content)
    return response


def predict_signature(called: Called, name: str) -> Signature:
    """Returns the signature that a Predict request calls.

    Raises:
        StatusError: The model has no such signature.
    """
    if called.session is not None and name in ("", STREAM):
        return called.session
    if called.session is not None:
        raise invalid_argument(f"A streaming session calls the signature {STREAM}, the request names {name}.")
    wanted = name or SERVING_DEFAULT
    if wanted not in called.servable.signatures:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{wanted}" not found.')
    return called.servable.signatures[wanted]


def run(called: Called, signature: Signature, feed: Feed, api: str) -> Outputs:
    """Runs a signature, and tells how long it took.

    Raises:
        StatusError: The inputs break the contract, the deadline has passed, or the model cannot take them.
    """
    start = time.monotonic()
    if called.deadline is not None and start >= called.deadline:
        raise StatusError(Code.DEADLINE_EXCEEDED, "The deadline passed before the request was run")
    made = call(signature, feed, called.deadline)
    micros = 1e6 * (time.monotonic() - start)
    called.metrics.observe("runtime_latency", called.name, api, called.servable.runtime, value=micros)
    return made


def classify(called: Called, request: Proto) -> Proto:
    """Answers a ClassificationRequest.

    Raises:
        StatusError: The request cannot be answered.
    """
    signature = _method_signature(called.servable, request.model_spec.signature_name, CLASSIFY, "classification")
    made, count = _run_examples(called, signature, request.input, "Classify")
    response = ClassificationResponse()
    fill_spec(response.model_spec, called, signature.name)
    _fill_classifications(response.result, made, count)
    return response


def regress(called: Called, request: Proto) -> Proto:
    """Answers a RegressionRequest.

    Raises:
        StatusError: The request cannot be answered.
    """
    signature = _method_signature(called.servable, request.model_spec.signature_name, REGRESS, "regression")
    made, count = _run_examples(called, signature, request.input, "Regress")
    response = RegressionResponse()
    fill_spec(response.model_spec, called, signature.name)
    _fill_regressions(response.result, made, count)
    return response


def multi_inference(called: Called, request: Proto) -> Proto:
    """Answers a MultiInferenceRequest, whose tasks are of one model and one version.

    Raises:
        StatusError: A task cannot be answered; then none is.
    """
    signatures: list[Signature] = []
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or SERVING_DEFAULT
        if any(one.name == name for one in signatures):
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        if name not in called.servable.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in (CLASSIFY, REGRESS):
            raise StatusError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        kind = "classification" if task.method_name == CLASSIFY else "regression"
        signatures.append(_of_method(called.servable.signatures[name], task.method_name, kind))
    response = MultiInferenceResponse()
    for signature in signatures:
        made, count = _run_examples(called, signature, request.input, "MultiInference")
        result = response.results.add()
        fill_spec(result.model_spec, called, signature.name)
        if signature.method == CLASSIFY:
            _fill_classifications(result.classification_result, made, count)
        else:
            _fill_regressions(result.regression_result, made, count)
    return response


def fill_spec(spec: Proto, called: Called, signature: str) -> None:
    """Says in a response which model, version and signature answered."""
    spec.name = called.name
    spec.signature_name = signature
    spec.version.value = called.version


def check_names(signature: Signature, given: Mapping[str, Any]) -> None:
    """Refuses inputs that are not those of the signature.

    Raises:
        StatusError: TensorFlow Serving's words.
    """
    expected = signature.inputs_by_name
    if given.keys() == expected.keys():
        return
    sent = sorted(given)
    if len(given) == len(expected):
        unknown = next(name for name in sent if name not in expected)
        raise invalid_argument(
            f"input tensor alias not found in signature: {unknown}. Inputs expected to be in the set "
            f"{{{','.join(expected)}}}."
        )
    extra = ",".join(name for name in sent if name not in expected)
    missing = ",".join(name for name in expected if name not in given)
    raise invalid_argument(
        f"input size does not match signature: {len(given)}!={len(expected)} len({{{','.join(sent)}}}) != "
        f"len({{{','.join(expected)}}}). Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
    )


def _decoded(signature: Signature, inputs: Mapping[str, Proto]) -> Feed:
    check_names(signature, inputs)
    feed: dict[str, NDArray[Any]] = {}
    for name in signature.inputs_by_name:
        try:
            feed[name] = from_tensor_proto(inputs[name], max_bytes=_MOST_FILLED)
        except DataError as error:
            raise invalid_argument(f"tensor parsing error: {name}: {error}") from error
    return feed


def _output_names(signature: Signature, output_filter: Any) -> tuple[str, ...]:
    if not output_filter:
        return tuple(signature.outputs_by_name)
    seen: list[str] = []
    for name in output_filter:
        if name not in signature.outputs_by_name:
            raise invalid_argument(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(signature.outputs_by_name)}}}."
            )
        if name in seen:
            raise invalid_argument(f"duplicate output tensor alias: {name}")
        seen.append(name)
    return tuple(seen)


def _method_signature(servable: Servable, name: str, method: str, kind: str) -> Signature:
    wanted = name or SERVING_DEFAULT
    if wanted not in servable.signatures:
        raise invalid_argument(f"No signature was found with the name: {wanted}")
    return _of_method(servable.signatures[wanted], method, kind)


def _of_method(signature: Signature, method: str, kind: str) -> Signature:
    if signature.method != method:
        raise invalid_argument(f"Expected {kind} signature method_name to be {method}. Was: {signature.method}")
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if signature.inputs[0].name != CLASSIFY_INPUTS:
        raise StatusError(Code.FAILED_PRECONDITION, f"No {kind} inputs found in SignatureDef: {signature.name}")
    expected = {"outputs"} if method == REGRESS else {"classes", "scores"}
    if not expected & signature.outputs_by_name.keys():
        raise StatusError(Code.FAILED_PRECONDITION, f"No {kind} outputs found in SignatureDef: {signature.name}")
    return signature


def _run_examples(called: Called, signature: Signature, request_input: Proto, api: str) -> tuple[Outputs, int]:
    try:
        examples = input_examples(request_input)
    except DataError as error:
        raise invalid_argument(str(error)) from error
    serialized = np.empty(len(examples), object)
    serialized[:] = [example.SerializeToString() for example in examples]
    made = run(called, signature, {CLASSIFY_INPUTS: serialized}, api)
    called.metrics.count("request_example_count_total", called.name, by=len(examples))
    called.metrics.observe("request_example_counts", called.name, value=len(examples))
    return made, len(examples)


def _fill_classifications(result: Proto, made: Outputs, count: int) -> None:
    labels, scores = made.get("classes"), made.get("scores")
    for name, array, kinds in (("classes", labels, "O"), ("scores", scores, "f")):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}")
        if array.dtype.kind != kinds:
            wanted = "DT_STRING" if kinds == "O" else "DT_FLOAT"
            raise invalid_argument(f"Expected {name} Tensor of {wanted}. Got: {enum_name(data_type_of(array.dtype))}")
        if len(array) != count:
            raise invalid_argument(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    names = None if labels is None else labels.tolist()
    values = None if scores is None else scores.tolist()
    for row in range(count):
        classes = result.classifications.add().classes
        for column in range(len((names or values or [[]])[row])):
            one = classes.add()
            if names is not None:
                one.label = names[row][column]
            if values is not None:
                one.score = values[row][column]


def _fill_regressions(result: Proto, made: Outputs, count: int) -> None:
    array = made["outputs"]
    if array.shape not in ((count,), (count, 1)):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {list(array.shape)}"
        )
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
