"""Clients of others against a server, each in a process of its own; and seqship where there is no TensorFlow at all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seqship.serving import Client, Predictor
from tests.serving.server.peers.environment import peers_python, run_in_peers
from tests.serving.server.process import Served, find_port

SIGNAL = [[[0.5, -0.25], [1.0, 2.0]], [[0.0, 1.0], [1.5, 0.5]]]
SCRIPTS = Path(__file__).parent / "peers"


@pytest.fixture(scope="module")
def expected(bundles: Mapping[str, Path]) -> NDArray[Any]:
    return Predictor(bundles["classifier"]).predict_batch({"signal": np.array(SIGNAL, np.float32)}).outputs["scores"]


def test_ovmsclient(server: Served, expected: NDArray[Any]) -> None:
    ports = (str(server.grpc_port), str(server.rest_port))
    answers = json.loads(run_in_peers(str(SCRIPTS / "ovms_client.py"), *ports, json.dumps(SIGNAL)))
    for answer in answers.values():
        assert np.array_equal(np.float32(answer["scores"]), expected)
        assert answer["status"] == {"1": "AVAILABLE"}
        # Its default version is 0, which TensorFlow Serving has not either.
        for name, said in {
            "without a version": "Servable not found for request: Specific(classifier, 0)",
            "status of version 0": "Could not find version 0 of model classifier",
            "unknown": "Could not find version 1 of model nobody",
        }.items():
            kind, text = answer[name]
            assert (kind, text.endswith(said)) == ("ModelNotFoundError", True), text
        assert answer["wrong"][0] == "InvalidInputError"
    metadata = answers["grpc"]["metadata"]
    assert metadata["inputs"] == {"signal": {"shape": [-1, -1, 2], "dtype": "DT_FLOAT"}}
    assert metadata["outputs"] == {"scores": {"shape": [-1, 3], "dtype": "DT_FLOAT"}}
    signatures = answers["http"]["metadata"]["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["signal"]["dtype"] == "DT_FLOAT"


def test_kserve(server: Served, expected: NDArray[Any]) -> None:
    answer = json.loads(run_in_peers(str(SCRIPTS / "kserve_client.py"), str(server.rest_port), json.dumps(SIGNAL)))
    assert np.array_equal(np.float32(answer["answer"]["predictions"]), expected)
    assert answer["wrong"].startswith("HTTPStatusError: Failed to process element: 0 of 'instances' list.")
    assert answer["ready"] is None  # KServe waits for {"ready": true}, which TensorFlow Serving does not say.


def curl(*arguments: str) -> tuple[int, Any]:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("needs curl")
    made = subprocess.run(
        [program, "--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}", *arguments],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    body, _, status = made.stdout.rpartition("\n")
    return int(status), json.loads(body) if body else None


def test_curl(server: Served, expected: NDArray[Any], tmp_path: Path) -> None:
    url, body = f"{server.url}/v1/models/classifier", json.dumps({"instances": SIGNAL})
    status, answer = curl("-d", body, f"{url}:predict")  # Its content type is that of a form.
    assert status == 200
    assert np.array_equal(np.float32(answer["predictions"]), expected)
    (tmp_path / "body.json").write_text(json.dumps({"inputs": SIGNAL}))
    # A body beyond 1 MiB is announced, and sent once the server says 100 Continue.
    status, answer = curl("-X", "POST", "-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path}/body.json",
                          f"{url}/labels/stable:predict")  # fmt: skip
    assert np.array_equal(np.float32(answer["outputs"]), expected)
    assert curl(url)[1]["model_version_status"][0]["state"] == "AVAILABLE"
    assert curl("-d", "{}", f"{url}:predict") == (400, {"error": "Missing 'inputs' or 'instances' key"})


def test_the_peers_have_no_tensorflow_and_another_protobuf() -> None:
    code = "import importlib.util as u, google.protobuf as p; print(u.find_spec('tensorflow'), p.__version__)"
    absent, version = run_in_peers("-c", code).split()
    assert (absent, version.partition(".")[0]) == ("None", "6")


def test_the_wire_under_protobuf_6() -> None:
    plugin = ["-p", "tests.serving.server.peers.without_tensorflow", "-k", "not tensorflow_lives_beside"]
    said = run_in_peers("-m", "pytest", "tests/wire", *plugin, "-o", "addopts=--import-mode=importlib")
    found = re.search(r"(\d+) passed, (\d+) skipped", said)
    assert found is not None, said
    assert int(found[1]) > 80
    assert "failed" not in said


def test_a_server_and_a_client_without_tensorflow(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    """The command as it is installed, with what it prints and asks there; its answers are those of here."""
    base = tmp_path / "base"
    shutil.copytree(bundles["classifier"], base / "1")
    flags = ["--model_name=classifier", f"--model_base_path={base}", "--port=auto", "--rest_api_port=auto"]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen([peers_python(), "-m", "seqship", "serve", *flags], stderr=file, text=True)
    try:
        with Client(f"http://127.0.0.1:{_rest_port(process, log)}", model="classifier") as client:
            signal = np.array(SIGNAL, np.float32)
            there = client.predict(signal)["scores"]
        here = Predictor(bundles["classifier"]).predict_batch({"signal": signal}).outputs["scores"]
        np.testing.assert_allclose(there, here, atol=1e-6)
        code = (
            "import sys; from seqship.serving import Client; "
            "print([Client(one, model='classifier').predict([[[0.5, -0.25]]])['scores'].shape for one in sys.argv[1:]])"
        )
        grpc_port = find_port(log, r"Running gRPC ModelServer at 0\.0\.0\.0:(\d+) \.\.\.")
        addresses = (f"http://127.0.0.1:{_rest_port(process, log)}", f"grpc://127.0.0.1:{grpc_port}")
        assert run_in_peers("-c", code, *addresses) == "[(1, 3), (1, 3)]\n"
    finally:
        process.terminate()
        assert process.wait(60) == 0


def _rest_port(process: subprocess.Popen[str], log: Path) -> int:
    while process.poll() is None:
        if port := find_port(log, r"Exporting HTTP/REST API at:localhost:(\d+) \.\.\."):
            return port
        time.sleep(0.02)
    raise AssertionError(log.read_text())
