"""TensorFlow Serving's gRPC API, asked by grpcio with the messages of `seqship.wire`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.serving.client.address import Address
from seqship.serving.client.api import Asking, ExamplesMethod
from seqship.serving.client.contract import ModelMetadata, SignatureContract, VersionStatus
from seqship.serving.client.failures import failure, strange_answer, too_late
from seqship.serving.client.signature_map import SIGNATURE_DEF, read_signatures
from seqship.serving.client.statuses import version_statuses
from seqship.serving.client.tls import Tls
from seqship.wire.examples import to_example
from seqship.wire.messages import ModelSpec, Proto, SignatureDefMap
from seqship.wire.services import MODEL_SERVICE, PREDICTION_SERVICE, SERVICES
from seqship.wire.tensors import from_tensor_proto, to_tensor_proto

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),  # The client's own retries keep to its deadline, and are the same over REST.
    # A channel waits by itself before it connects again, and fails at once all that is asked of it meanwhile.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class GrpcApi:
    """One model behind a gRPC API.

    An instance may be shared between threads.
    """

    def __init__(self, address: Address, *, tls: Tls, headers: Mapping[str, str]) -> None:
        """Prepares the connection; nothing is sent yet.

        Args:
            address: The model.
            tls: Certificates, for grpcs.
            headers: Metadata of every call.
        """
        self._address, self._headers = address, headers
        options = (*_OPTIONS, ("grpc.enable_http_proxy", 0 if address.is_local else 1))
        if address.is_secure:
            authority, certificate, key = tls.read()
            credentials = grpc.ssl_channel_credentials(authority, key, certificate)
            self._channel: Any = grpc.secure_channel(address.target, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address.target, options)
        self._methods = {
            name: self._channel.unary_unary(method.path, method.request.SerializeToString, method.response.FromString)
            for service in (PREDICTION_SERVICE, MODEL_SERVICE)
            for name, method in SERVICES[service].items()
        }

    def predict(
        self, feed: Mapping[str, NDArray[Any]], signature: SignatureContract, outputs: Sequence[str], asking: Asking
    ) -> dict[str, NDArray[Any]]:
        """Returns the outputs by name."""
        request = SERVICES[PREDICTION_SERVICE]["Predict"].request()
        request.model_spec.CopyFrom(self._spec(signature.name))
        for name, array in feed.items():
            request.inputs[name].CopyFrom(to_tensor_proto(array, content=True))
        if len(outputs) < len(signature.outputs):
            request.output_filter.extend(outputs)
        response = self._ask("predict", "Predict", request, asking)
        made: dict[str, NDArray[Any]] = {}
        for name in outputs:
            if name not in response.outputs:
                raise strange_answer(self._what("predict"), f"the answer lacks the output {name!r}")
            try:
                made[name] = from_tensor_proto(response.outputs[name])
            except DataError as error:
                raise strange_answer(self._what("predict"), f"the output {name!r}: {error}") from None
        return made

    def examples(
        self,
        method: ExamplesMethod,
        examples: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None,
        signature: SignatureContract,
        asking: Asking,
    ) -> Any:
        """Returns label and score of each class of each example; or the value of each, (examples,) of float32."""
        name = {"classify": "Classify", "regress": "Regress"}[method]
        request = SERVICES[PREDICTION_SERVICE][name].request()
        request.model_spec.CopyFrom(self._spec(signature.name))
        kind = "example_list" if context is None else "example_list_with_context"
        target = getattr(request.input, kind)
        target.SetInParent()
        if context is not None:
            target.context.CopyFrom(to_example(context))
        target.examples.extend(to_example(one) for one in examples)
        result = self._ask(method, name, request, asking).result
        if method == "regress":
            return np.array([one.value for one in result.regressions], np.float32)
        return [[(entry.label, entry.score) for entry in row.classes] for row in result.classifications]

    def metadata(self, asking: Asking) -> ModelMetadata:
        """Returns what the model can be asked."""
        request = SERVICES[PREDICTION_SERVICE]["GetModelMetadata"].request()
        request.model_spec.CopyFrom(self._spec())
        request.metadata_field.append(SIGNATURE_DEF)
        response, signatures = self._ask("metadata", "GetModelMetadata", request, asking), SignatureDefMap()
        if SIGNATURE_DEF not in response.metadata or not response.metadata[SIGNATURE_DEF].Unpack(signatures):
            raise strange_answer(self._what("metadata"), "the answer has no signature_def")
        spec = response.model_spec
        return ModelMetadata(spec.name, spec.version.value, read_signatures(signatures))

    def status(self, asking: Asking) -> tuple[VersionStatus, ...]:
        """Returns the state of each version that the address means."""
        request = SERVICES[MODEL_SERVICE]["GetModelStatus"].request()
        request.model_spec.CopyFrom(self._spec())
        return version_statuses(self._ask("status", "GetModelStatus", request, asking))

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _spec(self, signature: str = "") -> Proto:
        spec = ModelSpec(name=self._address.model, signature_name=signature)
        if self._address.version is not None:
            spec.version.value = self._address.version
        if self._address.label is not None:
            spec.version_label = self._address.label
        return spec

    def _what(self, asked: str) -> str:
        return f"{asked} of {self._address.model!r} at {self._address.where}"

    def _ask(self, asked: str, method: str, request: Proto, asking: Asking) -> Proto:
        left, what = asking.deadline.left, self._what(asked)
        if not left:
            raise too_late(what, asking.deadline.seconds)
        metadata = tuple({**self._headers, **asking.headers}.items())
        try:
            return self._methods[method](request, timeout=left, metadata=metadata)
        except grpc.RpcError as error:
            failed: Any = error
            code, text = failed.code().name, failed.details() or ""
            if code == "DEADLINE_EXCEEDED" and not asking.deadline.left:
                raise too_late(what, asking.deadline.seconds) from None
            raise failure(what, code, text) from None
