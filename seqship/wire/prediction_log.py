"""Warm-up files: the requests that TensorFlow Serving sends to a model before it takes any others.

The file is `assets.extra/tf_serving_warmup_requests` in the model's folder: a TFRecord file of PredictionLog messages,
1000 at most. A request that fails there fails the loading of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.wire.messages import ModelSpec, PredictionLog, Proto
from seqship.wire.records import read_records, write_records
from seqship.wire.tensors import to_tensor_proto

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
"""Where TensorFlow Serving looks for the file, from the folder of a model's version."""

MAX_RECORDS = 1000


def model_spec(model: str, signature: str = "", version: int | None = None) -> Proto:
    """Returns a ModelSpec; without a version the newest is meant, without a signature "serving_default"."""
    spec = ModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    return spec


def predict_log(
    inputs: Mapping[str, NDArray[Any]], *, model: str, signature: str, version: int | None = None, content: bool = True
) -> Proto:
    """Returns the PredictionLog of one Predict request.

    Args:
        inputs: The arrays by the names of the signature's inputs.
        model: The name under which the model is served.
        signature: Name of the signature.
        version: The model's version; None is the newest.
        content: Whether the arrays go as raw bytes; otherwise in typed fields.

    Raises:
        DataError: The element type of an array cannot travel.
    """
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.CopyFrom(model_spec(model, signature, version))
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(array, content=content))
    return log


def classify_log(examples: Iterable[Proto | bytes], *, model: str, signature: str, version: int | None = None) -> Proto:
    """Returns the PredictionLog of one Classify request.

    Args:
        examples: tf.Examples, as messages of any descriptor pool or serialized.
        model: The name under which the model is served.
        signature: Name of the signature.
        version: The model's version; None is the newest.

    Raises:
        DataError: What is serialized is no Example.
    """
    log = PredictionLog()
    _fill(log.classify_log.request, examples, model_spec(model, signature, version))
    return log


def regress_log(examples: Iterable[Proto | bytes], *, model: str, signature: str, version: int | None = None) -> Proto:
    """Returns the PredictionLog of one Regress request; the arguments are those of `classify_log`.

    Raises:
        DataError: What is serialized is no Example.
    """
    log = PredictionLog()
    _fill(log.regress_log.request, examples, model_spec(model, signature, version))
    return log


def write_warmup(path: Path, logs: Iterable[Proto]) -> None:
    """Writes a warm-up file; the same logs make the same bytes.

    Raises:
        DataError: There are more logs than TensorFlow Serving takes; nothing is written.
        OutputError: The file cannot be written.
    """
    records = [log.SerializeToString(deterministic=True) for log in logs]
    if len(records) > MAX_RECORDS:
        raise DataError(f"a warm-up file holds at most {MAX_RECORDS} requests, here are {len(records)}; leave some out")
    write_records(path, records)


def read_warmup(path: Path) -> list[Proto]:
    """Returns the PredictionLogs of a warm-up file.

    Raises:
        DataError: The file cannot be read, a record is no PredictionLog or has no request, or there are too many.
    """
    logs: list[Proto] = []
    for number, record in enumerate(read_records(path)):
        if number == MAX_RECORDS:
            raise DataError(f"{path} holds more than {MAX_RECORDS} requests, which is the most for a warm-up")
        try:
            log = PredictionLog.FromString(record)
        except DecodeError:
            raise DataError(f"record {number} of {path} is no PredictionLog") from None
        kind = log.WhichOneof("log_type")
        if kind is None or not _has_request(getattr(log, kind)):
            raise DataError(f"record {number} of {path} is a PredictionLog without a request")
        logs.append(log)
    return logs


def _has_request(log: Proto) -> bool:
    return any(field.name == "request" for field, _ in log.ListFields())


def _fill(request: Proto, examples: Iterable[Proto | bytes], spec: Proto) -> None:
    request.model_spec.CopyFrom(spec)
    target = request.input.example_list.examples
    request.input.example_list.SetInParent()
    for number, example in enumerate(examples):
        data = example if isinstance(example, bytes) else example.SerializeToString()
        try:
            target.add().MergeFromString(data)
        except DecodeError:
            raise DataError(f"example {number} is no serialized tf.Example") from None
