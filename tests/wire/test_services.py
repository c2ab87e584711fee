"""The services are data: paths and message classes that gRPC needs to serve and to call them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from seqship.wire import messages
from seqship.wire.services import HEALTH, MODEL_SERVICE, PREDICTION_SERVICE, SERVICES

EXPECTED = {
    PREDICTION_SERVICE: {
        "Classify": (messages.ClassificationRequest, messages.ClassificationResponse, False),
        "Regress": (messages.RegressionRequest, messages.RegressionResponse, False),
        "Predict": (messages.PredictRequest, messages.PredictResponse, False),
        "MultiInference": (messages.MultiInferenceRequest, messages.MultiInferenceResponse, False),
        "GetModelMetadata": (messages.GetModelMetadataRequest, messages.GetModelMetadataResponse, False),
    },
    MODEL_SERVICE: {
        "GetModelStatus": (messages.GetModelStatusRequest, messages.GetModelStatusResponse, False),
        "HandleReloadConfigRequest": (messages.ReloadConfigRequest, messages.ReloadConfigResponse, False),
    },
    HEALTH: {
        "Check": (messages.HealthCheckRequest, messages.HealthCheckResponse, False),
        "Watch": (messages.HealthCheckRequest, messages.HealthCheckResponse, True),
    },
}


def test_methods_and_their_messages() -> None:
    actual = {
        service: {name: (method.request, method.response, method.streams_responses) for name, method in methods.items()}
        for service, methods in SERVICES.items()
    }
    assert actual == EXPECTED


def test_paths() -> None:
    assert SERVICES[PREDICTION_SERVICE]["Predict"].path == "/tensorflow.serving.PredictionService/Predict"
    assert SERVICES[HEALTH]["Watch"].path == "/grpc.health.v1.Health/Watch"


def test_nobody_changes_them() -> None:
    changed: Any = SERVICES
    with pytest.raises(TypeError):
        changed["x"] = {}
    changed = SERVICES[HEALTH]
    with pytest.raises(TypeError):
        changed["Check"] = None
    method: Any = SERVICES[HEALTH]["Check"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.name = "x"


def test_the_stubs_of_tensorflow_serving_call_these_paths() -> None:
    pytest.importorskip("tensorflow_serving")
    pytest.importorskip("grpc")
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc  # pyright: ignore

    class Channel:
        def __init__(self) -> None:
            self.paths: set[str] = set()

        def unary_unary(self, path: str, **_: Any) -> None:
            self.paths.add(path)

    for service, stub in (
        (PREDICTION_SERVICE, prediction_service_pb2_grpc.PredictionServiceStub),
        (MODEL_SERVICE, model_service_pb2_grpc.ModelServiceStub),
    ):
        channel = Channel()
        stub(channel)
        assert channel.paths == {method.path for method in SERVICES[service].values()}
