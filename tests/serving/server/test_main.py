"""A server from its start to its end, in a process of its own."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from seqship.serving.server import ServerOptions, run_server, serve
from seqship.serving.server.main import Ports
from seqship.serving.server.options import AUTO
from seqship.wire.messages import ModelConfig, ModelSpec
from seqship.wire.services import MODEL_SERVICE, PREDICTION_SERVICE, SERVICES, Method
from seqship.wire.tensors import from_tensor_proto, to_tensor_proto
from tests.serving.server.process import Served, served

PREDICT = SERVICES[PREDICTION_SERVICE]["Predict"]
SIGNAL = np.array([[[0.5, -0.25], [1.0, 2.0]]], np.float32)
BODY = {"instances": SIGNAL.tolist()}


def ask(channel: Any, method: Method, request: Any) -> Any:
    path = method.path
    return channel.unary_unary(path, method.request.SerializeToString, method.response.FromString)(request, timeout=30)


def predict_request(name: str = "m") -> Any:
    request = PREDICT.request()
    request.model_spec.name = name
    request.inputs["signal"].CopyFrom(to_tensor_proto(SIGNAL))
    return request


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def base(bundles: Mapping[str, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    shutil.copytree(bundles["classifier"], folder / "1")
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number: int, base: Path, tmp_path: Path) -> None:
    with served(tmp_path / "log", ["--model_name=m", f"--model_base_path={base}"]) as one:
        assert one.post("/v1/models/m:predict", BODY).status_code == 200
        assert one.stop(number) == 0
    said = one.log.read_text()
    assert "Successfully loaded servable version {name: m version: 1}" in said
    assert "Done unloading servable version {name: m version: 1}" in said


def test_requests_under_way_are_answered_before_it_ends(base: Path, tmp_path: Path) -> None:
    parameters = tmp_path / "batching.config"
    # A request waits for seconds: it is under way when the signal comes.
    parameters.write_text("batch_timeout_micros { value: 3000000 }")
    # Its warm-up would wait as long for every request.
    arguments = ["--model_name=m", f"--model_base_path={base}", "--enable_batching=true", "--enable_model_warmup=false"]
    with served(tmp_path / "log", [*arguments, f"--batching_parameters_file={parameters}"]) as one:
        answers: list[Any] = []

        def rest() -> None:
            answers.append(one.post("/v1/models/m:predict", BODY).status_code)

        def remote() -> None:
            with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as channel:
                answers.append(len(ask(channel, PREDICT, predict_request()).outputs))

        threads = [threading.Thread(target=rest), threading.Thread(target=remote)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        assert one.stop() == 0
        for thread in threads:
            thread.join(30)
        assert sorted(answers) == [1, 200]
        with pytest.raises(httpx.ConnectError):
            one.get("/livez")


@pytest.mark.parametrize("timeout", [None, 1e9, 30.0])
def test_any_deadline_with_batching(timeout: float | None, base: Path, tmp_path: Path) -> None:
    with (
        served(tmp_path / "log", ["--model_name=m", f"--model_base_path={base}", "--enable_batching=true"]) as one,
        grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as channel,
    ):
        method = channel.unary_unary(PREDICT.path, PREDICT.request.SerializeToString, PREDICT.response.FromString)
        assert list(method(predict_request(), timeout=timeout).outputs) == ["scores"]


def test_a_new_version_is_served_and_a_broken_one_is_not(
    base: Path, bundles: Mapping[str, Path], tmp_path: Path
) -> None:
    arguments = ["--model_name=m", f"--model_base_path={base}", "--file_system_poll_wait_seconds=1"]
    arguments += ["--max_num_load_retries=0", "--log_format=json"]
    with served(tmp_path / "log", arguments) as one:

        def states() -> dict[str, str]:
            document = one.get("/v1/models/m").json()
            return {entry["version"]: entry["state"] for entry in document["model_version_status"]}

        broken = tmp_path / "broken"
        shutil.copytree(bundles["classifier"], broken)
        (broken / "model.onnx").write_bytes(b"damaged")
        broken.rename(base / "2")
        until(lambda: states().get("2") == "END")
        (entry, _) = one.get("/v1/models/m").json()["model_version_status"]
        assert entry["status"]["error_code"] == "FAILED_PRECONDITION"
        assert "model.onnx has changed" in entry["status"]["error_message"]
        assert one.post("/v1/models/m:predict", BODY).status_code == 200
        shutil.copytree(bundles["classifier"], base / "3")
        until(lambda: states() == {"3": "AVAILABLE", "2": "END", "1": "END"})
        assert one.post("/v1/models/m/versions/3:predict", BODY).status_code == 200
        entries = [json.loads(line) for line in one.log.read_text().splitlines()]
    assert {"info", "warning"} == {entry["level"] for entry in entries}


def test_links_out_of_the_base_path_are_refused(
    base: Path, bundles: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linked, secret = tmp_path / "linked", tmp_path / "secret"
    secret.write_text("not to be served")
    linked.mkdir()
    (linked / "1").symlink_to(bundles["classifier"])
    arguments = ["--model_name=m", f"--model_base_path={linked}", "--max_num_load_retries=0"]
    assert serve([*arguments, "--port=auto"]) == 1
    said = capsys.readouterr().err
    assert f"{linked / '1'} is a link to {bundles['classifier']}, outside of the base path {linked}" in said
    assert "add --follow_links_out_of_base_path=true" in said
    with served(tmp_path / "log", [*arguments, "--follow_links_out_of_base_path=true"]) as one:
        assert one.post("/v1/models/m:predict", BODY).status_code == 200
    # A link within the base path is how volumes are made; one in a bundle that leads out is as bad as a whole version.
    (base / "2").symlink_to(base / "1")
    (base / "entry").symlink_to(base)
    (base / "1" / "notes.txt").symlink_to(secret)
    assert serve(["--model_name=m", f"--model_base_path={base}", "--port=auto", "--max_num_load_retries=0"]) == 1
    assert f"notes.txt is a link to {secret}" in capsys.readouterr().err
    (base / "1" / "notes.txt").unlink()
    with served(tmp_path / "log2", ["--model_name=m", f"--model_base_path={base / 'entry'}"]) as one:
        assert one.post("/v1/models/m/versions/2:predict", BODY).status_code == 200


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2Fetc%2Fpasswd", "m%00", "m%2f1", "....//", "~", "m%0a"]
)
def test_names_and_labels_never_become_paths(name: str, server: Served) -> None:
    for path in (f"{name}:predict", f"classifier/labels/{name}:predict", f"{name}/versions/1:predict"):
        # A raw socket: clients take dots out of a path before they send it.
        with socket.create_connection(("127.0.0.1", server.rest_port)) as raw:
            head = f"POST /v1/models/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
            raw.sendall(head.encode() + b"{}")
            answer = b"".join(iter(lambda: raw.recv(65536), b"")).decode()
        assert answer.split()[1] in ("400", "404"), answer
        assert "root:" not in answer and "Traceback" not in answer


def test_the_configuration_file_is_read_again(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.config"

    def write(*names: str) -> None:
        entries = (f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" }}' for name in names)
        file.write_text(f"model_config_list {{ {' '.join(entries)} }}")

    write("a")
    arguments = [f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1"]
    with served(tmp_path / "log", arguments) as one:
        assert one.get("/v1/models/b").status_code == 404
        file.write_text("no configuration")
        until(lambda: "Reloading config failed" in one.log.read_text())
        write("a", "b")
        until(lambda: one.get("/v1/models/b").status_code == 200)
        assert one.get("/v1/models/a").json()["model_version_status"][0]["state"] == "AVAILABLE"


def test_a_configuration_is_reloaded_by_request(base: Path, tmp_path: Path) -> None:
    with served(tmp_path / "log", ["--model_name=m", f"--model_base_path={base}"]) as one:
        reload = SERVICES[MODEL_SERVICE]["HandleReloadConfigRequest"]
        with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as channel:
            request = reload.request()
            models = request.config.model_config_list.config
            for name in ("m", "n"):
                models.append(ModelConfig(name=name, base_path=str(base), model_platform="tensorflow"))
            models[1].version_labels["next"] = 1
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, reload, request)
            error: Any = caught.value
            # The version of a new model is not there yet when its labels are looked at.
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
            models[1].version_labels.clear()
            assert ask(channel, reload, request).status.error_code == 0
            models[1].version_labels["next"] = 1
            ask(channel, reload, request)
            asked = predict_request("n")
            asked.model_spec.CopyFrom(ModelSpec(name="n", version_label="next"))
            assert ask(channel, PREDICT, asked).model_spec.version.value == 1
            models[1].base_path = str(tmp_path / "nowhere")
            models[1].name = "gone"
            models[1].version_labels.clear()
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, reload, request)
            error = caught.value
            assert error.code() is grpc.StatusCode.NOT_FOUND
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, reload, reload.request())
            error = caught.value
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def certificates(folder: Path) -> dict[str, str]:
    """An authority, and what it signed for the server and for a client, by openssl."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=authority", "-days", "2"),
        *("-keyout", "ca.key", "-out", "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE"),
    )
    (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", "ext", "-out", f"{name}.pem"),
        )
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix in (".key", ".pem")}


def test_mutual_tls(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    pems = certificates(folder)
    config = tmp_path / "ssl.config"
    fields = {"server_key": "server.key", "server_cert": "server.pem", "custom_ca": "ca.pem"}
    lines = [f"{field}: {json.dumps(pems[name])}" for field, name in fields.items()]
    config.write_text("\n".join([*lines, "client_verify: true"]))
    arguments = ["--model_name=m", f"--model_base_path={base}", f"--ssl_config_file={config}", "--rest_api_ssl=true"]
    with served(tmp_path / "log", arguments) as one:
        address, authority = f"localhost:{one.grpc_port}", pems["ca.pem"].encode()
        known = grpc.ssl_channel_credentials(authority, pems["client.key"].encode(), pems["client.pem"].encode())
        with grpc.secure_channel(address, known) as channel:
            assert list(ask(channel, PREDICT, predict_request()).outputs) == ["scores"]
        with (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(authority)) as channel,
            pytest.raises(grpc.RpcError),
        ):
            ask(channel, PREDICT, predict_request())
        url = f"https://localhost:{one.rest_port}/v1/models/m"
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        with pytest.raises(httpx.TransportError):
            httpx.get(url, verify=context)
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
        assert httpx.get(url, verify=context).status_code == 200


def test_a_unix_socket(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    arguments = ["--port=0", "--rest_api_port=auto", f"--grpc_socket_path={path}", "--model_name=m"]
    with (
        served(tmp_path / "log", [*arguments, f"--model_base_path={base}"], ports=False),
        grpc.insecure_channel(f"unix:{path}") as channel,
    ):
        assert list(ask(channel, PREDICT, predict_request()).outputs) == ["scores"]


def test_limits_of_the_rest_api(base: Path, tmp_path: Path) -> None:
    arguments = ["--model_name=m", f"--model_base_path={base}", "--rest_api_max_body_bytes=1000"]
    with served(tmp_path / "log", [*arguments, "--rest_api_enable_cors_support=true"]) as one:
        response = one.post("/v1/models/m:predict", {"instances": [[[1.0, 2.0]] * 500]})
        assert response.status_code == 413
        assert response.json()["error"] == (
            "The request's body is larger than 1000 bytes; raise --rest_api_max_body_bytes"
        )
        body = gzip.compress(json.dumps({"instances": [[[1.0, 2.0]] * 500]}).encode())
        assert len(body) < 1000
        assert one.post("/v1/models/m:predict", body, headers={"content-encoding": "gzip"}).status_code == 413
        response = one.post("/v1/models/m:predict", BODY)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "*")
        assert httpx.options(one.url + "/v1/models/m:predict").status_code == 200
        assert one.get("/monitoring/prometheus/metrics").status_code == 404


def test_typed_fields_or_raw_bytes(base: Path, tmp_path: Path) -> None:
    arguments = ["--model_name=m", f"--model_base_path={base}", "--enable_serialization_as_tensor_content=true"]
    with (
        served(tmp_path / "log", arguments) as one,
        grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as channel,
    ):
        scores = ask(channel, PREDICT, predict_request()).outputs["scores"]
        assert len(scores.tensor_content) == 12
        document = one.post("/v1/models/m:predict", BODY).json()
        assert np.float32(document["predictions"]).tolist() == from_tensor_proto(scores).tolist()


def test_within_a_program(base: Path) -> None:
    """An application may run a server in a thread of its own."""
    stop, ports = threading.Event(), list[Ports]()
    options = ServerOptions(port=AUTO, rest_api_port=AUTO, model_name="m", model_base_path=str(base))

    def ready(found: Ports) -> None:
        ports.append(found)

    thread = threading.Thread(target=run_server, args=(options,), kwargs={"stop": stop, "ready": ready})
    thread.start()
    until(lambda: bool(ports))
    assert httpx.get(f"http://127.0.0.1:{ports[0].rest}/readyz").status_code == 200
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_an_end_while_a_model_is_waited_for(tmp_path: Path) -> None:
    stop = threading.Event()
    options = ServerOptions(port=AUTO, model_base_path=str(tmp_path))
    thread = threading.Thread(target=run_server, args=(options,), kwargs={"stop": stop})
    thread.start()
    time.sleep(0.1)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "give --model_base_path=DIR with --model_name=NAME, or --model_config_file=FILE"),
        (["--port=x"], 2, "--port takes a number, got 'x'"),
        (["--port=0", "--model_base_path=/x"], 2, "--port, --rest_api_port and --grpc_socket_path are all off"),
        (
            ["--port=9", "--rest_api_port=9", "--model_base_path=/x"],
            2,
            "--rest_api_port cannot be the same as --port, both are 9",
        ),
        (
            ["--batching_parameters_file=/x", "--model_base_path=/x"],
            2,
            "--batching_parameters_file is set without --enable_batching; add --enable_batching=true",
        ),
        (["--rest_api_ssl", "--model_base_path=/x"], 2, "--rest_api_ssl needs --ssl_config_file"),
        (["--model_config_file=/nowhere"], 2, "cannot read /nowhere: no such file or directory"),
        (
            ["--model_base_path=/nowhere", "--file_system_poll_wait_seconds=0"],
            1,
            "Failed to start server. Error: NOT_FOUND: Unable to find a numerical version path for servable default",
        ),
    ],
)
def test_starts_that_fail(arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(arguments) == code
    said = capsys.readouterr().err.splitlines()
    assert text in said[-1]


def test_ports_that_are_taken(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        arguments = [f"--model_base_path={base}", "--port=auto"]
        assert serve([*arguments, f"--rest_api_port={port}"]) == 2
        assert f"cannot listen on port {port}: address already in use" in capsys.readouterr().err
        assert serve([*arguments, f"--port={port}"]) == 2
        assert f"cannot listen on 0.0.0.0:{port}: it is taken, or not allowed" in capsys.readouterr().err


def test_a_broken_ssl_config(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "ssl.config"
    for text, said in (
        ('server_key: "/etc/key.pem"', "needs a server_key in PEM: the text itself, not the path of a file"),
        (
            'server_key: "-----BEGIN" server_cert: "-----BEGIN" client_verify: true',
            "sets client_verify without custom_ca",
        ),
    ):
        config.write_text(text)
        assert serve([f"--model_base_path={base}", f"--ssl_config_file={config}", "--port=auto"]) == 2
        assert said in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(["--version"]) == 0
    assert capsys.readouterr().out.startswith("seqship ModelServer: ")


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(["--help"]) == 0
    told = capsys.readouterr().out
    for one in fields(ServerOptions):
        assert f"\n  --{one.name}=" in told
    assert "\n  --port=8500\n      Port of the gRPC API; 0 for none, AUTO for a free one.\n" in told


def test_too_many_requests_at_once(base: Path, tmp_path: Path) -> None:
    parameters = tmp_path / "batching.config"
    parameters.write_text("batch_timeout_micros { value: 2000000 }")  # A request holds its place for so long.
    arguments = ["--model_name=m", f"--model_base_path={base}", "--max_concurrent_requests=1", "--enable_batching=true"]
    arguments += [f"--batching_parameters_file={parameters}", "--enable_model_warmup=false"]
    with (
        served(tmp_path / "log", arguments) as one,
        grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as channel,
        ThreadPoolExecutor(8) as pool,
    ):
        responses = [one.result(60) for one in [pool.submit(one.post, "/v1/models/m:predict", BODY) for _ in range(4)]]
        assert sorted(response.status_code for response in responses) == [200, 429, 429, 429]
        busy = next(response for response in responses if response.status_code == 429)
        assert busy.json()["error"] == "Too many requests are under way; ask again later"

        def remote(_: int) -> str:
            try:
                return "OK" if ask(channel, PREDICT, predict_request()).outputs else "nothing"
            except grpc.RpcError as error:
                failed: Any = error
                return failed.code().name

        assert sorted(pool.map(remote, range(4))) == ["OK", *["RESOURCE_EXHAUSTED"] * 3]
        method = channel.unary_unary(PREDICT.path, PREDICT.request.SerializeToString, PREDICT.response.FromString)
        with pytest.raises(grpc.RpcError) as caught:
            method(predict_request(), timeout=0.5)
        failed: Any = caught.value
        assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_bare_saved_model_needs_tensorflow(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    shutil.copytree(bundles["unmasked"] / "saved_model", base / "1")
    from tests.serving.server.process import START

    result = subprocess.run(
        [sys.executable, "-c", START, f"--model_base_path={base}", "--port=auto", "--max_num_load_retries=0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "is a SavedModel alone, which needs TensorFlow: run pip install 'seqship[export]'" in result.stderr


def test_a_bare_saved_model_with_tensorflow(bundles: Mapping[str, Path]) -> None:
    from seqship.serving.server.servable import LoadSettings, call, load_servable

    ours = load_servable(bundles["stateful"], LoadSettings())
    theirs = load_servable(bundles["stateful"] / "saved_model", LoadSettings())
    assert (ours.runtime, theirs.runtime) == ("onnx", "saved_model")
    assert ours.signatures.keys() == theirs.signatures.keys()
    feed: dict[str, Any] = {"signal": SIGNAL}
    for name in ("serving_default", "stream"):
        if name == "stream":
            feed |= {f"state/memory/{part}": np.full((1, 3), 0.5, np.float32) for part in "hc"}
        one, other = (call(servable.signatures[name], feed) for servable in (ours, theirs))
        assert one.keys() == other.keys()
        for output, value in one.items():
            np.testing.assert_allclose(value, other[output], atol=1e-6)


def test_every_module_imports_without_tensorflow() -> None:
    import seqship.serving.server as package

    names = sorted(path.stem for path in Path(package.__path__[0]).glob("[a-z]*.py"))
    assert len(names) > 20
    code = f"""
import importlib, sys
sys.modules["tensorflow"] = None
for name in {names!r}:
    importlib.import_module("seqship.serving.server." + name)
print([name for name in ("keras", "onnx", "tf2onnx", "typer", "rich", "pandas") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (result.stdout, result.returncode) == ("[]\n", 0), result.stderr


def test_a_server_knows_nothing_of_tensorflow(server: Served) -> None:
    """The process of every other test; its imports of TensorFlow would have raised."""
    maps = Path(f"/proc/{server.process.pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc")
    loaded = maps.read_text()
    assert "onnxruntime" in loaded
    assert "tensorflow" not in loaded
