"""The gRPC API, spoken to by TensorFlow Serving's own stubs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.serving.server.inference import Called, predict
from seqship.serving.server.metrics import Metrics
from seqship.serving.server.servable import LoadSettings, call, load_servable
from seqship.serving.server.status import Code, StatusError
from seqship.wire.messages import HealthCheckRequest, HealthCheckResponse
from seqship.wire.services import HEALTH, SERVICES
from seqship.wire.signature_names import CLASSIFY, REGRESS
from tests.serving.server.process import Served

SIGNAL = np.array([[[0.5, -0.25], [1.0, 2.0]], [[0.0, 1.0], [1.5, 0.5]]], np.float32)


@pytest.fixture(scope="module")
def channel(server: Served) -> Generator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as one:
        yield one


@pytest.fixture(scope="module")
def predictions(channel: Any) -> Any:
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    return PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: Any) -> Any:
    from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub

    return ModelServiceStub(channel)


@pytest.fixture(scope="module")
def expected(bundles: Mapping[str, Path]) -> NDArray[Any]:
    signature = load_servable(bundles["classifier"], LoadSettings()).signatures["serving_default"]
    return call(signature, {"signal": SIGNAL})["scores"]


def message(module: str, name: str) -> Any:
    """A message class of TensorFlow Serving's own package, which has no types."""
    return getattr(import_module(f"tensorflow_serving.apis.{module}"), name)


def predict_request(model: str = "classifier", signature: str = "", **inputs: NDArray[Any]) -> Any:
    import tensorflow as tf

    request = message("predict_pb2", "PredictRequest")()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def example(**features: list[float]) -> Any:
    import tensorflow as tf

    made: Any = tf.train.Example()
    for name, values in features.items():
        made.features.feature[name].float_list.value.extend(values)
    return made


def refusal(method: Callable[..., Any], request: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=30, **options)
    error: Any = caught.value
    return error.code().name, error.details()


def test_predict(predictions: Any, expected: NDArray[Any]) -> None:
    import tensorflow as tf

    response = predictions.Predict(predict_request(signal=SIGNAL), timeout=30)
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("classifier", 1, "serving_default")
    assert list(response.outputs) == ["scores"]
    assert not response.outputs["scores"].tensor_content  # As TensorFlow Serving answers unless told otherwise.
    assert np.array_equal(tf.make_ndarray(response.outputs["scores"]), expected)


def test_typed_fields_and_a_single_value_for_all(predictions: Any, expected: NDArray[Any]) -> None:
    import tensorflow as tf

    request = predict_request(signal=SIGNAL)
    tensor = request.inputs["signal"]
    tensor.ClearField("tensor_content")
    tensor.float_val.extend(SIGNAL.ravel().tolist())
    made = tf.make_ndarray(predictions.Predict(request, timeout=30).outputs["scores"])
    assert np.array_equal(made, expected)
    del tensor.float_val[1:]
    filled = tf.make_ndarray(predictions.Predict(request, timeout=30).outputs["scores"])
    whole = predict_request(signal=np.full_like(SIGNAL, 0.5))
    assert np.array_equal(filled, tf.make_ndarray(predictions.Predict(whole, timeout=30).outputs["scores"]))


def test_an_empty_batch(predictions: Any) -> None:
    import tensorflow as tf

    response = predictions.Predict(predict_request(signal=SIGNAL[:0]), timeout=30)
    assert tf.make_ndarray(response.outputs["scores"]).shape == (0, 3)


def test_an_output_filter(predictions: Any) -> None:
    tokens = np.array([[1, 2]], np.int32)
    request = predict_request("two_inputs", tokens=tokens, valid=np.array([[True, False]]))
    assert sorted(predictions.Predict(request, timeout=30).outputs) == ["last", "steps"]
    request.output_filter.append("last")
    assert list(predictions.Predict(request, timeout=30).outputs) == ["last"]
    request.output_filter.append("last")
    assert refusal(predictions.Predict, request) == ("INVALID_ARGUMENT", "duplicate output tensor alias: last")
    request.output_filter[1] = "x"
    assert refusal(predictions.Predict, request) == (
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: x Outputs expected to be in the set {last,steps}.",
    )


def test_states_go_in_and_come_out(predictions: Any) -> None:
    import tensorflow as tf

    state: dict[str, Any] = {f"state/memory/{part}": np.zeros((2, 3), np.float32) for part in "hc"}
    outputs: dict[str, Any] = {}
    for step in range(2):
        inputs = {"signal": SIGNAL[:, step : step + 1], **state}
        response = predictions.Predict(predict_request("stateful", "stream", **inputs), timeout=30)
        outputs = {name: tf.make_ndarray(value) for name, value in response.outputs.items()}
        state = {name: outputs[f"{name}_out"] for name in state}
    whole = predictions.Predict(predict_request("stateful", signal=SIGNAL), timeout=30)
    np.testing.assert_allclose(outputs["memory"], tf.make_ndarray(whole.outputs["memory"]), atol=1e-6)


def test_raw_text(predictions: Any) -> None:
    import tensorflow as tf

    request = predict_request("texts", "serving_text", text=np.array([b"Good film!", b"\xff bad"], object))
    made = tf.make_ndarray(predictions.Predict(request, timeout=30).outputs["score"])
    ids = predict_request("texts", tokens=np.array([[4, 3], [1, 5]], np.int32))
    assert np.array_equal(made, tf.make_ndarray(predictions.Predict(ids, timeout=30).outputs["score"]))


def test_classify(predictions: Any, expected: NDArray[Any]) -> None:
    request = message("classification_pb2", "ClassificationRequest")()
    request.model_spec.name, request.model_spec.signature_name = "classifier", "tf_example"
    for row in SIGNAL:
        request.input.example_list.examples.add().CopyFrom(example(signal=row.ravel().tolist()))
    response = predictions.Classify(request, timeout=30)
    labels = [[one.label for one in row.classes] for row in response.result.classifications]
    scores = [[one.score for one in row.classes] for row in response.result.classifications]
    assert labels == [["calm", "fast", "slow"]] * 2
    assert np.array_equal(np.array(scores, np.float32), expected)
    assert response.model_spec.version.value == 1
    request.input.Clear()
    assert refusal(predictions.Classify, request) == ("INVALID_ARGUMENT", "Input is empty.")
    request.model_spec.signature_name = ""
    assert refusal(predictions.Classify, request) == (
        "INVALID_ARGUMENT",
        f"Expected classification signature method_name to be {CLASSIFY}. Was: tensorflow/serving/predict",
    )


def test_regress_with_a_context(predictions: Any) -> None:
    import tensorflow as tf

    request = message("regression_pb2", "RegressionRequest")()
    request.model_spec.name, request.model_spec.signature_name = "unmasked", "tf_example"
    given = request.input.example_list_with_context
    given.context.CopyFrom(example(signal=SIGNAL[0].ravel().tolist()))
    given.examples.add()
    given.examples.add().CopyFrom(example(signal=SIGNAL[1].ravel().tolist()))
    values = [one.value for one in predictions.Regress(request, timeout=30).result.regressions]
    response = predictions.Predict(predict_request("unmasked", signal=SIGNAL), timeout=30)
    assert values == tf.make_ndarray(response.outputs["value"])[:, 0].tolist()


def test_multi_inference(predictions: Any) -> None:
    request = message("inference_pb2", "MultiInferenceRequest")()
    task = request.tasks.add(method_name=CLASSIFY)
    task.model_spec.name, task.model_spec.signature_name = "classifier", "tf_example"
    request.input.example_list.examples.add().CopyFrom(example(signal=[0.5, 1.5]))
    (result,) = predictions.MultiInference(request, timeout=30).results
    assert [one.label for one in result.classification_result.classifications[0].classes] == ["calm", "fast", "slow"]
    assert result.model_spec.signature_name == "tf_example"
    request.tasks.add().CopyFrom(task)
    assert refusal(predictions.MultiInference, request) == (
        "INVALID_ARGUMENT",
        "Duplicate evaluation of signature: tf_example",
    )
    request.tasks[1].model_spec.name = "texts"
    assert refusal(predictions.MultiInference, request)[1] == (
        "All ModelSpecs in a MultiInferenceRequest must access the same model name."
    )
    del request.tasks[1]
    task.method_name = REGRESS
    assert refusal(predictions.MultiInference, request) == (
        "INVALID_ARGUMENT",
        f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}",
    )
    task.method_name = "x"
    assert refusal(predictions.MultiInference, request) == (
        "UNIMPLEMENTED",
        "Unsupported signature method_name: x",
    )
    assert (
        refusal(predictions.MultiInference, message("inference_pb2", "MultiInferenceRequest")())[1]
        == "ModelSpec has no name specified."
    )


def test_metadata(predictions: Any) -> None:
    request = message("get_model_metadata_pb2", "GetModelMetadataRequest")(metadata_field=["signature_def"])
    request.model_spec.name = "stateful"
    response = predictions.GetModelMetadata(request, timeout=30)
    signatures = message("get_model_metadata_pb2", "SignatureDefMap")()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert sorted(signatures.signature_def) == ["serving_default", "stream", "tf_example"]
    stream = signatures.signature_def["stream"]
    assert [dim.size for dim in stream.inputs["state/memory/h"].tensor_shape.dim] == [-1, 3]
    assert response.model_spec.version.value == 1
    assert (
        refusal(predictions.GetModelMetadata, message("get_model_metadata_pb2", "GetModelMetadataRequest")())[1]
        == "Missing ModelSpec"
    )
    del request.metadata_field[:]
    assert "must specify at least one metadata_field" in refusal(predictions.GetModelMetadata, request)[1]
    request.metadata_field.append("x")
    assert refusal(predictions.GetModelMetadata, request)[1] == "Metadata field x is not supported"


def test_status(models: Any) -> None:
    request = message("get_model_status_pb2", "GetModelStatusRequest")()
    request.model_spec.name = "classifier"
    (status,) = models.GetModelStatus(request, timeout=30).model_version_status
    assert (status.version, status.state) == (1, message("get_model_status_pb2", "ModelVersionStatus").AVAILABLE)
    request.model_spec.version.value = 7
    assert refusal(models.GetModelStatus, request) == ("NOT_FOUND", "Could not find version 7 of model classifier")
    request.model_spec.name = "x"
    request.model_spec.ClearField("version")
    assert refusal(models.GetModelStatus, request) == ("NOT_FOUND", "Could not find any versions of model x")
    assert refusal(models.GetModelStatus, message("get_model_status_pb2", "GetModelStatusRequest")()) == (
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    )


def with_spec(**spec: Any) -> Any:
    request = predict_request(signal=SIGNAL)
    for name, value in spec.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    return request


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        ({"name": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"name": "x"}, "NOT_FOUND", "Servable not found for request: Latest(x)"),
        ({"version": 0}, "NOT_FOUND", "Servable not found for request: Specific(classifier, 0)"),
        ({"version_label": "x"}, "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        ({"signature_name": "s"}, "FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
    ],
)
def test_model_specs_that_lead_nowhere(spec: dict[str, Any], code: str, text: str, predictions: Any) -> None:
    assert refusal(predictions.Predict, with_spec(**spec)) == (code, text)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            {},
            "input size does not match signature: 0!=1 len({}) != len({signal}). Sent extra: {}. Missing but "
            "required: {signal}.",
        ),
        (
            {"x": SIGNAL, "y": SIGNAL},
            "input size does not match signature: 2!=1 len({x,y}) != len({signal}). Sent extra: {x,y}. Missing but "
            "required: {signal}.",
        ),
        (
            {"x": SIGNAL},
            "input tensor alias not found in signature: x. Inputs expected to be in the set {signal}.",
        ),
        ({"signal": SIGNAL > 0}, "Expects arg[0] to be float but bool is provided"),
        ({"signal": SIGNAL[0, 0]}, "Input signal must have shape [-1,-1,2], it has [2]."),
        ({"signal": SIGNAL * np.nan}, "Input signal holds nan in row 0; values are finite numbers."),
    ],
)
def test_inputs_that_are_not_the_signatures(inputs: dict[str, NDArray[Any]], text: str, predictions: Any) -> None:
    assert refusal(predictions.Predict, predict_request("classifier", "", **inputs)) == ("INVALID_ARGUMENT", text)


def test_a_tensor_that_claims_too_much_is_refused(predictions: Any) -> None:
    request = predict_request(signal=SIGNAL)
    request.inputs["signal"].tensor_shape.dim[0].size = 2**40
    assert refusal(predictions.Predict, request)[0] == "INVALID_ARGUMENT"


def test_large_messages_pass(predictions: Any) -> None:
    """Beyond 4 MB, gRPC's own limit; TensorFlow Serving has lifted it."""
    response = predictions.Predict(predict_request(signal=np.zeros((300, 2000, 2), np.float32)), timeout=60)
    assert response.outputs["scores"].tensor_shape.dim[0].size == 300


def test_what_nobody_waits_for_is_not_run(bundles: Mapping[str, Path]) -> None:
    servable = load_servable(bundles["classifier"], LoadSettings())
    metrics = Metrics()
    called = Called("m", 1, servable, deadline=time.monotonic() - 1, metrics=metrics)
    with pytest.raises(StatusError) as caught:
        predict(called, predict_request(signal=SIGNAL))
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert "runtime_latency_count{" not in metrics.page()


def test_health(channel: Any) -> None:
    methods = SERVICES[HEALTH]
    check = channel.unary_unary(
        methods["Check"].path, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    serving = HealthCheckResponse.ServingStatus.Value("SERVING")
    for name in ("", "ModelService", "PredictionService"):
        assert check(HealthCheckRequest(service=name), timeout=30).status == serving
    assert refusal(check, HealthCheckRequest(service="x"))[0] == "NOT_FOUND"
    watch = channel.unary_stream(
        methods["Watch"].path, HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    watching = watch(HealthCheckRequest(), timeout=30)
    assert next(watching).status == serving
    watching.cancel()


def test_an_unknown_method_is_unimplemented(channel: Any) -> None:
    call_it = channel.unary_unary("/tensorflow.serving.SessionService/SessionRun")
    assert refusal(call_it, b"")[0] == "UNIMPLEMENTED"
