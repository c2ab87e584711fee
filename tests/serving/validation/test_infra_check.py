"""Bundles validated in real servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import (
    BundleError,
    DataError,
    DependencyError,
    OutputError,
    ProofError,
    RejectedError,
    UnavailableError,
)
from seqship.export.bundle import CASES_FILE, read_bundle, sha256, write_manifest
from seqship.export.cases import finite_rows
from seqship.export.recording import load_recorded
from seqship.serving.deployment import read_blessing
from seqship.serving.validation import validate
from seqship.serving.validation.questions import case_questions, warmup_questions
from seqship.wire.messages import PredictionLog
from seqship.wire.prediction_log import WARMUP_FILE, read_warmup, write_warmup
from tests.serving.server.process import Served, served
from tests.serving.validation.conftest import SERVE, Program


def copied(bundle: Path, folder: Path) -> Path:
    return Path(shutil.copytree(bundle, folder / "bundle"))


def rewritten(bundle: Path, **change: Any) -> None:
    """Writes the manifest of a bundle that was changed, as if it had been made so."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    write_manifest(bundle, {key: value for key, value in manifest.items() if key not in ("files", "format")} | change)


def document(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "validation.json").read_text())


@pytest.mark.parametrize("name", ["texts", "stateful"])
def test_a_bundle_is_blessed(name: str, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    bundle = copied(bundles[name], tmp_path)
    found = validate(bundle, server="seqship")
    assert found.blessed, found.failures
    requests, cases = read_warmup(bundle / "saved_model" / WARMUP_FILE), load_recorded(bundle / CASES_FILE)
    # Not those with a NaN or an infinity, which no API has, nor what Keras itself refuses.
    asked = [case for case in cases if case.expected and finite_rows(case.feed) is None]
    assert len(asked) < len(cases)
    assert (found.requests, found.cases, found.left_out) == (len(requests), len(asked), 0)
    assert found.requests >= 3
    assert found.server["name"] == "seqship"
    assert re.fullmatch(r"\d+\.\d+\.\d+", found.server["version"])
    assert found.worst is not None
    assert 0 <= found.worst["severity"] < 1
    assert set(found.latency_ms) == {"REST", "gRPC"}
    blessing = read_blessing(bundle)
    assert blessing is not None
    assert (blessing.blessed, blessing.manifest_sha256) == (True, sha256(bundle / "manifest.json"))
    assert document(bundle) == found.to_json()


def test_a_server_that_runs(server: Served, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    bundle = copied(bundles["classifier"], tmp_path)
    addresses = [server.url, f"grpc://127.0.0.1:{server.grpc_port}"]
    found = validate(bundle, addresses=addresses)
    assert found.blessed, found.failures
    assert found.server == {"name": "running", "version": "unknown", "addresses": addresses}
    assert found.memory_mb is None
    only = validate(bundle, addresses=[f"{server.url}/v1/models/classifier/labels/stable"])
    assert (only.blessed, set(only.latency_ms)) == (True, {"REST"})


def test_other_weights_are_convicted(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    """The same architecture with other numbers: it loads, it answers, and it is found out."""
    import onnx
    from onnx import numpy_helper

    (tmp_path / "base").mkdir()
    other = Path(shutil.copytree(bundles["classifier"], tmp_path / "base" / "1"))
    model = onnx.load(other / "model.onnx")
    changed = [one for one in model.graph.initializer if one.data_type == 1 and len(one.dims) >= 2]
    for one in changed:
        one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one) * np.float32(1.01), one.name))
    assert changed
    onnx.save(model, other / "model.onnx")
    rewritten(other)
    bundle = copied(bundles["classifier"], tmp_path)
    with served(tmp_path / "log", ["--model_name=m", f"--model_base_path={tmp_path / 'base'}"]) as one:
        found = validate(bundle, addresses=[f"{one.url}/v1/models/m"])
    assert not found.blessed
    assert found.worst is not None
    assert found.worst["severity"] > 1
    cases = [line for line in found.failures if line.startswith("REST: case batch=2 time=5 mask=")]
    assert len(cases) >= 5
    assert re.search(r": scores\[\d, \d\] is 0\.\d+, expected 0\.\d+, [\d.e+]+ times what is allowed$", cases[0])
    assert any(line.startswith("REST: warm-up request 0: scores[") for line in found.failures)
    assert (document(bundle)["blessed"], document(bundle)["failed"]) == (False, len(found.failures))


def test_another_model_is_convicted(server: Served, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    bundle = copied(bundles["classifier"], tmp_path)
    found = validate(bundle, addresses=[f"{server.url}/v1/models/two_inputs"])
    assert not found.blessed
    assert found.failures[-1] == "the server answered no question"
    assert found.failures[0].startswith("REST: warm-up request 0: what is served is another model: the signature 'serv")


def test_tensorflow_serving_is_taken_where_it_is_there(
    bundles: Mapping[str, Path], tmp_path: Path, program: Program
) -> None:
    """A stand-in of that name: it is started with TensorFlow Serving's flags, over a directory that it can load."""
    listing = tmp_path / "listing"
    script = (
        f'case "$1" in --version) echo "TensorFlow ModelServer: 2.20.0-rc0"; exit;; esac\n'
        f'for flag; do case $flag in --model_base_path=*) (cd "${{flag#*=}}" && find .) > {listing};; esac; done\n'
        f'exec {SERVE} "$@"'
    )
    said = program("tensorflow_model_server", script)
    found = validate(copied(bundles["classifier"], tmp_path))
    assert found.blessed, found.failures
    assert found.server == {"name": "tensorflow_model_server", "version": "2.20.0-rc0"}
    assert found.memory_mb is None or found.memory_mb > 10
    version, flags = said.read_text().splitlines()
    assert version == "--version"
    names = [flag.partition("=")[0] for flag in flags.split()]
    assert names == ["--port", "--rest_api_port", "--model_name", "--model_base_path"]
    assert {"./1/saved_model.pb", "./1/variables/variables.index", "./1/manifest.json"} <= set(
        listing.read_text().splitlines()
    )
    (base,) = re.findall(r"--model_base_path=(\S+)", flags)
    assert not Path(base).exists()  # Nothing is left of it.


def test_its_container_is_taken_where_docker_works(
    bundles: Mapping[str, Path], tmp_path: Path, program: Program
) -> None:
    """A stand-in for docker that runs no container: what it is asked for is what the container would serve."""
    script = f"""
    [ "$1" = run ] || exit 0
    while [ $# -gt 0 ]; do
      case "$1" in
        127.0.0.1:*:8500) port=$(echo "$1" | cut -d: -f2);;
        127.0.0.1:*:8501) rest=$(echo "$1" | cut -d: -f2);;
        type=bind,*) source=$(echo "$1" | sed 's/.*source=\\([^,]*\\),.*/\\1/');;
        --model_name=*) model="$1";;
      esac
      shift
    done
    exec {SERVE} --port=$port --rest_api_port=$rest $model --model_base_path=$source
    """
    said = program("docker", script)
    found = validate(copied(bundles["classifier"], tmp_path), server="auto")
    assert found.blessed, found.failures
    assert found.server == {"name": "docker", "version": "tensorflow/serving:2.20.0"}
    info, run, removed = said.read_text().splitlines()
    assert info == "info"
    assert "--entrypoint tensorflow_model_server tensorflow/serving:2.20.0 --port=8500 --rest_api_port=8501" in run
    assert ",target=/models/validated,readonly " in run
    name = run.split("--name ")[1].split()[0]
    assert removed == f"rm --force {name}"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo no such model; exit 3", "the server ended with 3 before it answered: no such model"),
        ("kill -9 $$", "the server ended with -9 before it answered: nothing"),
        ("exec sleep 600", "REST: the model is not AVAILABLE after 0.2 s; the server said last: nothing"),
    ],
)
def test_a_server_that_does_not_start(
    script: str, said: str, bundles: Mapping[str, Path], tmp_path: Path, program: Program
) -> None:
    program("tensorflow_model_server", f'case "$1" in --version) exit;; esac\n{script}')
    bundle = copied(bundles["classifier"], tmp_path)
    found = validate(bundle, load_seconds=0.2 if "sleep" in script else 60)
    assert (found.blessed, found.failures) == (False, (said,))
    assert found.server["version"] == "unknown"
    assert document(bundle)["blessed"] is False


def test_a_server_that_dies_of_a_question(bundles: Mapping[str, Path], tmp_path: Path, program: Program) -> None:
    """It serves, until the first case comes."""
    wrapper = tmp_path / "dies.py"
    wrapper.write_text(
        "import os, sys\n"
        "from seqship.serving.server import inference, rest\n"
        "rest.run = lambda *_: os._exit(9)\n"
        "from seqship.serving.server import serve\n"
        "serve(sys.argv[1:])\n"
    )
    program("tensorflow_model_server", f'exec {SERVE.split(" -m ")[0]} {wrapper} "$@"')
    found = validate(copied(bundles["classifier"], tmp_path))
    assert not found.blessed
    assert found.failures[0].startswith("REST: warm-up request 0: predict of 'classifier' at http://127.0.0.1:")
    assert found.failures[-1].startswith("the server ended with 9: ")
    assert len(found.failures) == 2


def test_a_server_that_answers_wrong_requests(bundles: Mapping[str, Path], tmp_path: Path, program: Program) -> None:
    wrapper = tmp_path / "lenient.py"
    wrapper.write_text(
        "import sys\n"
        "from seqship.serving.server import inference, rest, serve\n"
        "from seqship.serving.server.status import StatusError\n"
        "answered = rest._predicted\n"
        "def lenient(called, body):\n"
        "    try:\n"
        "        return answered(called, body)\n"
        "    except StatusError:\n"
        "        return b'{\"outputs\": {}}'\n"
        "rest._predicted = lenient\n"
        "serve(sys.argv[1:])\n"
    )
    program("tensorflow_model_server", f'exec {SERVE.split(" -m ")[0]} {wrapper} "$@"')
    found = validate(copied(bundles["classifier"], tmp_path))
    assert found.failures == (
        "REST: a request with an unknown input is answered",
        "REST: a request with an unknown signature is answered",
    )


def test_what_cannot_be_validated(bundles: Mapping[str, Path], tmp_path: Path, program: Program) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        validate(tmp_path / "nowhere")
    bundle = copied(bundles["classifier"], tmp_path)
    with pytest.raises(DependencyError, match=r"^there is no tensorflow_model_server on the PATH; install it, or use"):
        validate(bundle, server="tensorflow_model_server")
    program("docker", "exit 1")
    with pytest.raises(DependencyError, match=r"^docker info fails: no daemon answers; start one, or use --server seq"):
        validate(bundle, server="docker")
    with pytest.raises(DataError, match="'x' is no address of a server"):
        validate(bundle, addresses=["x"])
    with pytest.raises(DataError, match=r"^two addresses of the REST API are given; give one, and one of the other"):
        validate(bundle, addresses=["http://a", "http://b"])
    rewritten(bundle, equivalence={"equivalent": False})
    with pytest.raises(ProofError, match=r"is not proven equivalent; see its report.html$"):
        validate(bundle)
    assert not (bundle / "validation.json").exists()


def test_a_server_that_is_not_there(server: Served, bundles: Mapping[str, Path], tmp_path: Path) -> None:
    """Where the caller says what runs, and nothing does, that is no finding about the bundle."""
    bundle = copied(bundles["classifier"], tmp_path)
    with pytest.raises(UnavailableError, match="is a server running there"):
        validate(bundle, addresses=["http://127.0.0.1:9"])
    with pytest.raises(RejectedError, match="Could not find any versions of model nobody"):
        validate(bundle, addresses=[f"{server.url}/v1/models/nobody"])
    assert not (bundle / "validation.json").exists()


def test_questions_of_a_bundle(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    bundle = copied(bundles["classifier"], tmp_path)
    file = bundle / "saved_model" / WARMUP_FILE
    logs = [*read_warmup(file), PredictionLog()]
    logs[-1].multi_inference_log.request.tasks.add(method_name="m")
    write_warmup(file, logs)
    rewritten(bundle)
    found, left_out = warmup_questions(read_bundle(bundle))
    assert (len(found), left_out) == (len(logs) - 1, 1)
    plain = found[0]
    classify = next(one for one in found if one.method == "classify" and len(one.examples) == len(plain.feed["signal"]))
    assert (plain.method, plain.signature, list(plain.expected)) == ("predict", "serving_default", ["scores"])
    assert (classify.method, classify.signature, sorted(classify.expected)) == (
        "classify",
        "tf_example",
        ["classes", "scores"],
    )
    rows = [one["signal"] for one in classify.examples]
    assert np.array_equal(rows, plain.feed["signal"].reshape(len(rows), -1))  # The same inputs for each signature.
    signatures = {one.signature for one in case_questions(read_bundle(bundles["stateful"]))}
    assert signatures == {"serving_default", "stream"}


def test_bundles_without_questions(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    bundle = copied(bundles["classifier"], tmp_path)
    (bundle / "saved_model" / WARMUP_FILE).unlink()
    rewritten(bundle)
    assert warmup_questions(read_bundle(bundle)) == ((), 0)
    (bundle / CASES_FILE).write_bytes(b"no arrays")
    rewritten(bundle)
    with pytest.raises(BundleError, match=r"cases\.npz cannot be read: "):
        list(case_questions(read_bundle(bundle)))
    (bundle / CASES_FILE).unlink()
    rewritten(bundle)
    with pytest.raises(BundleError, match=r"holds no verification/cases\.npz: there is nothing to validate it with$"):
        validate(bundle)
    (bundle / "model.onnx").unlink()
    rewritten(bundle)
    with pytest.raises(
        BundleError, match=r"holds no ONNX file to compare with; export it with --formats saved_model,o"
    ):
        validate(bundle)


def test_a_blessing_that_cannot_be_written(bundles: Mapping[str, Path], tmp_path: Path, server: Served) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    bundle = copied(bundles["classifier"], tmp_path)
    bundle.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OutputError, match="permission denied"):
        validate(bundle, addresses=[server.url])
