"""The client against a real server, over REST and gRPC alike."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from seqship.errors import DataError, RejectedError
from seqship.pipelines.spec import Field
from seqship.serving import Client, Predictor
from seqship.wire.signature_names import CLASSIFY
from tests.serving.server.process import Served, served

SEQUENCES = [[[0.5, -0.25], [1.0, 2.0]], [[0.0, 1.0]]]
SIGNAL = np.array(SEQUENCES[:1], np.float32)


@pytest.fixture(scope="module")
def expected(bundles: Mapping[str, Path]) -> NDArray[Any]:
    """What the runtime gives for SEQUENCES."""
    return Predictor(bundles["classifier"]).predict(SEQUENCES).outputs["scores"]


def test_predict(client: Client, expected: NDArray[Any]) -> None:
    answer = client.predict(SEQUENCES, pad_value=-1.0)
    assert list(answer) == ["scores"]
    assert answer["scores"].dtype == np.float32
    assert np.array_equal(answer["scores"], expected)
    one = client.predict({"signal": SIGNAL.astype(np.float64)}, outputs=["scores"])["scores"]
    np.testing.assert_allclose(one, expected[:1], atol=1e-6)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays.arrays(np.float32, (2, 3, 2), elements={"min_value": -4, "max_value": 4}))
def test_rest_and_grpc_answer_with_the_same_bits(server: Served, signal: NDArray[np.float32]) -> None:
    answers: list[bytes] = []
    for address in (server.url, f"grpc://127.0.0.1:{server.grpc_port}"):
        with Client(address, model="unmasked") as client:
            answers.append(client.predict(signal)["value"].tobytes())
    assert answers[0] == answers[1]


def test_several_inputs_and_outputs(address: str) -> None:
    with Client(address, model="two_inputs") as client:
        inputs = {"tokens": [[1, 2, 3]], "valid": np.array([[True, False, True]])}
        whole = client.predict(inputs)
        assert {name: value.shape for name, value in whole.items()} == {"last": (1, 2), "steps": (1, 3, 3)}
        last = client.predict(inputs, outputs="last")
        assert list(last) == ["last"]
        assert np.array_equal(last["last"], whole["last"])
        said = r"^the signature 'serving_default' takes tokens, valid: 'valid' is missing$"
        with pytest.raises(DataError, match=said):
            client.predict({"tokens": [[1]]})


def test_texts_and_bytes(address: str, bundles: Mapping[str, Path]) -> None:
    with Client(address, model="texts") as client:
        answer = client.predict(["Good film!", b"\xff bad"], signature="serving_text")["score"]
        assert np.array_equal(answer, Predictor(bundles["texts"]).predict(["Good film!", b"\xff bad"]).outputs["score"])


def test_states_are_handed_on(address: str) -> None:
    with Client(address, model="stateful") as client:
        whole = client.predict(SIGNAL)["memory"]
        states: dict[str, Any] = {f"state/memory/{part}": np.zeros((1, 3)) for part in "hc"}
        answer: dict[str, Any] = {}
        for step in range(2):
            answer = client.predict({"signal": SIGNAL[:, step : step + 1], **states}, signature="stream")
            states = {name: answer[f"{name}_out"] for name in states}
        np.testing.assert_allclose(answer["memory"], whole, atol=1e-6)


def test_a_streaming_session(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    """The server keeps the states; the session's name is a header of each call."""
    base = tmp_path / "base"
    shutil.copytree(bundles["stateful"], base / "1")
    arguments = ["--model_name=m", f"--model_base_path={base}", "--max_streaming_sessions=4"]
    with served(tmp_path / "log", arguments) as one:
        for address in (one.url, f"grpc://127.0.0.1:{one.grpc_port}"):
            with Client(address, model="m") as client:
                whole = client.predict(SIGNAL)["memory"]
                answer: dict[str, Any] = {}
                for step in range(2):
                    headers = {"x-seqship-session": f"bed-7; chunk={step}"}
                    answer = client.predict(SIGNAL[:, step : step + 1], signature="stream", headers=headers)
                np.testing.assert_allclose(answer["memory"], whole, atol=1e-6)
                assert not np.allclose(client.predict(SIGNAL[:, 1:])["memory"], whole, atol=1e-3)


def test_classify(client: Client, expected: NDArray[Any]) -> None:
    first, second = ({"signal": np.ravel(one)} for one in SEQUENCES)
    (one, other) = client.classify([first, second])
    assert [label for label, _ in one] == ["calm", "fast", "slow"]
    assert np.array_equal(np.array([[score for _, score in row] for row in (one, other)], np.float32), expected)
    assert client.classify([{}, second], context=first, signature="tf_example") == [one, other]
    with pytest.raises(RejectedError, match="Data type: string but expected type: float") as caught:
        client.classify([{"signal": "a"}])
    assert caught.value.code == "INVALID_ARGUMENT"


def test_regress(address: str) -> None:
    with Client(address, model="unmasked") as client:
        made = client.regress([{"signal": SIGNAL.ravel().tolist()}])
        assert (made.dtype, made.tolist()) == (np.float32, client.predict(SIGNAL)["value"][:, 0].tolist())
    with Client(address, model="classifier") as client, pytest.raises(RejectedError, match="Expected regression"):
        client.regress([{"signal": [0.5, 1.0]}])


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([], "examples is empty; give at least one"),
        ({"signal": [1.0]}, "examples are a list with a mapping of features for each example"),
        ([{"signal": [1j]}], "feature 'signal' holds complex128; a tf.Example holds numbers, bool and strings"),
    ],
)
def test_examples_that_are_none(client: Client, examples: Any, said: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(said)}$"):
        client.classify(examples)


def test_metadata(client: Client) -> None:
    metadata = client.metadata()
    assert (metadata.model, metadata.version, sorted(metadata.signatures)) == (
        "classifier",
        1,
        ["serving_default", "tf_example"],
    )
    default = metadata.signatures["serving_default"]
    assert default.inputs == (Field("signal", "float32", ("batch", "time", 2)),)
    assert default.outputs == (Field("scores", "float32", ("batch", 3)),)
    assert metadata.signatures["tf_example"].method == CLASSIFY


def test_status(address: str, client: Client) -> None:
    (one,) = client.status()
    assert (one.version, one.state, one.error_code, one.error_message) == (1, "AVAILABLE", "OK", "")
    assert client.ready()
    with Client(address, model="nobody") as other:
        assert not other.ready()
        said = (
            "status of 'nobody' at .* failed with NOT_FOUND: Could not find any versions of model nobody; is the model"
        )
        with pytest.raises(RejectedError, match=said) as caught:
            other.status()
        assert (caught.value.code, caught.value.http_status) == ("NOT_FOUND", 404 if "http" in address else None)


@pytest.mark.parametrize("chosen", [{"version": 1}, {"label": "stable"}])
def test_a_version_or_a_label(address: str, expected: NDArray[Any], chosen: dict[str, Any]) -> None:
    with Client(address, model="classifier", **chosen) as client:
        assert np.array_equal(client.predict(SEQUENCES, pad_value=-1)["scores"], expected)
        assert [one.version for one in client.status()] == [1]
        assert client.ready()


@pytest.mark.parametrize(
    ("chosen", "code", "said"),
    [
        ({"version": 7}, "NOT_FOUND", "Servable not found for request: Specific(classifier, 7)"),
        ({"label": "next"}, "INVALID_ARGUMENT", "Unrecognized servable version label: next"),
    ],
)
def test_versions_that_are_not_there(address: str, chosen: dict[str, Any], code: str, said: str) -> None:
    with (
        Client(address, model="classifier", **chosen) as client,
        pytest.raises(RejectedError, match=re.escape(said)) as caught,
    ):
        client.predict(SIGNAL)
    assert caught.value.code == code


def test_a_whole_url(server: Served, expected: NDArray[Any]) -> None:
    with Client(f"{server.url}/v1/models/classifier/labels/stable") as client:
        assert np.array_equal(client.predict(SEQUENCES, pad_value=-1)["scores"], expected)


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        (
            SIGNAL,
            {"signature": "x"},
            "the model 'classifier' has no signature 'x'; it has: serving_default, tf_example",
        ),
        (SIGNAL, {"outputs": ["x"]}, "the signature 'serving_default' has no output 'x'; it has: scores"),
        ({"x": SIGNAL}, {}, "takes signal: 'signal' is missing, 'x' is not one of them"),
        (SIGNAL[0], {}, "takes the shape (?, ?, 2), got (2, 2)"),
        ([[["a", "b"]]], {}, "input 'signal' of the signature 'serving_default' takes float32, got str"),
        (SEQUENCES, {}, "give pad_value=, as the bundle's contract has it"),
        (SIGNAL, {"timeout": 0}, "timeout must be above 0, met 0"),
        (SIGNAL, {"headers": {"a b": "c"}}, "the header 'a b' cannot be sent"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    inputs: Any, options: dict[str, Any], said: str, client: Client
) -> None:
    client.metadata()
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        client.predict(inputs, **options)
    assert "\n" not in str(caught.value)


def test_what_json_cannot_say(server: Served) -> None:
    empty = np.zeros((0, 3, 2), np.float32)
    with (
        Client(server.url, model="classifier") as client,
        pytest.raises(DataError, match=r"^input 'signal' has shape \(0, 3, 2\), which JSON cannot say; use grpc://"),
    ):
        client.predict(empty)
    with Client(f"grpc://127.0.0.1:{server.grpc_port}", model="classifier") as client:
        assert client.predict(empty)["scores"].shape == (0, 3)


def test_what_the_server_refuses_is_told_in_its_words(client: Client, address: str) -> None:
    said = (
        f"^predict of 'classifier' at {address} failed with INVALID_ARGUMENT: Input signal holds nan in row 0; values"
    )
    with pytest.raises(RejectedError, match=said) as caught:
        client.predict(np.full((1, 1, 2), np.nan))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout": 0}, "timeout must be above 0 and retries 0 or more, met 0 and 2"),
        ({"timeout": float("nan")}, "timeout must be above 0 and retries 0 or more, met nan and 2"),
        ({"retries": -1}, "timeout must be above 0 and retries 0 or more, met 30.0 and -1"),
        ({"ca": "/x"}, "cannot read /x: no such file or directory"),
        ({"certificate": "/x"}, "certificate= and key= belong together; give both"),
        ({"headers": {"a": "b\n"}}, "the header 'a' cannot be sent"),
        ({"headers": {"a-bin": "b"}}, "the header 'a-bin' cannot be sent"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        Client("grpc://localhost", model="m", **options)


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----")
    (tmp_path / "no").write_text("certificate")
    with pytest.raises(DataError, match=r"^ca=, certificate= and key= are for https:// and grpcs://, not http://h$"):
        Client("http://h", model="m", ca=tmp_path / "ca")
    with pytest.raises(DataError, match=r"no holds no certificate or key in PEM; convert it with openssl$"):
        Client("https://h", model="m", ca=tmp_path / "no")
    with pytest.raises(DataError, match=r"^transport= is for http:// and https://, and brings its own certificates$"):
        Client("grpc://h", model="m", transport=httpx.HTTPTransport())


def test_a_client_that_is_closed(address: str) -> None:
    client = Client(address, model="classifier")
    client.close()
    client.close()
    with pytest.raises(DataError, match=r"^the client of .* is closed; make a new one$"):
        client.predict(SIGNAL)


def test_threads_share_a_client(client: Client) -> None:
    random = np.random.default_rng(5)
    signals = [random.normal(size=(1, 4, 2)).astype(np.float32) for _ in range(40)]
    alone = [client.predict(one)["scores"].tolist() for one in signals]
    client._known = None
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(client.predict, one) for one in signals]
        assert [one.result()["scores"].tolist() for one in futures] == alone


def test_headers_reach_the_server() -> None:
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json={"model_version_status": [{"version": "3", "state": "LOADING"}]})

    with Client(
        "http://h", model="m", headers={"Authorization": "Bearer a", "x": "1"}, transport=httpx.MockTransport(answer)
    ) as client:
        (one,) = client.status(headers={"X": "2"})
    assert (one.version, one.state) == (3, "LOADING")
    assert (seen[0]["authorization"], seen[0]["x"], seen[0]["user-agent"]) == ("Bearer a", "2", "seqship")


def test_another_version_has_another_signature(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    """What the client knew of the model is asked for again where it no longer holds."""
    base = tmp_path / "base"
    shutil.copytree(bundles["classifier"], base / "1")
    arguments = ["--model_name=m", f"--model_base_path={base}", "--file_system_poll_wait_seconds=1"]
    with served(tmp_path / "log", arguments) as one:
        clients = [Client(one.url, model="m"), Client(f"grpc://127.0.0.1:{one.grpc_port}", model="m")]
        for client in clients:
            assert client.predict(SIGNAL)["scores"].shape == (1, 3)
        shutil.copytree(bundles["two_inputs"], tmp_path / "next")
        (tmp_path / "next").rename(base / "2")
        watcher, ended = clients[0], threading.Event()
        while not any(one.version == 2 and one.state == "AVAILABLE" for one in watcher.status()):
            ended.wait(0.05)
        while any(one.version == 1 and one.state != "END" for one in watcher.status()):
            ended.wait(0.05)
        for client in clients:
            answer = client.predict({"tokens": [[1, 2]], "valid": [[True, True]]})
            assert sorted(answer) == ["last", "steps"]
            client.close()


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Block())
from seqship.errors import SeqshipError
from seqship.serving import Client
try:
    for address in sys.argv[1:]:
        print(Client(address, model="classifier").predict([[[0.5, -0.25]]])["scores"].shape)
except SeqshipError as error:
    print(type(error).__name__, error)
"""


def run_client(blocked: tuple[str, ...], *addresses: str) -> str:
    code = BLOCKED.format(blocked=blocked)
    made = subprocess.run([sys.executable, "-c", code, *addresses], capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_a_client_needs_no_tensorflow_and_no_runtime(server: Served) -> None:
    blocked = ("tensorflow", "keras", "tf_keras", "onnx", "onnxruntime", "typer", "rich", "starlette", "uvicorn")
    rest, remote = server.url, f"grpc://127.0.0.1:{server.grpc_port}"
    assert run_client((*blocked, "grpc"), rest) == "(1, 3)\n"
    assert run_client((*blocked, "httpx"), remote) == "(1, 3)\n"


def test_no_proxy_leads_to_this_machine(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "grpc_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    addresses = (server.url, f"grpc://127.0.0.1:{server.grpc_port}")
    assert run_client((), *addresses) == "(1, 3)\n(1, 3)\n"


@pytest.mark.parametrize(
    ("blocked", "address", "package"),
    [("httpx", "http://h", "httpx"), ("grpc", "grpc://h", "grpcio"), ("google", "http://h", "protobuf")],
)
def test_a_package_that_is_missing_is_told(blocked: str, address: str, package: str) -> None:
    said = f"DependencyError the client needs the package {package}; run: pip install 'seqship[client]'\n"
    assert run_client((blocked,), address) == said
