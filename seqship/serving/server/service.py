"""The methods of TensorFlow Serving, whichever way a request comes in."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from seqship.serving.server.inference import Called, classify, multi_inference, predict, regress
from seqship.serving.server.lifecycle import ServedModels
from seqship.serving.server.metrics import Metrics
from seqship.serving.server.sessions import Sessions, SessionSettings, parse_chunk
from seqship.serving.server.signatures import signature_def
from seqship.serving.server.status import Code, StatusError, invalid_argument
from seqship.wire.messages import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    ModelSpec,
    Proto,
    ReloadConfigResponse,
    SignatureDefMap,
)

Entrypoint = Literal["GRPC", "REST"]

SIGNATURE_DEF = "signature_def"

_INFERENCE: dict[str, Callable[[Called, Proto], Proto]] = {
    "Predict": predict,
    "Classify": classify,
    "Regress": regress,
    "MultiInference": multi_inference,
}


@dataclass(frozen=True, eq=False)
class Service:
    """What answers requests.

    Attributes:
        models: The models that are served.
        metrics: Told what was done.
        content: Whether gRPC's Predict answers with raw bytes rather than typed fields.
        sessions: The streaming sessions.
    """

    models: ServedModels
    metrics: Metrics
    content: bool = False
    sessions: Sessions = field(default_factory=lambda: Sessions(SessionSettings()))


@contextmanager
def acquired(service: Service, spec: Proto, deadline: float | None, session: str | None) -> Generator[Called]:
    """Lends what a request is answered by.

    Args:
        service: What answers.
        spec: The ModelSpec that the request asks for.
        deadline: Time on `time.monotonic`'s clock at which nobody waits any more.
        session: Which chunk of which streaming session the request is, as its header says; None where there is none.

    Raises:
        StatusError: Nothing is there that could answer.
    """
    if session is None:
        with service.models.acquire(spec) as (name, version, servable):
            yield Called(name, version, servable, deadline, service.content, service.metrics)
        return
    chunk = parse_chunk(session)
    pinned = service.sessions.version_of(spec.name, chunk)
    if pinned is not None and spec.WhichOneof("version_choice") != "version":
        # The states of one version mean nothing to another: newer ones, and labels that move, leave a session alone.
        spec = ModelSpec(name=spec.name, signature_name=spec.signature_name)
        spec.version.value = pinned
    with ExitStack() as lent:
        try:
            name, version, servable = lent.enter_context(service.models.acquire(spec))
        except StatusError as error:
            if pinned is None or error.code is not Code.NOT_FOUND or spec.version.value != pinned:
                raise
            raise service.sessions.lost_version(spec.name, chunk, pinned) from error
        called = service.sessions.signature(name, version, servable.signatures, chunk)
        yield Called(name, version, servable, deadline, service.content, service.metrics, called)


def infer(service: Service, api: str, request: Proto, deadline: float | None, session: str | None = None) -> Proto:
    """Answers a request of Predict, Classify, Regress or MultiInference.

    Args:
        service: What answers.
        api: Name of the method.
        request: Its request.
        deadline: Time on `time.monotonic`'s clock at which nobody waits any more.
        session: Which chunk of which streaming session it is; None where it is none. Predict alone has them.

    Raises:
        StatusError: The request cannot be answered.
    """
    if api != "MultiInference":
        spec = request.model_spec
    elif request.tasks:
        spec = request.tasks[0].model_spec
    else:
        raise invalid_argument("ModelSpec has no name specified.")
    if session is not None and api != "Predict":
        raise invalid_argument(f"A streaming session answers Predict alone, the request is one of {api}.")
    with acquired(service, spec, deadline, session) as called:
        return _INFERENCE[api](called, request)


def get_model_metadata(service: Service, request: Proto) -> Proto:
    """Answers a GetModelMetadataRequest.

    Raises:
        StatusError: No such model answers, or something else than its signatures is asked for.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    if unknown := [name for name in request.metadata_field if name != SIGNATURE_DEF]:
        raise invalid_argument(f"Metadata field {unknown[0]} is not supported")
    response = GetModelMetadataResponse()
    with service.models.acquire(request.model_spec) as (name, version, servable):
        response.model_spec.name = name
        response.model_spec.version.value = version
        signatures = SignatureDefMap()
        for one in servable.signatures.values():
            signatures.signature_def[one.name].CopyFrom(signature_def(one))
        response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def get_model_status(service: Service, request: Proto) -> Proto:
    """Answers a GetModelStatusRequest.

    Raises:
        StatusError: No such model or version is known.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    response = GetModelStatusResponse()
    for status in service.models.statuses(request.model_spec):
        one = response.model_version_status.add(version=status.version, state=int(status.state))
        one.status.error_code = Code.OK if status.error is None else int(status.error.code)
        one.status.error_message = "" if status.error is None else status.error.message
    return response


def reload_config(service: Service, request: Proto) -> Proto:
    """Answers a ReloadConfigRequest once the new configuration is served.

    Raises:
        StatusError: It is wrong, or a new model cannot be loaded.
    """
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    service.models.reload(request.config)
    response = ReloadConfigResponse()
    response.status.error_code = Code.OK
    return response


def record(service: Service, api: str, model: str, entrypoint: Entrypoint, code: Code, start: float) -> None:
    """Counts a request that has been answered.

    Args:
        service: What answered.
        api: Name of the method.
        model: Name of the model that was asked for.
        entrypoint: Which way it came in.
        code: How it went.
        start: When it came in, on `time.monotonic`'s clock.
    """
    # Names that clients made up would each be kept for ever.
    known = model if code is not Code.NOT_FOUND else ""
    service.metrics.count("request_count", known, code.name)
    if code is Code.OK:
        micros = 1e6 * (time.monotonic() - start)
        service.metrics.observe("request_latency", model, api, entrypoint, value=micros)


def as_status(error: Exception) -> StatusError:
    """Returns the status of an error that nobody foresaw; its text may hold what is no client's business."""
    return error if isinstance(error, StatusError) else StatusError(Code.INTERNAL, "Internal error; see the log")
