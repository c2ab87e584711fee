"""The gRPC services, on a pool of threads.

Threads, not an event loop: measured side by side, asyncio's server answered a request at a time later and many at once
in half the number, since the runtime's calls block it or have to be handed to threads anyway.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from seqship.serving.server.service import (
    Service,
    as_status,
    get_model_metadata,
    get_model_status,
    infer,
    record,
    reload_config,
)
from seqship.serving.server.sessions import SESSION_HEADER
from seqship.serving.server.status import Code, StatusError
from seqship.wire.messages import HealthCheckResponse, Proto
from seqship.wire.services import HEALTH, MODEL_SERVICE, PREDICTION_SERVICE, SERVICES, Method

_log = logging.getLogger("seqship.serving.server")

_LARGEST = 2**31 - 1
_STATUS = {code.value[0]: code for code in grpc.StatusCode}
_LONGEST_DETAILS = 2000
"""Bytes, each of which may take three in the header; gRPC's clients take 8 KiB of all headers."""
_FOR_EVER = 1e6
"""Seconds beyond which a deadline is none: threads cannot wait that long."""

_WATCHERS = 16
"""Watch holds a thread for as long as the client likes."""

SERVING_SERVICES = ("", "ModelService", "PredictionService")
"""What TensorFlow Serving's health service knows."""

Answer = Callable[[Proto, Any], Proto]
"""Takes the request and gRPC's context of it."""


def make_server(
    service: Service,
    *,
    threads: int,
    max_concurrent_rpcs: int,
    channel_arguments: Sequence[tuple[str, int | str]] = (),
    serving: Callable[[], bool] | None = None,
) -> Any:
    """Returns a gRPC server without a port.

    Args:
        service: What answers.
        threads: How many requests are answered at the same time.
        max_concurrent_rpcs: How many may be under way or wait; RESOURCE_EXHAUSTED is the answer to any more.
        channel_arguments: More options of the server.
        serving: Whether the server takes requests, for grpc.health; None leaves that service out.
    """
    # gRPC takes the first of two that bear one name.
    options = {
        "grpc.max_receive_message_length": _LARGEST,
        "grpc.max_send_message_length": _LARGEST,
        "grpc.so_reuseport": 0,  # A port that another server has is an error, not half of the requests.
        **dict(channel_arguments),
    }
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        options=tuple(options.items()),
        maximum_concurrent_rpcs=max_concurrent_rpcs,
    )
    inference = {
        name: _handler(method, _recorded(service, name))
        for name, method in SERVICES[PREDICTION_SERVICE].items()
        if name != "GetModelMetadata"
    }
    others: Mapping[str, Answer] = {
        "GetModelMetadata": lambda request, _: get_model_metadata(service, request),
        "GetModelStatus": lambda request, _: get_model_status(service, request),
        "HandleReloadConfigRequest": lambda request, _: reload_config(service, request),
    }
    metadata = SERVICES[PREDICTION_SERVICE]["GetModelMetadata"]
    inference[metadata.name] = _handler(metadata, others[metadata.name])
    models = {name: _handler(method, others[name]) for name, method in SERVICES[MODEL_SERVICE].items()}
    handlers = [
        grpc.method_handlers_generic_handler(PREDICTION_SERVICE, inference),
        grpc.method_handlers_generic_handler(MODEL_SERVICE, models),
    ]
    if serving is not None:
        handlers.append(grpc.method_handlers_generic_handler(HEALTH, _health(serving)))
    server.add_generic_rpc_handlers(tuple(handlers))
    return server


def _recorded(service: Service, api: str) -> Answer:
    def answer(request: Proto, context: Any) -> Proto:
        start, code = time.monotonic(), Code.OK
        try:
            return infer(service, api, request, _deadline(context), _session(context))
        except Exception as error:  # Counted, and raised again.
            code = as_status(error).code
            raise
        finally:
            record(service, api, _model_name(api, request), "GRPC", code, start)

    return answer


def _model_name(api: str, request: Proto) -> str:
    if api != "MultiInference":
        return str(request.model_spec.name)
    return str(request.tasks[0].model_spec.name) if request.tasks else ""


def _handler(method: Method, answer: Answer) -> Any:
    def handle(request: Proto, context: Any) -> Proto:
        try:
            return answer(request, context)
        except StatusError as error:
            context.abort(_STATUS[error.code], _details(error.message))
        except Exception:  # A fault of ours ends one request, not the server.
            _log.exception("%s failed", method.path)
            context.abort(grpc.StatusCode.INTERNAL, "Internal error; see the log")

    return grpc.unary_unary_rpc_method_handler(_reading(method, handle), None, method.response.SerializeToString)


def _reading(method: Method, answer: Callable[[Proto, Any], Any]) -> Callable[[bytes, Any], Any]:
    """Parses the request here: gRPC calls bytes that are none INTERNAL, as if the fault were the server's."""

    def handle(data: bytes, context: Any) -> Any:
        try:
            request = method.request.FromString(data)
        except DecodeError:
            name = method.request.DESCRIPTOR.full_name
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"The request is no {name}, or holds a string that is no UTF-8"
            )
            raise
        return answer(request, context)

    return handle


def _details(message: str) -> str:
    """Returns an error's text as it fits into a header: of one that is too long, clients show nothing."""
    data = message.encode("utf-8", "backslashreplace")
    return message if len(data) <= _LONGEST_DETAILS else data[:_LONGEST_DETAILS].decode("utf-8", "ignore") + "..."


def _deadline(context: Any) -> float | None:
    """Returns when the client stops waiting; without a deadline gRPC says that centuries are left."""
    left: float | None = context.time_remaining()
    return None if left is None or left > _FOR_EVER else time.monotonic() + left


def _session(context: Any) -> str | None:
    return next((value for key, value in context.invocation_metadata() if key == SESSION_HEADER), None)


def _health(serving: Callable[[], bool]) -> dict[str, Any]:
    def status(service: str) -> Proto:
        kinds = HealthCheckResponse.ServingStatus
        if service not in SERVING_SERVICES:
            return HealthCheckResponse(status=kinds.Value("SERVICE_UNKNOWN"))
        return HealthCheckResponse(status=kinds.Value("SERVING" if serving() else "NOT_SERVING"))

    def check(request: Proto, context: Any) -> Proto:
        if request.service not in SERVING_SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, "")
        return status(request.service)

    watching: list[Any] = []

    def watch(request: Proto, context: Any) -> Iterator[Proto]:
        if len(watching) >= _WATCHERS:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_WATCHERS} clients watch already; use Check")
        watching.append(context)
        try:
            last = None
            while context.is_active():
                if (now := status(request.service)) != last:
                    last = now
                    yield now
                time.sleep(0.2)
        finally:
            watching.remove(context)

    methods = SERVICES[HEALTH]
    kinds = {"Check": (grpc.unary_unary_rpc_method_handler, check)}
    kinds["Watch"] = (grpc.unary_stream_rpc_method_handler, watch)
    # Threads of their own: a probe must not wait behind thousands of requests.
    pool = ThreadPoolExecutor(_WATCHERS + 2, thread_name_prefix="grpc-health")
    handlers: dict[str, Any] = {}
    for name, (make, function) in kinds.items():
        behaviour: Any = _reading(methods[name], function)
        behaviour.experimental_thread_pool = pool
        handlers[name] = make(behaviour, None, methods[name].response.SerializeToString)
    return handlers
