"""What goes over the wire of gRPC, seen by a server that only writes it down."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from seqship.errors import ServiceError
from seqship.pipelines.spec import Field
from seqship.serving.client.address import parse_address
from seqship.serving.client.api import Asking
from seqship.serving.client.contract import SignatureContract
from seqship.serving.client.deadline import Deadline
from seqship.serving.client.grpc_api import GrpcApi
from seqship.serving.client.tls import Tls
from seqship.wire.services import PREDICTION_SERVICE, SERVICES
from seqship.wire.tensors import to_tensor_proto

PREDICT = SERVICES[PREDICTION_SERVICE]["Predict"]
OUTPUTS = (Field("a", "float32", ("batch",)), Field("b", "float32", ("batch",)))
SIGNATURE = SignatureContract("s", "tensorflow/serving/predict", (Field("x", "float32", ("batch",)),), OUTPUTS)


@pytest.fixture
def asked() -> list[tuple[Any, dict[str, str]]]:
    """Each request and its metadata."""
    return []


@pytest.fixture
def port(asked: list[tuple[Any, dict[str, str]]]) -> Generator[int]:
    def answer(request: Any, context: Any) -> Any:
        asked.append((request, dict(context.invocation_metadata())))
        response = PREDICT.response()
        response.outputs["a"].CopyFrom(to_tensor_proto(np.array([0.5], np.float32)))
        return response

    handler = grpc.unary_unary_rpc_method_handler(
        answer, PREDICT.request.FromString, PREDICT.response.SerializeToString
    )
    server: Any = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(PREDICTION_SERVICE, {"Predict": handler}),))
    number: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield number
    server.stop(None).wait()


def test_a_request(port: int, asked: list[tuple[Any, dict[str, str]]]) -> None:
    api = GrpcApi(parse_address(f"grpc://127.0.0.1:{port}", model="m", version=7), tls=Tls(), headers={"one": "1"})
    feed = {"x": np.array([1.5], np.float32)}
    asking = Asking(Deadline.after(30), {"two": "2"})
    assert api.predict(feed, SIGNATURE, ("a",), asking)["a"].tolist() == [0.5]
    with pytest.raises(ServiceError, match="failed with UNKNOWN: the answer lacks the output 'b'") as caught:
        api.predict(feed, SIGNATURE, ("a", "b"), asking)
    assert caught.value.code == "UNKNOWN"
    api.close()
    (first, metadata), (second, _) = asked
    spec = first.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 7, "s")
    assert first.inputs["x"].tensor_content == feed["x"].tobytes()
    assert (list(first.output_filter), list(second.output_filter)) == (["a"], [])  # None is all.
    assert (metadata["one"], metadata["two"]) == ("1", "2")


def test_a_service_that_is_not_there(port: int) -> None:
    api = GrpcApi(parse_address(f"grpc://127.0.0.1:{port}", model="m"), tls=Tls(), headers={})
    with pytest.raises(ServiceError, match=r"^status of 'm' at grpc://127\.0\.0\.1:\d+ failed with UNIMPLEMENTED: "):
        api.status(Asking(Deadline.after(30), {}))
    api.close()
