"""Sends requests that are wrong in every way there is to a server, and sees that it stays what it was.

`python -m tests.serving.server.fuzz --requests 10000 --seed 0` ships the models, starts a server and runs against it;
`--only 1234` sends that one request again and prints it. Each request depends on the seed and its number alone.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import shutil
import socket
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from random import Random
from typing import Any

import grpc
import numpy as np

from seqship.wire.dtypes import DATA_TYPES
from seqship.wire.examples import to_example
from seqship.wire.messages import Proto
from seqship.wire.services import HEALTH, MODEL_SERVICE, PREDICTION_SERVICE, SERVICES
from seqship.wire.signature_names import CLASSIFY
from seqship.wire.tensors import to_tensor_proto
from tests.serving.server.process import Served, served

VALID_EVERY = 50
MOST_BODY = 1_000_000
ARGUMENTS = (f"--rest_api_max_body_bytes={MOST_BODY}", "--enable_grpc_healthcheck_service=true")

SIGNAL = np.array([[[0.5, -0.25], [1.0, 2.0]]], np.float32)
ROW = SIGNAL[0].tolist()
MODELS = ("classifier", "stepwise", "unmasked", "texts", "stateful", "two_inputs")

REST_VALID: tuple[tuple[str, Any], ...] = (
    ("/v1/models/classifier:predict", {"instances": [ROW, ROW]}),
    ("/v1/models/classifier/versions/1:predict", {"instances": [{"signal": ROW}]}),
    ("/v1/models/stepwise:predict", {"inputs": {"signal": [ROW]}}),
    ("/v1/models/unmasked:predict", {"signature_name": "serving_default", "inputs": [ROW]}),
    ("/v1/models/texts:predict", {"signature_name": "serving_text", "instances": ["the good film", "bad"]}),
    ("/v1/models/texts:predict", {"instances": [[2, 3], [4, 0]]}),
    ("/v1/models/two_inputs:predict", {"instances": [{"tokens": [1, 2], "valid": [True, False]}]}),
    ("/v1/models/stateful:predict", {"instances": [ROW]}),
    (
        "/v1/models/classifier:classify",
        {"signature_name": "tf_example", "context": {"x": 1}, "examples": [{"signal": [0.5, -0.25, 1.0, 2.0]}]},
    ),
    ("/v1/models/unmasked:regress", {"signature_name": "tf_example", "examples": [{"signal": [0.5, 1.0]}]}),
    (
        "/v1/models/classifier:predict",
        {
            "signature_name": "tf_example",
            "instances": [{"b64": base64.b64encode(to_example({"signal": [0.5, 1.0]}).SerializeToString()).decode()}],
        },
    ),
)

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, -(2**63), 2**63, 2**64, 10**400, 0.5, 1e39, -1e308, 1e-320),
    *(float("nan"), float("inf"), -float("inf"), "", "x", "\ud800", "\0", "é" * 300, [], {}, [[]], [None], {"": ""}),
    *({"b64": "!"}, {"b64": "AA="}, {"b64": 1}, {"b64": "AAAA", "x": 1}, [1, "a"], [[1], [1, 2]], [[[]]], "1"),
)
"""Values that a place of a document is filled with."""

NAMES = ("", "nothing", "..", "%2e%2e", "a/b", "m\0", "é", "\U0001f600", "x" * 5000, "serving_default", "stream", "1")
METHODS = ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "GET", "POST", "get", "FOO")


@dataclass(frozen=True)
class Fuzzed:
    """What a run has seen.

    Attributes:
        answers: How often each kind of request was answered how.
        wrong: What must not be, a line each.
        rss: Resident megabytes of the server by number of requests.
    """

    answers: Counter[tuple[str, str]]
    wrong: list[str]
    rss: Mapping[int, float]


@dataclass(frozen=True)
class Sent:
    """One request that is to be sent, and how it may be answered.

    Attributes:
        kind: What is wrong with it.
        send: Sends it to a server, and returns the status and the body; nothing where the connection was closed.
        allowed: The statuses that are right.
        shown: The request as a report shows it.
        is_json: Whether an error must be told in JSON.
    """

    kind: str
    send: Callable[[Served, Any], tuple[str, bytes]]
    allowed: frozenset[str]
    shown: str
    is_json: bool = False


@dataclass(frozen=True)
class _Http:
    method: str = "POST"
    path: str = "/v1/models/classifier:predict"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: str | None = None
    raw: bytes | None = None
    ends: bool = False

    def data(self) -> bytes:
        if self.raw is not None:
            return self.raw
        head = [f"{self.method} {self.path} HTTP/1.1", "Host: x", "Connection: close"]
        head += [f"{name}: {value}" for name, value in self.headers]
        if self.length is not None or self.body:
            head.append(f"Content-Length: {len(self.body) if self.length is None else self.length}")
        return "\r\n".join(head).encode("latin-1", "replace") + b"\r\n\r\n" + self.body

    def send(self, server: Served, channel: Any) -> tuple[str, bytes]:
        with socket.create_connection(("127.0.0.1", server.rest_port), 60) as connection:
            try:
                connection.sendall(self.data())
                if self.ends:  # A client that closes its half is taken for one that has left.
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # It was closed on us; the answer may still be there.
            response = HTTPResponse(connection, method="HEAD" if self.method == "HEAD" else None)
            try:
                response.begin()
                return str(response.status), response.read()
            except (HTTPException, OSError):
                return "closed", b""


def make(seed: int, number: int) -> Sent:
    """Returns the request of a number."""
    random = Random(f"{seed}:{number}")
    return random.choice(_KINDS)(random)


def run(server: Served, requests: int, seed: int, *, rss_at: Sequence[int] = ()) -> Fuzzed:
    """Sends requests to a server of the models of `models.py`, and returns what came of it."""
    answers, wrong, rss = Counter[tuple[str, str]](), list[str](), dict[int, float]()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        valid = [_rest_valid(path, document) for path, document in REST_VALID] + _grpc_valid()
        expected = [one.send(server, channel) for one in valid]
        wrong += [f"{one.shown}: {got}" for one, got in zip(valid, expected, strict=True) if got[0] not in one.allowed]
        for number in range(requests):
            if number % VALID_EVERY == 0:
                place = number // VALID_EVERY % len(valid)
                if (got := valid[place].send(server, channel)) != expected[place]:
                    wrong.append(f"{number}: {valid[place].shown} is answered {got}, before {expected[place]}")
            sent = make(seed, number)
            status, body = sent.send(server, channel)
            answers[sent.kind, status] += 1
            if reason := _fault(sent, status, body):
                wrong.append(f"{number}: {sent.kind}: {reason}: {sent.shown}")
            if server.process.poll() is not None:
                wrong.append(f"{number}: the server ended with {server.process.poll()}: {sent.shown}")
                break
            if number + 1 in rss_at or number + 1 == requests:
                rss[number + 1] = resident(server)
    return Fuzzed(answers, wrong, rss)


def resident(server: Served) -> float:
    """Returns a server's resident memory in megabytes."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def _fault(sent: Sent, status: str, body: bytes) -> str:
    if status not in sent.allowed:
        return f"{status} {body[:200]!r}"
    if not sent.is_json or not status.isdigit():
        return ""
    try:
        document = json.loads(body)
    except ValueError:
        return f"{status} without JSON {body[:200]!r}"
    if status != "200" and not (list(document) == ["error"] and isinstance(document["error"], str)):
        return f"{status} without an error {body[:200]!r}"
    return ""


# --- REST.


def _rest(kind: str, http: _Http, *allowed: str, is_json: bool = True) -> Sent:
    return Sent(f"rest {kind}", http.send, frozenset(allowed), repr(http.data()[:300]), is_json)


def _rest_valid(path: str, document: Any) -> Sent:
    return _rest("valid", _Http(path=path, body=json.dumps(document).encode()), "200")


def _document(random: Random) -> Sent:
    path, document = random.choice(REST_VALID)
    document = json.loads(json.dumps(document))
    for _ in range(random.choice((1, 1, 2, 5))):
        document = _mutated(random, document)
    return _rest("document", _Http(path=path, body=json.dumps(document).encode()), "200", "400", "413")


def _mutated(random: Random, value: Any) -> Any:
    """Returns a document with one place of it changed."""
    if isinstance(value, dict | list) and value and random.random() < 0.8:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = random.choice(keys)
        choice = random.random()
        if choice < 0.15:
            del value[key]
        elif choice < 0.25 and isinstance(value, list):
            value.extend(deepcopy(value[key]) for _ in range(random.choice((1, 3, 200))))
        elif choice < 0.35 and isinstance(value, dict):
            value[random.choice((*NAMES, "inputs", "instances", "examples", "context", "signature_name"))] = deepcopy(
                value[key]
            )
        else:
            value[key] = _mutated(random, value[key])
        return value
    if random.random() < 0.3:
        for _ in range(random.choice((1, 2, 33, 70, 150))):
            value = [value] if random.random() < 0.9 else {"a": value}
        return value
    return deepcopy(random.choice(ODD))


def _text(random: Random) -> Sent:
    path, document = random.choice(REST_VALID)
    body = _damaged(random, json.dumps(document).encode())
    if random.random() < 0.2:  # The same key twice, which JSON allows.
        body = body.replace(b"{", b'{"instances": 1, "instances": [[[1, 2]]],', 1)
    return _rest("text", _Http(path=path, body=body), "200", "400")


def _damaged(random: Random, data: bytes) -> bytes:
    made = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        place = random.randrange(len(made) + 1)
        choice = random.random()
        if choice < 0.2:
            del made[place:]
        elif choice < 0.4:
            made[place:place] = random.choice(
                (b"NaN", b"Infinity", b"\xff\xfe", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"[" * 5000, b"9" * 5000)
            )
        elif choice < 0.6:
            del made[place : place + random.choice((1, 2, 8))]
        else:
            made[place : place + 1] = random.randbytes(random.choice((1, 1, 4)))
    return bytes(made)


def _packed(random: Random) -> Sent:
    path, document = random.choice(REST_VALID)
    body = gzip.compress(json.dumps(document).encode())
    choice = random.random()
    if choice < 0.1:
        body = gzip.compress(b" " * 20 * MOST_BODY)
    elif choice < 0.5:
        body = body[: random.randrange(len(body))]
    elif choice < 0.9:
        body = _damaged(random, body)
    encoding = random.choice(("gzip", "GZIP", "x-gzip, br", "gzip, gzip"))
    http = _Http(path=path, body=body, headers=(("Content-Encoding", encoding),))
    return _rest("gzip", http, "200", "400", "413")


def _path(random: Random) -> Sent:
    name = random.choice((*MODELS, *NAMES))
    version = random.choice(("", "/versions/1", "/versions/0", "/versions/" + "9" * random.choice((1, 19, 20, 5000))))
    label = random.choice(("", "", f"/labels/{random.choice(NAMES)}", "/labels/stable"))
    end = random.choice(
        (":predict", ":classify", ":regress", ":PREDICT", ":", "/metadata", "", ":nothing", "/", "?a=b")
    )
    path = f"/v1/models/{name}{version}{label}{end}"
    if random.random() < 0.2:
        path = "/v1/" + _damaged(random, path.encode()[4:]).decode("latin-1")
    path = "".join(letter if 32 < ord(letter) < 127 else f"%{ord(letter) % 256:02x}" for letter in path)
    method = random.choice(("GET", "POST"))
    # A body that no model of these takes: the path alone decides between the others.
    http = _Http(method, path, b'{"instances": {}}' if method == "POST" else b"")
    return _rest("path", http, "200", "400", "404")


def _head(random: Random) -> Sent:
    """Methods and headers that nobody sends; what is no HTTP is refused as such, in plain text."""
    path, document = random.choice(REST_VALID)
    body = json.dumps(document).encode()
    value = random.choice(
        (
            "",
            "x",
            "é",
            "1" * 9000,
            "100-continue",
            "gzip;q=0",
            "h2c",
            "[::1",
            "\x01",
            "junk; chunk=0",
            "s; chunk=x; end",
        )
    )
    name = random.choice(
        (
            "Host",
            "Content-Type",
            "Accept",
            "Expect",
            "Upgrade",
            "Connection",
            "X-Seqship-Session",
            "Cookie",
            "\x00",
            "Range",
        )
    )
    http = _Http(random.choice(METHODS), path, body, ((name, value), ("Connection", "Upgrade, close")))
    return _rest("head", http, "200", "400", "404", "closed", is_json=False)


def _framing(random: Random) -> Sent:
    """Bodies that are not as long as they say, chunks that are none, and bytes that are no HTTP."""
    path, document = random.choice(REST_VALID)
    body = json.dumps(document).encode()
    choice = random.random()
    if choice < 0.3:
        length = random.choice(
            ("-1", "x", "0", "1", str(len(body) + 5), "9" * 30, "18446744073709551616", " 5", "5, 6")
        )
        http = _Http(path=path, body=body, length=length, ends=True)
    elif choice < 0.6:
        chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        http = _Http(raw=head + (_damaged(random, chunk) if random.random() < 0.8 else chunk), ends=True)
    elif choice < 0.8:
        http = _Http(raw=_damaged(random, _Http(path=path, body=body).data()), ends=True)
    else:
        http = _Http(raw=random.randbytes(random.choice((1, 40, 5000))), ends=True)
    return _rest("framing", http, "200", "400", "404", "413", "closed", is_json=False)


# --- gRPC.


def _call(kind: str, path: str, data: bytes, *more: str, options: Mapping[str, Any] | None = None) -> Sent:
    def send(server: Served, channel: Any) -> tuple[str, bytes]:
        try:
            return "OK", channel.unary_unary(path)(data, **({"timeout": 60} | dict(options or {})))
        except grpc.RpcError as error:
            failed: Any = error
            return failed.code().name, (failed.details() or "").encode("utf-8", "replace")

    allowed = frozenset({"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", *more})
    return Sent(f"grpc {kind}", send, allowed, f"{path} {data[:200]!r} {options or ''}")


def _requests() -> list[tuple[str, Proto]]:
    """Valid requests, with the names of their methods."""
    methods = SERVICES[PREDICTION_SERVICE]
    made: list[tuple[str, Proto]] = []
    tensors: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("classifier", "", {"signal": SIGNAL}),
        ("stepwise", "serving_default", {"signal": SIGNAL}),
        ("texts", "", {"tokens": np.array([[2, 3]], np.int32)}),
        ("texts", "serving_text", {"text": np.array([b"good film"], object)}),
        ("two_inputs", "", {"tokens": np.array([[1, 2]], np.int32), "valid": np.array([[True, False]])}),
        (
            "stateful",
            "stream",
            {"signal": SIGNAL} | {f"state/memory/{one}": np.zeros((1, 3), np.float32) for one in "hc"},
        ),
    )
    for model, signature, inputs in tensors:
        request = methods["Predict"].request()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(to_tensor_proto(value, content=len(made) % 2 == 0 and value.dtype != object))
        made.append(("Predict", request))
    for name, model in (("Classify", "classifier"), ("Regress", "unmasked")):
        request = methods[name].request()
        request.model_spec.name, request.model_spec.signature_name = model, "tf_example"
        request.input.example_list.examples.add().MergeFromString(
            to_example({"signal": [0.5, 1.0]}).SerializeToString()
        )
        made.append((name, request))
    request = methods["MultiInference"].request()
    task = request.tasks.add(method_name=CLASSIFY)
    task.model_spec.name, task.model_spec.signature_name = "classifier", "tf_example"
    request.input.example_list.examples.add().MergeFromString(to_example({"signal": [0.5, 1.0]}).SerializeToString())
    made.append(("MultiInference", request))
    request = methods["GetModelMetadata"].request(metadata_field=["signature_def"])
    request.model_spec.name = "classifier"
    made.append(("GetModelMetadata", request))
    return made


def _grpc_valid() -> list[Sent]:
    methods = SERVICES[PREDICTION_SERVICE]
    # A map's entries go in any order: what they are made of is compared in the order of a deterministic message.
    calls = [_call("valid", methods[name].path, request.SerializeToString()) for name, request in _requests()]
    return [Sent(one.kind, one.send, frozenset({"OK"}), one.shown) for one in calls[:1] + calls[3:4] + calls[6:9]]


def _message(random: Random) -> Sent:
    """A request that parses, and says something else than it should."""
    name, request = random.choice(_requests())
    for _ in range(random.choice((1, 1, 2, 4))):
        _change(random, request)
    return _call("message", SERVICES[PREDICTION_SERVICE][name].path, request.SerializeToString(), "UNIMPLEMENTED")


def _change(random: Random, request: Proto) -> None:
    specs = [request.model_spec] if hasattr(request, "model_spec") else [task.model_spec for task in request.tasks]
    choice = random.random()
    if choice < 0.25 and specs:
        spec = specs[0]
        change = random.randrange(4)
        if change == 0:
            spec.name = random.choice((*MODELS, *NAMES))
        elif change == 1:
            spec.signature_name = random.choice(NAMES)
        elif change == 2:
            spec.version.value = random.choice((0, 1, -1, 2**63 - 1))
        else:
            spec.version_label = random.choice((*NAMES, "stable"))
    elif hasattr(request, "inputs") and request.inputs:
        key = random.choice(sorted(request.inputs))
        if choice < 0.35:
            request.inputs[random.choice((*NAMES, "signal", "inputs"))].CopyFrom(request.inputs[key])
        elif choice < 0.42:
            del request.inputs[key]
        elif choice < 0.5:
            request.output_filter.append(random.choice((*NAMES, "scores")))
        else:
            _change_tensor(random, request.inputs[key])
    elif hasattr(request, "input"):
        _change_examples(random, request.input)
    elif hasattr(request, "metadata_field"):
        request.metadata_field.append(random.choice(NAMES))
    if hasattr(request, "tasks") and random.random() < 0.3:
        request.tasks.add(method_name=random.choice(NAMES)).model_spec.name = random.choice((*MODELS, *NAMES))


def _change_tensor(random: Random, tensor: Proto) -> None:
    change = random.randrange(7)
    if change == 0:
        tensor.dtype = random.choice((*DATA_TYPES.values(), 0, 8, 14, 20, 23, 101, 2**31 - 1))
    elif change == 1:
        sizes = (0, 1, 2, 3, -1, 2**31, 2**62, -(2**63), 1000, 10**6)
        tensor.tensor_shape.dim.add(size=random.choice(sizes))
        tensor.tensor_shape.dim[random.randrange(len(tensor.tensor_shape.dim))].size = random.choice(sizes)
    elif change == 2:
        for _ in range(random.choice((1, 5, 40, 300))):
            tensor.tensor_shape.dim.add(size=1)
    elif change == 3:
        tensor.tensor_content = _damaged(random, tensor.tensor_content or b"\0" * 8)
    elif change == 4:
        tensor.float_val.extend([random.choice((0.5, float("nan"), float("inf")))] * random.choice((1, 4, 1000)))
        tensor.int_val.extend([random.choice((0, -1, 5, 2**31 - 1))] * random.choice((1, 2)))
    elif change == 5:
        tensor.string_val.append(
            random.choice((b"", b"\xff", to_example({"signal": [1.0]}).SerializeToString(), b"x" * 70))
        )
    else:
        tensor.tensor_shape.unknown_rank = True


def _change_examples(random: Random, given: Proto) -> None:
    change = random.randrange(4)
    if change == 0:
        given.Clear()
    elif change == 1:
        given.example_list_with_context.context.features.feature["signal"].int64_list.value.append(1)
        given.example_list_with_context.examples.add()
    else:
        feature = given.example_list.examples.add().features.feature[random.choice(("signal", "x", ""))]
        if change == 2:
            feature.bytes_list.value.append(random.choice((b"", b"\xff" * 9)))
        else:
            feature.float_list.value.extend([random.choice((1.0, float("nan")))] * random.choice((0, 1, 3, 10_000)))


def _bytes(random: Random) -> Sent:
    """Bytes that are almost a request, or none at all."""
    name, request = random.choice(_requests())
    data = _damaged(random, request.SerializeToString()) if random.random() < 0.7 else random.randbytes(200)
    return _call("bytes", SERVICES[PREDICTION_SERVICE][name].path, data, "UNIMPLEMENTED")


def _method(random: Random) -> Sent:
    """Other methods, headers and deadlines."""
    _, request = _requests()[0]
    data = random.choice((b"", random.randbytes(40), request.SerializeToString(), struct.pack("<Q", 10)))
    choice = random.randrange(4)
    if choice == 0:
        path = random.choice(("/x/y", f"/{PREDICTION_SERVICE}/SessionRun", "/", f"/{PREDICTION_SERVICE}/", "/é"))
        return _call("method", path, data, "UNIMPLEMENTED")
    if choice == 1:
        method = SERVICES[MODEL_SERVICE][random.choice(("GetModelStatus", "HandleReloadConfigRequest"))]
        return _call("method", method.path, data)
    if choice == 2:
        return _call("method", SERVICES[HEALTH]["Check"].path, data)
    metadata = (("x-seqship-session", random.choice(("", "x", "s; chunk=0", "s; chunk=5", "s; chunk=-1", "é"[:0]))),)
    path, timeout = SERVICES[PREDICTION_SERVICE]["Predict"].path, random.choice((1e-6, 1e-3, 60, 1e9))
    return _call(
        "method", path, data, "DEADLINE_EXCEEDED", "UNIMPLEMENTED", options={"timeout": timeout, "metadata": metadata}
    )


_KINDS: tuple[Callable[[Random], Sent], ...] = (
    *(_document, _document, _text, _packed, _path, _head, _framing),
    *(_message, _message, _message, _bytes, _method),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ships the models, starts a server and sends the requests; the exit code is 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.serving.server.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the one request to send")
    parser.add_argument("--models", type=Path, help="a models.config that is there already")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        config = given.models or _ship_models(folder)
        with served(folder / "log", [f"--model_config_file={config}", *ARGUMENTS]) as server:
            if given.only is not None:
                one = make(given.seed, given.only)
                with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
                    print(one.kind, one.shown, *one.send(server, channel), sep="\n")
                print(server.log.read_text())
                return 0
            seen = run(server, given.requests, given.seed, rss_at=range(0, given.requests, 2000))
            code = server.stop()
            said = server.log.read_text()
    for (kind, status), count in sorted(seen.answers.items()):
        print(f"{kind:14} {status:20} {count:6}")
    print("resident MB:", {number: round(size, 1) for number, size in seen.rss.items()}, "; exit code", code)
    print(*seen.wrong[:50], sep="\n")
    print(f"{len(seen.wrong)} wrong of {given.requests}; {said.count('Traceback')} tracebacks in the log")
    return 1 if seen.wrong or code or "Traceback" in said else 0


def _ship_models(folder: Path) -> Path:
    from seqship.export import ship
    from seqship.models.flavour import load_flavour
    from tests.few_cases import few_cases
    from tests.serving.server.models import MODELS as MADE
    from tests.serving.server.models import weighted

    entries: list[str] = []
    with few_cases((2,), (5,)):
        for name, (make_layers, options) in MADE.items():
            layers = make_layers()
            model = load_flavour(3).keras.Sequential(layers) if isinstance(layers, list) else layers
            ship(weighted(model), folder / "bundle", name=name, **options)
            (folder / name).mkdir()
            shutil.move(folder / "bundle", folder / name / "1")
            label = 'version_labels { key: "stable" value: 1 }' if name == "classifier" else ""
            entries.append(
                f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" {label} }}'
            )
    file = folder / "models.config"
    file.write_text("model_config_list {\n" + "\n".join(entries) + "\n}\n")
    return file


if __name__ == "__main__":
    sys.exit(main())
