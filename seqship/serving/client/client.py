"""A client that holds its callers to the served model's own signature."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError, DeadlineError, DependencyError, RejectedError, ServiceError, UnavailableError
from seqship.serving.client.address import Address, parse_address
from seqship.serving.client.api import Api, Asking, ExamplesMethod
from seqship.serving.client.contract import ModelMetadata, SignatureContract, VersionStatus
from seqship.serving.client.deadline import Deadline, with_retries
from seqship.serving.client.feeds import checked_feed, checked_outputs
from seqship.serving.client.tls import Tls, tls_files
from seqship.wire.signature_names import CLASSIFY, REGRESS, SERVING_DEFAULT

if TYPE_CHECKING:
    import httpx

Answer = TypeVar("Answer")
PathLike = str | os.PathLike[str]

_HEADER = re.compile(r"[0-9a-z_.\-]+")


class Client:
    """Asks a model behind TensorFlow Serving's API, over REST or gRPC.

    ```python
    with Client("grpc://localhost:8500", model="ecg") as client:
        client.predict([beat_a, beat_b], pad_value=-1.0)["scores"]  # of unequal length
    ```

    The model's signatures are asked for once, before the first call that needs them; names, types and shapes that they
    do not have are refused before anything is sent. Where a call is refused the signatures are asked for again: the
    model may have got another version.

    An instance may be shared between threads. It keeps its connections; `close` ends them.

    Attributes:
        address: What is asked: the server, the model, and its version.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 30.0,
        retries: int = 2,
        headers: Mapping[str, str] | None = None,
        ca: PathLike | None = None,
        certificate: PathLike | None = None,
        key: PathLike | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepares the connections; nothing is sent yet.

        Args:
            address: `http://host:8501`, `https://host`, `grpc://host:8500`, `grpcs://host` or `unix:/path` of a gRPC
                socket; or the model's whole URL in the REST API, `http://host:8501/v1/models/ecg/versions/7`.
            model: Name of the model, where the address has none.
            version: Number of its version; the newest where None.
            label: Label of its version, such as "stable".
            timeout: Seconds that a call may take, all of its tries and pauses counted.
            retries: How often a call is made again where the server could not be reached, or had no room (UNAVAILABLE
                and RESOURCE_EXHAUSTED, HTTP 502, 503 and 429). No call changes anything in the server.
            headers: HTTP headers, or gRPC's metadata, of every call: an authorization, for example.
            ca: File with the certificates of who signed the server's, in PEM; the system's where None.
            certificate: File with the caller's own certificate, in PEM, for servers that ask for one.
            key: File with its key.
            transport: What sends the HTTP requests instead of httpx's own.

        Raises:
            DataError: The address or an option is none that there is.
            DependencyError: A package that the address needs is not installed.
        """
        self.address = parse_address(address, model=model, version=version, label=label)
        if not timeout > 0 or retries < 0:
            raise DataError(f"timeout must be above 0 and retries 0 or more, met {timeout} and {retries}")
        tls = tls_files(ca, certificate, key)
        if tls.is_set and not self.address.is_secure:
            raise DataError(f"ca=, certificate= and key= are for https:// and grpcs://, not {self.address.where}")
        if transport is not None and (self.address.is_grpc or tls.is_set):
            raise DataError("transport= is for http:// and https://, and brings its own certificates")
        self._timeout, self._retries = timeout, retries
        self._api = connect(self.address, tls, _checked_headers(headers), transport)
        self._known: ModelMetadata | None = None
        self._closed = False

    def predict(
        self,
        inputs: Any,
        *,
        signature: str = SERVING_DEFAULT,
        outputs: Iterable[str] | None = None,
        pad_value: float | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Asks for a prediction.

        Args:
            inputs: A value for each input by name; or the value alone, where the signature has one input. A value is an
                array or nested lists of the signature's shape, or a list of sequences of unequal length, each (time,)
                or (time, features). Strings are str or bytes.
            signature: Name of the signature. The states of a stream may be left out where a header names a session
                whose states the server keeps; then none come back either.
            outputs: Names of the outputs that are wanted; all where None.
            pad_value: What fills the steps behind the shorter sequences: the bundle's contract names it, the metadata
                of a served model does not.
            timeout: Seconds that this call may take, where it is not the client's.
            headers: Headers of this call, beside the client's.

        Returns:
            An array for each output, in the signature's type; strings as objects of type bytes. Over REST, too, every
            bit of a float32 is the model's.

        Raises:
            DataError: The inputs or outputs are not the signature's, or the model has no such signature.
            ServiceError: The server did not answer.
        """

        def ask(metadata: ModelMetadata, asking: Asking) -> dict[str, NDArray[Any]]:
            found = metadata.signature(signature)
            feed = checked_feed(inputs, found, pad_value=pad_value)
            called = found if len(feed) == len(found.inputs) else found.without_states()
            return self._api.predict(feed, called, checked_outputs(wanted, called), asking)

        wanted = None if outputs is None else [outputs] if isinstance(outputs, str) else list(outputs)
        return self._ask_with_metadata(ask, timeout, headers)

    def classify(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        signature: str | None = None,
        context: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Asks for the classes of examples.

        Args:
            examples: For each its features by name: a number, a string, or a list or array of them, which is flattened.
            signature: Name of the signature; where None, the one that is made for Classify.
            context: Features that all examples share, unless they have their own.
            timeout: Seconds that this call may take, where it is not the client's.
            headers: Headers of this call, beside the client's.

        Returns:
            For each example the label and the score of each class.

        Raises:
            DataError: A feature is none that a `tf.Example` holds, or the model has no such signature.
            ServiceError: The server did not answer.
        """
        return self._ask_examples("classify", CLASSIFY, examples, signature, context, timeout, headers)

    def regress(
        self,
        examples: Sequence[Mapping[str, Any]],
        *,
        signature: str | None = None,
        context: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> NDArray[np.float32]:
        """Asks for the value of each example.

        The arguments are those of `classify`.

        Returns:
            The values, (examples,).

        Raises:
            DataError: A feature is none that a `tf.Example` holds, or the model has no such signature.
            ServiceError: The server did not answer.
        """
        return self._ask_examples("regress", REGRESS, examples, signature, context, timeout, headers)

    def metadata(self, *, timeout: float | None = None, headers: Mapping[str, str] | None = None) -> ModelMetadata:
        """Asks what the model can be asked; the answer is what later calls are held to.

        Raises:
            ServiceError: The server did not answer.
        """
        asking = self._asking(timeout, headers)
        self._known = self._ask(lambda: self._api.metadata(asking), asking)
        return self._known

    def status(
        self, *, timeout: float | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[VersionStatus, ...]:
        """Asks for the state of the model's versions: of all that the server knows, or of the client's own.

        Raises:
            ServiceError: The server did not answer; RejectedError with the code NOT_FOUND where it has no such model.
        """
        asking = self._asking(timeout, headers)
        return self._ask(lambda: self._api.status(asking), asking)

    def ready(self, *, timeout: float | None = None, headers: Mapping[str, str] | None = None) -> bool:
        """Whether a version of the model answers: one is AVAILABLE. A server that cannot be reached has none.

        It asks once, and does not try again.

        Raises:
            ServiceError: The server refuses to say, or is none of the kind.
        """
        asking = self._asking(timeout, headers)
        try:
            return any(one.state == "AVAILABLE" for one in self._api.status(asking))
        except (UnavailableError, DeadlineError):
            return False
        except RejectedError as error:
            if error.code == "NOT_FOUND" and error.http_status in (None, 404):
                return False
            raise

    def close(self) -> None:
        """Ends the connections; a call after that is an error."""
        if not self._closed:
            self._closed = True
            self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.address.where!r}, model={self.address.model!r})"

    def _ask_examples(
        self,
        method: ExamplesMethod,
        made_for: str,
        examples: Sequence[Mapping[str, Any]],
        signature: str | None,
        context: Mapping[str, Any] | None,
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> Any:
        rows: Sequence[Any] = examples
        if isinstance(rows, Mapping) or not all(isinstance(one, Mapping) for one in rows):
            raise DataError("examples are a list with a mapping of features for each example")
        if not examples:
            raise DataError("examples is empty; give at least one")

        def ask(metadata: ModelMetadata, asking: Asking) -> Any:
            if signature is None:
                found: SignatureContract = metadata.signature_for(made_for, SERVING_DEFAULT)
            else:
                found = metadata.signature(signature)
            answer = self._api.examples(method, examples, context, found, asking)
            if len(answer) != len(examples):
                raise ServiceError(f"{method}: {len(answer)} answers came for {len(examples)} examples")
            return answer

        return self._ask_with_metadata(ask, timeout, headers)

    def _ask_with_metadata(
        self,
        ask: Callable[[ModelMetadata, Asking], Answer],
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        """Asks what needs the signatures; where it is refused and they have changed, once more."""
        asking = self._asking(timeout, headers)
        known = self._known
        if known is None:
            known = self._fetch_metadata(asking)
            return self._ask(lambda: ask(known, asking), asking)
        try:
            return self._ask(lambda: ask(known, asking), asking)
        except (UnavailableError, DeadlineError):
            raise
        except (DataError, ServiceError):
            changed = self._changed_metadata(known, asking)
            if changed is None:
                raise
        return self._ask(lambda: ask(changed, asking), asking)

    def _changed_metadata(self, known: ModelMetadata, asking: Asking) -> ModelMetadata | None:
        """Returns what the model can be asked now; None where that is what it was, or the server does not say."""
        try:
            found = self._fetch_metadata(asking)
        except ServiceError:
            return None
        return None if found.signatures == known.signatures else found

    def _fetch_metadata(self, asking: Asking) -> ModelMetadata:
        self._known = self._ask(lambda: self._api.metadata(asking), asking)
        return self._known

    def _ask(self, ask: Callable[[], Answer], asking: Asking) -> Answer:
        return with_retries(ask, retries=self._retries, deadline=asking.deadline)

    def _asking(self, timeout: float | None, headers: Mapping[str, str] | None) -> Asking:
        if self._closed:
            raise DataError(f"the client of {self.address.where} is closed; make a new one")
        if timeout is not None and not timeout > 0:
            raise DataError(f"timeout must be above 0, met {timeout}")
        return Asking(Deadline.after(self._timeout if timeout is None else timeout), _checked_headers(headers))


def connect(
    address: Address, tls: Tls, headers: Mapping[str, str], transport: httpx.BaseTransport | None = None
) -> Api:
    """Returns the API behind an address, which sends whatever it is given; `Client` is what checks.

    Args:
        address: The model.
        tls: Certificates.
        headers: HTTP headers, or gRPC's metadata, of every call.
        transport: What sends the HTTP requests instead of httpx's own.

    Raises:
        DataError: A certificate cannot be used.
        DependencyError: A package that the address needs is not installed.
    """
    try:
        if address.is_grpc:
            from seqship.serving.client.grpc_api import GrpcApi

            return GrpcApi(address, tls=tls, headers=headers)
        from seqship.serving.client.rest_api import RestApi

        return RestApi(address, tls=tls, headers=headers, transport=transport)
    except ModuleNotFoundError as error:
        needed = {"grpc": "grpcio", "google": "protobuf"}.get(str(error.name).partition(".")[0], error.name)
        raise DependencyError(f"the client needs the package {needed}; run: pip install 'seqship[client]'") from None


def _checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Returns headers that both HTTP and gRPC carry: names in lower case."""
    made = {name.lower(): value for name, value in (headers or {}).items()}
    for name, value in made.items():
        if not _HEADER.fullmatch(name) or name.endswith("-bin") or not (value.isascii() and value.isprintable()):
            raise DataError(f"the header {name!r} cannot be sent; names are letters, digits and -, values ASCII")
    return made
