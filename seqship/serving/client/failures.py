"""What a call that failed is said to be: one line, with the server's own words and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from seqship.errors import DeadlineError, RejectedError, ServiceError, UnavailableError

_REJECTED = (
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
)
_WAYS_OUT: Mapping[str, str] = MappingProxyType(
    {
        "UNAVAILABLE": "is a server running there, on this port?",
        "RESOURCE_EXHAUSTED": "ask again later, or give more retries=",
        "DEADLINE_EXCEEDED": "give a longer timeout=, or less in one call",
        "NOT_FOUND": "is the model served under this name, with this version?",
        "UNAUTHENTICATED": "give what the server asks for in headers=",
        "PERMISSION_DENIED": "give what the server asks for in headers=",
    }
)
_LONGEST = 600

_CODES: Mapping[int, str] = MappingProxyType(
    {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        405: "UNIMPLEMENTED",
        408: "DEADLINE_EXCEEDED",
        409: "ABORTED",
        412: "FAILED_PRECONDITION",
        413: "INVALID_ARGUMENT",
        429: "RESOURCE_EXHAUSTED",
        499: "CANCELLED",
        500: "INTERNAL",
        501: "UNIMPLEMENTED",
        502: "UNAVAILABLE",
        503: "UNAVAILABLE",
        504: "DEADLINE_EXCEEDED",
    }
)
"""TensorFlow Serving's own (`ToHTTPStatusCode` of `util/net_http`), read backwards, and those of proxies before it."""


def code_of_status(http_status: int) -> str:
    """Returns gRPC's name of what an HTTP status says."""
    return _CODES.get(http_status, "UNKNOWN")


def failure(
    what: str, code: str, text: str, *, http_status: int | None = None, retry_after: float | None = None, hint: str = ""
) -> ServiceError:
    """Returns the error of a call that failed.

    Args:
        what: What was asked where, such as "predict of 'ecg' at grpc://localhost:8500".
        code: gRPC's name of the failure.
        text: What the server says, or the system where none was reached.
        http_status: Status of the HTTP response, where there was one.
        retry_after: Seconds that the server asks to wait.
        hint: The way out; that of the code if left out.
    """
    said = " ".join(text.split()) or "without a word"
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
    hint = hint or _WAYS_OUT.get(code, "")
    message = f"{what} failed with {code}: {said.rstrip('.')}" + (f"; {hint}" if hint else "")
    if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED"):
        return UnavailableError(message, code=code, http_status=http_status, retry_after=retry_after)
    if code == "DEADLINE_EXCEEDED":
        return DeadlineError(message, code=code, http_status=http_status)
    if code in _REJECTED:
        return RejectedError(message, code=code, http_status=http_status)
    return ServiceError(message, code=code, http_status=http_status)


def too_late(what: str, seconds: float) -> ServiceError:
    """Returns the error of a call that was given up."""
    return failure(what, "DEADLINE_EXCEEDED", f"no answer within {seconds:g} s")


def strange_answer(what: str, text: str, *, http_status: int | None = None) -> ServiceError:
    """Returns the error of an answer that is none of TensorFlow Serving's."""
    return failure(what, "UNKNOWN", text, http_status=http_status, hint="is it TensorFlow Serving's API that answers?")
