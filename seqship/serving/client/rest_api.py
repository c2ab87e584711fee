"""TensorFlow Serving's REST API, asked by httpx."""

from __future__ import annotations

import email.utils
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from google.protobuf import json_format
from numpy.typing import NDArray

from seqship.errors import DataError, ServiceError
from seqship.serving.client.address import Address
from seqship.serving.client.api import Asking, ExamplesMethod
from seqship.serving.client.contract import ModelMetadata, SignatureContract, VersionStatus
from seqship.serving.client.failures import code_of_status, failure, strange_answer, too_late
from seqship.serving.client.rest_codec import (
    AnswerError,
    Document,
    classifications,
    examples_body,
    parse_answer,
    predict_body,
    predict_outputs,
    regressions,
)
from seqship.serving.client.signature_map import SIGNATURE_DEF, read_signatures
from seqship.serving.client.statuses import version_statuses
from seqship.serving.client.tls import Tls
from seqship.wire.examples import to_example
from seqship.wire.messages import POOL, GetModelStatusResponse, ModelSpec, Proto, SignatureDefMap


class RestApi:
    """One model behind a REST API.

    An instance may be shared between threads.
    """

    def __init__(
        self, address: Address, *, tls: Tls, headers: Mapping[str, str], transport: httpx.BaseTransport | None = None
    ) -> None:
        """Prepares the connections; nothing is sent yet.

        Args:
            address: The model.
            tls: Certificates, for https.
            headers: Headers of every request.
            transport: What sends the requests instead of httpx's own.

        Raises:
            DataError: A certificate cannot be used.
        """
        self._address = address
        verify = _context(tls) if address.is_secure and transport is None else True
        agent = {"user-agent": "seqship"}
        self._http = httpx.Client(
            verify=verify, transport=transport, headers=agent | dict(headers), trust_env=not address.is_local
        )

    def predict(
        self, feed: Mapping[str, NDArray[Any]], signature: SignatureContract, outputs: Sequence[str], asking: Asking
    ) -> dict[str, NDArray[Any]]:
        """Returns the outputs by name; the REST API gives all, those that are not wanted are dropped here."""
        what = self._what("predict")
        document = self._ask(what, "POST", ":predict", predict_body(feed, signature.name), asking)
        return _read(what, lambda: predict_outputs(document, signature, outputs))

    def examples(
        self,
        method: ExamplesMethod,
        examples: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None,
        signature: SignatureContract,
        asking: Asking,
    ) -> Any:
        """Returns label and score of each class of each example; or the value of each, (examples,) of float32."""
        what = self._what(method)
        shared = None if context is None else to_example(context)
        body = examples_body([to_example(one) for one in examples], signature.name, shared)
        document = self._ask(what, "POST", f":{method}", body, asking)
        return _read(what, lambda: (classifications if method == "classify" else regressions)(document))

    def metadata(self, asking: Asking) -> ModelMetadata:
        """Returns what the model can be asked."""
        what = self._what("metadata")
        document = self._ask(what, "GET", "/metadata", None, asking)

        def read() -> ModelMetadata:
            try:
                found, spec = document["metadata"][SIGNATURE_DEF], document["model_spec"]
            except (KeyError, TypeError):
                raise AnswerError("the answer has no metadata with a signature_def") from None
            signatures, model = _parsed(found, SignatureDefMap()), _parsed(spec, ModelSpec())
            return ModelMetadata(model.name, model.version.value, read_signatures(signatures))

        return _read(what, read)

    def status(self, asking: Asking) -> tuple[VersionStatus, ...]:
        """Returns the state of each version that the address means."""
        what = self._what("status")
        document = self._ask(what, "GET", "", None, asking)
        return _read(what, lambda: version_statuses(_parsed(document, GetModelStatusResponse())))

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def _what(self, asked: str) -> str:
        return f"{asked} of {self._address.model!r} at {self._address.where}"

    def _ask(self, what: str, http_method: str, rest: str, body: bytes | None, asking: Asking) -> Document:
        """Sends one request, and returns the document of its answer.

        httpx limits each wait by itself, so that the time is looked at between the parts of an answer, too.
        """
        left = asking.deadline.left
        if not left:
            raise too_late(what, asking.deadline.seconds)
        headers = dict(asking.headers) | ({} if body is None else {"content-type": "application/json"})
        parts: list[bytes] = []
        try:
            with self._http.stream(
                http_method, self._address.url + rest, content=body, headers=headers, timeout=left
            ) as response:
                for part in response.iter_bytes():
                    parts.append(part)
                    if not asking.deadline.left:
                        raise too_late(what, asking.deadline.seconds)
        except httpx.TimeoutException:
            raise too_late(what, asking.deadline.seconds) from None
        except httpx.TransportError as error:
            raise _unreachable(what, error) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise strange_answer(what, str(error)) from None
        return _document(what, response, b"".join(parts))


def _document(what: str, response: httpx.Response, body: bytes) -> Document:
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    if response.status_code == 200:
        try:
            return parse_answer(body)
        except AnswerError as error:
            raise strange_answer(what, f"{error} ({kind})", http_status=200) from None
    code, after = code_of_status(response.status_code), _seconds(response.headers.get("retry-after"))
    try:
        said = parse_answer(body).get("error")
    except AnswerError:
        said = None
    if isinstance(said, str):
        raise failure(what, code, said, http_status=response.status_code, retry_after=after)
    text = f"HTTP {response.status_code} {response.reason_phrase} without an error of TensorFlow Serving's ({kind})"
    hint = "" if code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED") else "is it TensorFlow Serving's REST port?"
    raise failure(what, code, text, http_status=response.status_code, retry_after=after, hint=hint)


def _read(what: str, read: Any) -> Any:
    try:
        return read()
    except AnswerError as error:
        raise strange_answer(what, str(error), http_status=200) from None


def _parsed(document: Any, message: Proto) -> Proto:
    """Returns the message that a part of an answer is; newer servers say more than is known here."""
    try:
        return json_format.ParseDict(document, message, ignore_unknown_fields=True, descriptor_pool=POOL)
    except (json_format.ParseError, AttributeError, TypeError, ValueError) as error:
        raise AnswerError(f"the answer is no {message.DESCRIPTOR.name}: {' '.join(str(error).split())}") from None


def _unreachable(what: str, error: httpx.TransportError) -> ServiceError:
    text = str(error) or type(error).__name__
    if "[SSL" in text:
        hint = "give ca= with who signed the server's certificate, and certificate= and key= if it asks for yours"
        return ServiceError(str(failure(what, "UNAVAILABLE", text, hint=hint)), code="UNAVAILABLE")
    return failure(what, "UNAVAILABLE", text)


def _seconds(text: str | None) -> float | None:
    """Returns what a Retry-After header says: seconds, or a date (RFC 9110, section 10.2.3)."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((until.astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        raise DataError(f"the certificates cannot be used: {error.reason or error}; give files in PEM") from None
    return context
