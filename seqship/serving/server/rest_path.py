"""What a REST request's path asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from seqship.serving.server.status import StatusError, invalid_argument
from seqship.wire.messages import ModelSpec, Proto

_MODEL = r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE | re.DOTALL)
_MODEL_STATUS = re.compile(
    r"/v1/models(?:/(?P<model>[^/:]+))?(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?(?:/(?P<method>metadata))?",
    re.IGNORECASE | re.DOTALL,
)
_LARGEST = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Asked:
    """What a path asks for.

    Attributes:
        spec: The ModelSpec: model, and version or label.
        method: "predict", "classify", "regress", "metadata" or "status".
    """

    spec: Proto
    method: str


def parse_path(http_method: str, path: str) -> Asked:
    """Reads a path below /v1/.

    Args:
        http_method: "GET", "POST" or another.
        path: The path as it was sent, still encoded.

    Raises:
        StatusError: It is none that TensorFlow Serving knows.
    """
    pattern = {"POST": _INFERENCE, "GET": _MODEL_STATUS}.get(http_method)
    match = None if pattern is None else pattern.fullmatch(path)
    if match is None:
        raise _malformed(http_method, path)
    spec = ModelSpec()
    if match["model"] is None:
        raise invalid_argument("Missing model name in request.")
    spec.name = _decoded(match["model"], "model name")
    if match["version"] is not None:
        digits = match["version"].lstrip("0") or "0"  # Python itself refuses to read numbers of thousands of digits.
        if len(digits) > len(str(_LARGEST)) or int(digits) > _LARGEST:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(digits)
    if match["label"] is not None:
        spec.version_label = _decoded(match["label"], "model version label")
    method = match["method"] or "status"
    if method not in ("predict", "classify", "regress", "metadata", "status"):
        raise _malformed(http_method, path)  # The path matches in any case, the methods are lower case.
    return Asked(spec, method)


def _decoded(text: str, what: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise invalid_argument(f"Failed to decode {what}:{text}") from None


def _malformed(http_method: str, path: str) -> StatusError:
    return invalid_argument(f"Malformed request: {http_method} {path}")
