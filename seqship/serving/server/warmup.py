"""Replays the requests that a model brings, before it takes any others."""

from __future__ import annotations

import time

from seqship.errors import DataError
from seqship.serving.server.inference import Called, classify, multi_inference, predict, regress
from seqship.serving.server.status import Code, StatusError
from seqship.wire.prediction_log import read_warmup

_KINDS = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_inference,
}


def warm_up(called: Called, iterations: int = 1) -> int:
    """Replays every request of the version's warm-up file.

    Args:
        called: The version.
        iterations: How often each is sent.

    Returns:
        The number of requests in the file; 0 where there is none.

    Raises:
        StatusError: A request fails, or the file is broken: then the version does not serve.
    """
    file = called.servable.warmup_file
    if file is None:
        return 0
    start, status = time.monotonic(), Code.OK
    try:
        logs = read_warmup(file)
        for number, log in enumerate(logs):
            kind = log.WhichOneof("log_type")
            if kind not in _KINDS:
                raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
            for _ in range(iterations):
                _send(called, kind, getattr(log, kind).request, number)
    except DataError as error:
        status = Code.INVALID_ARGUMENT
        raise StatusError(status, f"warm-up: {error}") from error
    except StatusError as error:
        status = error.code
        raise
    finally:
        micros = 1e6 * (time.monotonic() - start)
        path = str(called.servable.path)
        called.metrics.observe("model_warmup_latency", path, status.name, value=micros)
    return len(logs)


def _send(called: Called, kind: str, request: object, number: int) -> None:
    try:
        _KINDS[kind](called, request)
    except StatusError as error:
        raise StatusError(error.code, f"warm-up request {number} failed: {error.message}") from error
