"""TensorFlow Serving's REST API, with probes and metrics beside it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from google.protobuf import json_format
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from seqship.serving.server.inference import Called, classify, predict_signature, regress, run
from seqship.serving.server.json_text import error_body, parse_json, refuse_too_large
from seqship.serving.server.request_costs import RequestCosts
from seqship.serving.server.rest_json import (
    classification_body,
    example_input,
    predict_body,
    predict_feed,
    regression_body,
    signature_name,
)
from seqship.serving.server.rest_path import Asked, parse_path
from seqship.serving.server.service import (
    SIGNATURE_DEF,
    Service,
    acquired,
    as_status,
    get_model_metadata,
    get_model_status,
    record,
)
from seqship.serving.server.sessions import SESSION_HEADER
from seqship.serving.server.status import Code, StatusError, http_status, invalid_argument
from seqship.wire.messages import (
    POOL,
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    Proto,
    RegressionRequest,
    SignatureDefMap,
)
from seqship.wire.signature_names import SERVING_DEFAULT

_log = logging.getLogger("seqship.serving.server")

_JSON = "application/json"
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type, X-Seqship-Session",
}
METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclass(frozen=True)
class RestSettings:
    """How the REST API answers.

    Attributes:
        threads: How many requests are answered at the same time.
        timeout_seconds: After which a request is given up.
        max_body_bytes: Largest body, once it is unpacked.
        max_concurrent: How many requests may be under way or wait.
        cors: Whether any web page may ask.
        metrics_path: Where Prometheus reads; None for nowhere.
        waits: Whether requests wait for each other, to be joined.
    """

    threads: int = 8
    timeout_seconds: float = 30
    max_body_bytes: int = 1 << 28
    max_concurrent: int = 4096
    cors: bool = False
    metrics_path: str | None = None
    waits: bool = False


def make_app(service: Service, settings: RestSettings, *, draining: Callable[[], bool] = lambda: False) -> ASGIApp:
    """Returns the application.

    Args:
        service: What answers.
        settings: How it answers.
        draining: Whether the server is about to end, and wants no more requests.
    """
    pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="rest")
    # Probes and metrics answer while every thread of the pool is at work.
    aside = ThreadPoolExecutor(2, thread_name_prefix="rest-aside")
    under_way = threading.Semaphore(settings.max_concurrent)
    costs = RequestCosts()

    async def answer(request: Request) -> Response:
        raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw_path.partition(b"?")[0].decode("latin-1")
        loop = asyncio.get_running_loop()
        if path in ("/livez", "/readyz") or path == settings.metrics_path:
            return await loop.run_in_executor(aside, _aside, service, path, draining)
        if not path.lower().startswith("/v1/"):
            return Response(b"", 404)
        if settings.cors and request.method == "OPTIONS":
            return Response(b"", 200)
        if not under_way.acquire(blocking=False):
            return _failed(StatusError(Code.RESOURCE_EXHAUSTED, "Too many requests are under way; ask again later"))
        try:
            start = time.monotonic()
            try:
                async with asyncio.timeout(settings.timeout_seconds):
                    body = await _body(request, settings.max_body_bytes)
            except TimeoutError:  # Its place is another's; whatever comes of it later must not be read as a request.
                raise _StalledError(settings.timeout_seconds) from None
            packed = "gzip" in request.headers.get("content-encoding", "").lower()
            session = request.headers.get(SESSION_HEADER)
            asked = parse_path(request.method, path)
            work = partial(_answer, service, settings, asked, body, packed, start, session, costs)
            if not settings.waits and not packed and costs.is_quick(asked.spec.name, len(body)):
                return work()
            try:
                return await asyncio.wait_for(loop.run_in_executor(pool, work), settings.timeout_seconds)
            except TimeoutError:
                return _failed(StatusError(Code.DEADLINE_EXCEEDED, "The request took longer than the server waits"))
        except StatusError as error:
            return _failed(error)
        except ClientDisconnect:
            return Response(b"", 499)
        finally:
            under_way.release()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        response = await answer(Request(scope, receive))
        if settings.cors:
            response.headers.update(_CORS)
        await response(scope, receive, send)

    return app


def _aside(service: Service, path: str, draining: Callable[[], bool]) -> Response:
    if path == "/livez":
        return Response(b"ok\n", media_type="text/plain")
    if path == "/readyz":
        unready = ["the server"] if draining() else service.models.unready()
        text = "ok\n" if not unready else f"not ready: {', '.join(unready)}\n"
        return Response(text, 503 if unready else 200, media_type="text/plain")
    return Response(service.metrics.page(), media_type="text/plain")


async def _body(request: Request, most: int) -> bytes:
    """Reads a request's body, no further than it may be long."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _TooLargeError(most)
        parts.append(part)
    return b"".join(parts)


def _unpacked(body: bytes, most: int) -> bytes:
    """Unpacks a gzipped body, no further than it may be long: a small one can become a huge one."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise invalid_argument(f"Failed to uncompress gzip body: {error}") from None
    if len(data) > most:
        raise _TooLargeError(most)
    if not unpacker.eof:
        raise invalid_argument("Failed to uncompress gzip body: it is cut off")
    return data


class _TooLargeError(StatusError):
    """A body that is larger than it may be; TensorFlow has no code that HTTP has one for."""

    def __init__(self, most: int) -> None:
        text = f"The request's body is larger than {most} bytes; raise --rest_api_max_body_bytes"
        super().__init__(Code.INVALID_ARGUMENT, text)


class _StalledError(StatusError):
    """A body that does not come; TensorFlow has no code that HTTP has one for."""

    def __init__(self, seconds: float) -> None:
        text = (
            f"The request's body did not come within {seconds:g} s; send it faster, or raise --rest_api_timeout_in_ms"
        )
        super().__init__(Code.DEADLINE_EXCEEDED, text)


def _answer(
    service: Service,
    settings: RestSettings,
    asked: Asked,
    body: bytes,
    packed: bool,
    start: float,
    session: str | None,
    costs: RequestCosts,
) -> Response:
    code = Code.OK
    try:
        if packed:
            body = _unpacked(body, settings.max_body_bytes)
        answered = _answered(service, asked, body, start + settings.timeout_seconds, session, costs)
        return Response(answered, media_type=_JSON)
    except StatusError as error:
        code = error.code
        return _failed(error)
    except Exception as error:  # A fault of ours ends one request, not the server.
        _log.exception("%s of %s failed", asked.method, asked.spec.name)
        code = as_status(error).code
        return _failed(as_status(error))
    finally:
        if asked.method in ("predict", "classify", "regress"):
            record(service, asked.method, asked.spec.name, "REST", code, start)


def _answered(
    service: Service, asked: Asked, body: bytes, deadline: float, session: str | None, costs: RequestCosts
) -> bytes:
    if asked.method == "status":
        return _status_json(get_model_status(service, GetModelStatusRequest(model_spec=asked.spec)))
    if asked.method == "metadata":
        request = GetModelMetadataRequest(model_spec=asked.spec, metadata_field=[SIGNATURE_DEF])
        return _metadata_json(get_model_metadata(service, request))
    if session is not None and asked.method != "predict":
        raise invalid_argument(f"A streaming session answers predict alone, the request is one of {asked.method}.")
    with acquired(service, asked.spec, deadline, session) as called:
        began = time.thread_time()
        made = _predicted(called, body) if asked.method == "predict" else _inferred(called, asked.method, body)
        if called.servable.runtime == "onnx":  # TensorFlow works in threads of its own, whose time is not seen here.
            costs.observe(called.name, len(body), time.thread_time() - began)
        return made


def _inferred(called: Called, method: str, body: bytes) -> bytes:
    document = parse_json(body)
    classifies = method == "classify"
    request = (ClassificationRequest if classifies else RegressionRequest)()
    request.model_spec.signature_name = signature_name(document)
    request.input.CopyFrom(example_input(document, method))
    _refuse_unwritten(_floats(request.input), body)
    if classifies:
        return classification_body(classify(called, request).result)
    return regression_body(regress(called, request).result)


def _predicted(called: Called, body: bytes) -> bytes:
    document = parse_json(body)
    wanted = signature_name(document)
    try:
        signature = predict_signature(called, wanted)
    except StatusError as error:
        if error.code is not Code.FAILED_PRECONDITION:
            raise
        wanted = wanted or SERVING_DEFAULT
        raise invalid_argument(f'Serving signature name: "{wanted}" not found in signature def') from error
    feed, form = predict_feed(document, signature)
    _refuse_unwritten((array for array in feed.values() if array.dtype.kind == "f"), body)
    made = run(called, signature, feed, "Predict")
    return predict_body({name: made[name] for name in signature.outputs_by_name}, form)


def _refuse_unwritten(values: Iterable[Any], body: bytes) -> None:
    """Tells an infinity that was written so from a number that no float64 can hold."""
    if any(np.isinf(one).any() for one in values):
        refuse_too_large(body)


def _floats(request_input: Proto) -> Iterator[Any]:
    for _, examples in request_input.ListFields():
        for example in examples.examples:
            yield from (np.array(one.float_list.value) for one in example.features.feature.values())


def _status_json(response: Proto) -> bytes:
    return _proto_json(response, preserving_proto_field_name=False).encode()


def _metadata_json(response: Proto) -> bytes:
    signatures = SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    spec = _proto_json(response.model_spec, preserving_proto_field_name=True)
    definition = _proto_json(signatures, preserving_proto_field_name=True)
    return f'{{\n"model_spec":{spec},\n"metadata": {{"signature_def": {definition}}}\n}}\n'.encode()


def _proto_json(message: Proto, *, preserving_proto_field_name: bool) -> str:
    return json_format.MessageToJson(
        message,
        preserving_proto_field_name=preserving_proto_field_name,
        always_print_fields_with_no_presence=True,
        indent=1,
        descriptor_pool=POOL,
    )


def _failed(error: StatusError) -> Response:
    if isinstance(error, _StalledError):
        return Response(error_body(error.message), 408, {"Connection": "close"}, media_type=_JSON)
    status = 413 if isinstance(error, _TooLargeError) else http_status(error.code)
    return Response(error_body(error.message), status, media_type=_JSON)
