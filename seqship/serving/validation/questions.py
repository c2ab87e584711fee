"""What a served bundle is asked, and what it must answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import BundleError, DataError
from seqship.export.bundle import CASES_FILE, Bundle
from seqship.pipelines.signature_contracts import signature_for
from seqship.serving.client.client import Client
from seqship.serving.server.servable import LoadSettings, Servable, call, load_servable
from seqship.serving.server.status import StatusError
from seqship.wire.examples import input_examples
from seqship.wire.messages import Proto
from seqship.wire.prediction_log import WARMUP_FILE, read_warmup
from seqship.wire.signature_names import SERVING_DEFAULT
from seqship.wire.tensors import from_tensor_proto

Arrays = Mapping[str, NDArray[Any]]
Method = Literal["predict", "classify", "regress"]

_METHODS: Mapping[str, Method] = {"predict_log": "predict", "classify_log": "classify", "regress_log": "regress"}


@dataclass(frozen=True, eq=False)
class Question:
    """One request, and what it must be answered with.

    Attributes:
        name: What it is called in a failure.
        method: Which of the API's methods it calls.
        signature: Name of the signature.
        expected: What must come back, by the signature's output names.
        feed: Of Predict, an array for each input.
        examples: Of Classify and Regress, the features of each example.
        limits: How far outputs may be from what is expected, in their own unit, where the proof says so for each; the
            bundle's tolerance holds for the others.
    """

    name: str
    method: Method
    signature: str
    expected: Arrays
    feed: Arrays = field(default_factory=dict[str, NDArray[Any]])
    examples: tuple[Mapping[str, Any], ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict[str, float])


def warmup_questions(bundle: Bundle) -> tuple[tuple[Question, ...], int]:
    """Returns the requests of a bundle's warm-up file, and how many of them no client here can ask.

    What must come back is what the bundle's ONNX file gives in this process.

    Raises:
        BundleError: The bundle has no ONNX file, or it does not answer its own warm-up.
        DataError: The warm-up file cannot be read.
    """
    if bundle.onnx is None:
        raise BundleError(
            f"{bundle.path} holds no ONNX file to compare with; export it with --formats saved_model,onnx"
        )
    file = None if bundle.saved_model is None else bundle.saved_model / WARMUP_FILE
    if file is None or not file.is_file():
        return (), 0
    servable, made, left_out = load_servable(bundle.path, LoadSettings(follow_links_out=True)), list[Question](), 0
    try:
        for number, log in enumerate(read_warmup(file)):
            kind = str(log.WhichOneof("log_type"))
            if kind not in _METHODS:
                left_out += 1
                continue
            name = f"warm-up request {number}"
            try:
                made.append(_from_log(name, _METHODS[kind], getattr(log, kind).request, servable))
            except (StatusError, KeyError) as error:
                raise BundleError(f"{bundle.path} does not answer its own {name}: {error}; export it again") from None
    finally:
        servable.close()
    return tuple(made), left_out


def case_questions(bundle: Bundle) -> Iterator[Question]:
    """Yields the cases of a bundle's proof; what must come back is what its measure computed when it was made.

    Raises:
        BundleError: The bundle holds no cases, or they cannot be read.
    """
    if CASES_FILE not in bundle.manifest["files"]:
        raise BundleError(f"{bundle.path} holds no {CASES_FILE}: there is nothing to validate it with")
    sides: dict[str, dict[str, dict[str, NDArray[Any]]]] = {"in": {}, "out": {}, "limit": {}, "open": {}}
    try:
        with np.load(bundle.path / CASES_FILE, allow_pickle=False) as arrays:
            for key in arrays.files:
                case, direction, name = key.split("|")
                sides[direction].setdefault(case, {})[name] = arrays[key]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"{bundle.path / CASES_FILE} cannot be read: {error}") from None
    for case, feed in sides["in"].items():
        expected = {
            name: one for name, one in sides["out"].get(case, {}).items() if name not in sides["open"].get(case, {})
        }
        if not expected or any(one.dtype.kind == "f" and not np.isfinite(one).all() for one in feed.values()):
            continue  # What Keras refuses, float32 leaves open, or JSON has no number for, is no question to a server.
        signature = signature_for(feed, bundle.inputs)
        limits = {name: float(value) for name, value in sides["limit"].get(case, {}).items()}
        yield Question(f"case {case}", "predict", signature, expected, feed, limits=limits)


def asked(question: Question, client: Client) -> Arrays:
    """Returns what a server answers.

    Raises:
        DataError: The API of the client has no form of the question.
        ServiceError: It is not answered.
    """
    if question.method == "predict":
        return client.predict(question.feed, signature=question.signature)
    if question.method == "regress":
        return {"outputs": client.regress(question.examples, signature=question.signature)}
    rows = client.classify(question.examples, signature=question.signature)
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        raise DataError("the examples of one answer have different numbers of classes")
    labels = np.array([[label.encode() for label, _ in row] for row in rows], object).reshape(len(rows), width)
    return {"classes": labels, "scores": np.array([[score for _, score in row] for row in rows], np.float32)}


def _from_log(name: str, method: Method, request: Proto, servable: Servable) -> Question:
    signature = servable.signatures[request.model_spec.signature_name or SERVING_DEFAULT]
    if method == "predict":
        feed = {key: from_tensor_proto(value) for key, value in request.inputs.items()}
        return Question(name, method, signature.name, call(signature, feed), feed)
    examples = input_examples(request.input)
    serialized = np.empty(len(examples), object)
    serialized[:] = [one.SerializeToString() for one in examples]
    made = call(signature, {signature.inputs[0].name: serialized})
    if method == "regress":
        made = {"outputs": made["outputs"].reshape(-1)}
    return Question(name, method, signature.name, made, examples=tuple(_features(one) for one in examples))


def _features(example: Proto) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = list(getattr(feature, kind).value) if kind else []
        made[name] = np.array(values, {"float_list": np.float32, "int64_list": np.int64}.get(kind, object))
    return made
