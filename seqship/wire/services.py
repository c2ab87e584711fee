"""The gRPC services: the path and the message classes of each method, for generic handlers and stubs alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from google.protobuf import message_factory

from seqship.wire.messages import POOL, Proto

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
HEALTH = "grpc.health.v1.Health"


@dataclass(frozen=True)
class Method:
    """One method of a service.

    Attributes:
        service: Full name of the service.
        name: Name of the method.
        request: Class of the request.
        response: Class of the response.
        streams_responses: Whether one request is answered by many responses.
    """

    service: str
    name: str
    request: Proto
    response: Proto
    streams_responses: bool = False

    @property
    def path(self) -> str:
        """What gRPC calls the method, such as "/tensorflow.serving.PredictionService/Predict"."""
        return f"/{self.service}/{self.name}"


def _methods(service: str) -> Mapping[str, Method]:
    return MappingProxyType(
        {
            method.name: Method(
                service,
                method.name,
                message_factory.GetMessageClass(method.input_type),
                message_factory.GetMessageClass(method.output_type),
                method.server_streaming,
            )
            for method in POOL.FindServiceByName(service).methods
        }
    )


SERVICES: Mapping[str, Mapping[str, Method]] = MappingProxyType(
    {service: _methods(service) for service in (PREDICTION_SERVICE, MODEL_SERVICE, HEALTH)}
)
"""The methods by name, of each service by its full name."""
