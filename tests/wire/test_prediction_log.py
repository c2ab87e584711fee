"""Warm-up files are what TensorFlow Serving's own recipe for them makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import DataError
from seqship.wire.messages import Example, PredictionLog
from seqship.wire.prediction_log import (
    WARMUP_FILE,
    classify_log,
    predict_log,
    read_warmup,
    regress_log,
    write_warmup,
)
from seqship.wire.records import write_records
from seqship.wire.tensors import from_tensor_proto

X = np.arange(24, dtype=np.float32).reshape(2, 4, 3)


def test_a_predict_log_names_the_model_and_holds_the_arrays() -> None:
    log = predict_log({"x": X, "n": np.array([1, 2])}, model="ecg", signature="serving_default", version=3)
    request = log.predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("ecg", "serving_default")
    assert request.model_spec.version.value == 3
    assert sorted(request.inputs) == ["n", "x"]
    np.testing.assert_array_equal(from_tensor_proto(request.inputs["x"]), X)
    assert request.inputs["x"].tensor_content
    assert not log.predict_log.HasField("response")


def test_without_a_version_none_is_sent_and_zero_is_one() -> None:
    log = predict_log({"x": X}, model="ecg", signature="s", content=False)
    assert log.predict_log.request.model_spec.WhichOneof("version_choice") is None
    assert len(log.predict_log.request.inputs["x"].float_val) == 24
    zero = predict_log({"x": X}, model="ecg", signature="s", version=0).predict_log.request.model_spec
    assert zero.WhichOneof("version_choice") == "version"


@pytest.mark.parametrize(("make", "kind"), [(classify_log, "classify_log"), (regress_log, "regress_log")])
def test_examples_as_messages_or_bytes(make: Any, kind: str) -> None:
    import tensorflow as tf

    example = Example()
    example.features.feature["x"].float_list.value.extend([1, 2])
    theirs = tf.train.Example.FromString(example.SerializeToString())
    log = make([example, example.SerializeToString(), theirs], model="m", signature="s", version=1)
    assert log.WhichOneof("log_type") == kind
    request = getattr(log, kind).request
    assert request.model_spec.version.value == 1
    assert list(request.input.example_list.examples) == [example] * 3
    with pytest.raises(DataError, match=r"^example 1 is no serialized tf\.Example$"):
        make([example, b"\xff"], model="m", signature="s")


def test_a_file_round_trips_and_is_reproducible(tmp_path: Path) -> None:
    logs = [
        predict_log(dict.fromkeys(order, X), model="m", signature="s") for order in (("a", "b", "c"), ("c", "b", "a"))
    ]
    logs.append(classify_log([Example()], model="m", signature="s"))
    write_warmup(tmp_path / "one", logs)
    write_warmup(tmp_path / "two", [logs[1], logs[0], logs[2]])
    assert read_warmup(tmp_path / "one") == logs
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert WARMUP_FILE == "assets.extra/tf_serving_warmup_requests"


def test_the_file_is_that_of_the_documented_recipe(tmp_path: Path) -> None:
    apis = "tensorflow_serving.apis"
    model_pb2: Any = pytest.importorskip(f"{apis}.model_pb2")
    predict_pb2: Any = pytest.importorskip(f"{apis}.predict_pb2")
    prediction_log_pb2: Any = pytest.importorskip(f"{apis}.prediction_log_pb2")
    import tensorflow as tf

    request: Any = predict_pb2.PredictRequest(
        model_spec=model_pb2.ModelSpec(name="m", signature_name="serving_default"),
        inputs={"x": tf.make_tensor_proto(X)},
    )
    log: Any = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        writer.write(log.SerializeToString())
    write_warmup(tmp_path / "ours", [predict_log({"x": X}, model="m", signature="serving_default")])
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_thousand_requests_and_no_more(tmp_path: Path) -> None:
    log = regress_log([Example()], model="m", signature="s")
    write_warmup(tmp_path / "full", [log] * 1000)
    assert len(read_warmup(tmp_path / "full")) == 1000
    with pytest.raises(DataError, match=r"^a warm-up file holds at most 1000 requests, here are 1001; leave some out$"):
        write_warmup(tmp_path / "more", [log] * 1001)
    assert not (tmp_path / "more").exists()
    write_records(tmp_path / "more", [log.SerializeToString()] * 1001)
    with pytest.raises(DataError, match=r"^\S+ holds more than 1000 requests, which is the most for a warm-up$"):
        read_warmup(tmp_path / "more")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff", "record 0 of .* is no PredictionLog$"),
        (b"", "record 0 of .* is a PredictionLog without a request$"),
        (PredictionLog(predict_log={}).SerializeToString(), "record 0 of .* is a PredictionLog without a request$"),
        (PredictionLog(predict_streamed_log={}).SerializeToString(), "record 0 of .* is a PredictionLog without a req"),
    ],
)
def test_records_that_are_no_requests(tmp_path: Path, record: bytes, message: str) -> None:
    write_records(tmp_path / "log", [record])
    with pytest.raises(DataError, match=f"^{message}"):
        read_warmup(tmp_path / "log")
