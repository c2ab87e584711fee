"""The files in `tf_serving/` are read by those they are written for, and say what the bundle is."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import numpy as np
import pytest
import yaml
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from seqship.export import read_bundle, ship, verify
from seqship.export.deployment_files import (
    FOLDER,
    Deployment,
    deployment_of,
    proto_string,
    render_deployment_files,
    write_deployment_files,
)
from seqship.export.deployment_sizes import MIB, ModelSize, batch_rows, memory_request
from seqship.models.flavour import load_flavour
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field
from seqship.wire.config_text import parse_text
from seqship.wire.messages import BatchingParameters, ModelServerConfig, MonitoringConfig
from tests.few_cases import few_cases
from tests.serving.server.process import served

FILES = {"models.config", "batching_parameters.txt", "monitoring.config", "compose.yaml", "kubernetes.yaml",
         "kubernetes-seqship.yaml", "kserve.yaml", "kserve-seqship.yaml", "README.md"}  # fmt: skip
SIGNAL = Field("signal", "float32", ("batch", "time", 2), pad_value=-1.0)
FIXED = Field("signal", "float32", ("batch", 6, 2))
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
SIZE = ModelSize(variable_bytes=20_000, recurrent_weights=4_000, units=40, steps=187)

NAMES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=90),
    st.sampled_from(["true", "null", "no", "1", "1e3", "-", "...", "~", "a: b", '"', "'", "a\nb", "{{ x }}", "${X}",
                     "$(X)", "# x", "a/b", "../x", "%s", "é", "模型", "\u2028", "\x7f", "|", "&a", "*a", "x" * 300]),
)  # fmt: skip


def deployment(name: str = "ecg-gru", *inputs: Field, size: ModelSize = SIZE) -> Deployment:
    return Deployment(name, inputs or (SIGNAL,), size, "0.1.0")


def documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def compose_schema() -> Any:
    schemas = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    return json.loads(schemas.read_text(encoding="utf-8"))


def check_kubernetes(document: Mapping[str, Any]) -> None:
    kubernetes_validate.validate(dict(document), "1.27", strict=True)


COMPOSE = compose_schema()
THEIR_CONFIG: Any = getattr(model_server_config_pb2, "ModelServerConfig")  # noqa: B009  (made when it is imported)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a masked model of free length, made with data of up to 9 steps."""
    layers = load_flavour(3).keras.layers
    inputs = [
        layers.Input((None, 2), name="signal"),
        layers.Masking(-1.0),
        layers.GRU(3),
        layers.Dense(1, name="value"),
    ]
    model = load_flavour(3).keras.Sequential(inputs)
    rows = tuple(np.full((steps, 2), 0.5, np.float32) for steps in (2, 9, 4))
    path = tmp_path_factory.mktemp("bundles") / "Two words"
    with few_cases((2,), (5,)):
        data = Sequences(rows, np.zeros(3, np.int64), ("a",))
        assert ship(model, path, name="two words", data=data).equivalent
    return path


def test_a_bundle_has_the_files_and_they_are_digested(bundle: Path) -> None:
    opened = read_bundle(bundle)
    assert {name for name in opened.manifest["files"] if name.startswith(FOLDER)} == {f"{FOLDER}/{n}" for n in FILES}
    text = (bundle / FOLDER / "batching_parameters.txt").read_text()
    assert "# 9 steps a row" in text
    assert "with the pad value -1.0" in text


def test_verify_keeps_them_and_an_old_bundle_needs_none(bundle: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    verify(copy)
    assert {path.name for path in (copy / FOLDER).iterdir()} == FILES
    old = Path(shutil.copytree(bundle, tmp_path / "old"))
    shutil.rmtree(old / FOLDER)
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["files"] = {name: facts for name, facts in manifest["files"].items() if not name.startswith(FOLDER)}
    (old / "manifest.json").write_text(json.dumps(manifest))
    verify(old)
    assert read_bundle(old).equivalent
    assert not (old / FOLDER).exists()


def test_a_bundle_without_a_saved_model_has_none(tmp_path: Path) -> None:
    layers = load_flavour(3).keras.layers
    model = load_flavour(3).keras.Sequential([layers.Input((4, 2), name="signal"), layers.SimpleRNN(3, name="scores")])
    ship(model, tmp_path / "bundle", name="cheap", formats=["onnx"])
    assert not (tmp_path / "bundle" / FOLDER).exists()


@pytest.mark.parametrize("server", ["seqship", "tensorflow-serving"])
def test_a_server_starts_with_these_files_and_answers(bundle: Path, server: str, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "models/two-words-absent/1")
    shutil.copytree(bundle / FOLDER, tmp_path / "config")
    compose = yaml.safe_load((tmp_path / "config/compose.yaml").read_text())["services"][server]
    flags = [flag for flag in [*compose.get("entrypoint", ()), *compose.get("command", ())] if "port=" not in flag]
    models = (tmp_path / "config/models.config").read_text()
    directory = re.findall(r'base_path: "/models/(.*)"', models)[0]
    (tmp_path / "models/two-words-absent").rename(tmp_path / "models" / directory)
    (tmp_path / "config/models.config").write_text(models.replace("/models/", f"{tmp_path}/models/"))
    arguments = [flag.replace("/config/", f"{tmp_path}/config/") for flag in flags if flag.startswith("--")]
    assert len(arguments) >= 5
    with served(tmp_path / "log", arguments) as one:
        answer = one.post("/v1/models/two%20words:predict", {"instances": [[[0.5, 0.5]], [[0.25, 0.5]]]})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["predictions"]) == 2
        assert ":tensorflow:serving:request_count" in one.get("/monitoring/prometheus/metrics").text
        # What Compose asks whether the server is well.
        test = yaml.safe_load((tmp_path / "config/compose.yaml").read_text())["services"][server]["healthcheck"]["test"]
        program = sys.executable if test[1] == "python" else "bash"
        asked: list[str] = [part.replace("8501", str(one.rest_port)) for part in test[2:]]
        assert subprocess.run([program, *asked], timeout=60).returncode == 0
        wrong = [part.replace("two%20words", "other").replace("readyz", "none") for part in asked]
        assert subprocess.run([program, *wrong], timeout=60, capture_output=True).returncode != 0


def test_requests_of_unequal_length_are_not_joined_by_tensorflow_serving() -> None:
    batching = ("--enable_batching=true", "--batching_parameters_file=/config/batching_parameters.txt")
    one = Field("signal", "float32", (1, 6, 2))
    for inputs, tensorflow, seqship in (((SIGNAL,), False, True), ((FIXED,), True, True), ((one,), False, False)):
        for server, expected in (("tensorflow", tensorflow), ("seqship", seqship)):
            assert (set(batching) <= set(deployment("m", *inputs).flags(server))) == expected, (inputs, server)
    text = render_deployment_files(deployment("m", one))["batching_parameters.txt"]
    assert "# Not in use: this model takes batches of one size alone" in text
    assert parse_text(text, BatchingParameters).max_batch_size.value == 1
    assert "Not in use" not in render_deployment_files(deployment("m", FIXED))["batching_parameters.txt"]


def test_the_batching_parameters() -> None:
    parameters = parse_text(render_deployment_files(deployment())["batching_parameters.txt"], BatchingParameters)
    assert parameters.max_batch_size.value == 128
    assert [*parameters.allowed_batch_sizes] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert parameters.HasField("batch_timeout_micros")
    assert parameters.max_enqueued_batches.value == 64
    assert parameters.num_batch_threads.value == 2
    assert parameters.pad_variable_length_inputs is False


@given(st.integers(0, 10**10), st.integers(1, 10**5))
def test_a_batch_is_bounded_in_work_and_in_rows(weights: int, steps: int) -> None:
    rows = batch_rows(ModelSize(4 * weights, weights, 8, steps))
    assert rows in (8, 16, 32, 64, 128)
    assert rows == 8 or rows * weights * steps <= 4_000_000_000
    assert rows == 128 or 2 * rows * weights * steps > 4_000_000_000


def test_memory_grows_with_the_weights_and_with_the_states() -> None:
    def memory(server: str, **changed: int) -> int:
        size = ModelSize(**({"variable_bytes": 0, "recurrent_weights": 1, "units": 1, "steps": 1} | changed))
        return memory_request(size, server=server, rows=128, threads=2)

    assert memory("seqship") == 192 * MIB
    assert memory("tensorflow") == 832 * MIB
    assert memory("seqship", variable_bytes=100 * MIB) == 384 * MIB  # 128 + 2 * 100 and a little, in steps of 64
    # 4 bytes * 128 rows * 1,000 steps * 512 units * 8 numbers * 2 threads = 4,194,304,000
    assert memory("seqship", units=512, steps=1_000) - 128 * MIB == -(-4_194_304_000 // (64 * MIB)) * 64 * MIB


def test_the_steps_are_those_of_the_data_else_of_the_shape(tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables/variables.data").write_bytes(b"\0" * 12)

    def made(longest: int | None, *inputs: Field) -> ModelSize:
        made = deployment_of("m", inputs, tmp_path, recurrent_weights=5, units=2, longest=longest, seqship_version="1")
        return made.size

    assert made(9, SIGNAL) == ModelSize(12, 5, 2, 9)
    assert made(None, FIXED).steps == 6
    assert made(None, SIGNAL).steps == 200
    empty = deployment_of("", (SIGNAL,), tmp_path, recurrent_weights=1, units=1, longest=None, seqship_version="1")
    assert empty.name == "model"  # No server takes a model without a name.


@pytest.mark.parametrize(
    ("name", "directory", "resource"),
    [
        ("ecg-gru", "ecg-gru", "ecg-gru"),
        ("Two_Sines.v2", "Two_Sines.v2", "two-sines-v2"),
        ("two words", "two-words", "two-words"),
        ("2024", "2024", "model-2024"),
        (".hidden", "hidden", "hidden"),
        ("模型", "model-c98e118e", "model-c98e118e"),
        ("x" * 50, "x" * 50, f"{'x' * 31}-77cf1206"),
    ],
)
def test_names_in_paths_and_in_kubernetes(name: str, directory: str, resource: str) -> None:
    one = deployment(name)
    assert (one.directory, one.resource) == (directory, resource)


@settings(max_examples=60, deadline=None)
@given(NAMES)
def test_every_file_is_read_whatever_the_name(name: str) -> None:
    files = render_deployment_files(deployment(name))
    assert files.keys() == FILES
    assert LABEL.fullmatch(deployment(name).resource)
    ours = parse_text(files["models.config"], ModelServerConfig)
    theirs = text_format.Parse(files["models.config"], THEIR_CONFIG())
    for config in (ours, theirs):
        [model] = config.model_config_list.config
        assert model.name == name
        assert re.fullmatch(r"/models/[A-Za-z0-9_][A-Za-z0-9._-]*", model.base_path)
        assert model.model_platform == "tensorflow"
        assert model.model_version_policy.latest.num_versions == 1
    assert parse_text(files["monitoring.config"], MonitoringConfig).prometheus_config.enable
    assert parse_text(files["batching_parameters.txt"], BatchingParameters).max_batch_size.value
    compose = yaml.safe_load(files["compose.yaml"])
    jsonschema.validate(compose, COMPOSE)
    assert compose["name"] == deployment(name).resource
    for suffix in ("", "-seqship"):
        app = deployment(name).resource + suffix
        kubernetes = documents(files[f"kubernetes{suffix}.yaml"])
        assert [one["metadata"]["name"] for one in kubernetes] == [f"{app}-config", app, app, app]
        for data, text in kubernetes[0]["data"].items():
            assert text == files[data]
        [kserve] = documents(files[f"kserve{suffix}.yaml"])
        assert kserve["metadata"]["name"] == app


@pytest.mark.parametrize("suffix", ["", "-seqship"])
def test_kubernetes_takes_every_document(suffix: str) -> None:
    config, workload, service, budget = documents(render_deployment_files(deployment())[f"kubernetes{suffix}.yaml"])
    for document in (config, workload, service, budget):
        check_kubernetes(document)
    assert [one["kind"] for one in (config, workload, service, budget)] == [
        "ConfigMap", "Deployment", "Service", "PodDisruptionBudget",
    ]  # fmt: skip
    pod = workload["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert labels == workload["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert labels == budget["spec"]["selector"]["matchLabels"]
    [container] = pod["spec"]["containers"]
    names = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert names == {"grpc": 8500, "rest": 8501}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names.keys()
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    assert volumes["config"]["configMap"]["name"] == config["metadata"]["name"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert ("grpc" in container[probe]) == (
            not suffix
        )  # TensorFlow Serving has no HTTP path that says it is ready.
    wrong = json.loads(json.dumps(workload))
    wrong["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        check_kubernetes(wrong)


@pytest.mark.parametrize("suffix", ["", "-seqship"])
def test_kserve_takes_the_inference_service(suffix: str) -> None:
    # KServe's own schema is in no package; its fields are those of serving/v1beta1 `InferenceService`.
    [service] = documents(render_deployment_files(deployment())[f"kserve{suffix}.yaml"])
    assert service.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    if not suffix:
        assert predictor.keys() == {"minReplicas", "model"}
        model = predictor["model"]
        assert model.keys() == {"modelFormat", "protocolVersion", "runtime", "storageUri", "resources"}
        assert model["storageUri"] == "s3://BUCKET/models/ecg-gru"
        return
    assert predictor.keys() == {"minReplicas", "containers"}
    [container] = predictor["containers"]
    assert container["name"] == "kserve-container"  # KServe looks for it by this name.
    assert container["env"] == [{"name": "STORAGE_URI", "value": "s3://BUCKET/models/ecg-gru"}]
    assert f"--model_name={service['metadata']['name']}" in container["args"]
    check_kubernetes(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    )


def test_compose_holds_to_its_schema_and_mounts_read_only() -> None:
    compose = yaml.safe_load(render_deployment_files(deployment())["compose.yaml"])
    jsonschema.validate(compose, COMPOSE)
    for service in compose["services"].values():
        assert all(volume.endswith(":ro") for volume in service["volumes"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["mem_limit"].endswith("m")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**compose, "service": {}}, COMPOSE)


def test_docker_compose_takes_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker has no compose here")
    write_deployment_files(tmp_path / FOLDER, deployment())
    command = [docker, "compose", "-f", str(tmp_path / FOLDER / "compose.yaml"), "--profile", "seqship", "config", "-q"]
    missing = subprocess.run(command, env={"PATH": "/usr/bin"}, capture_output=True, text=True)
    assert missing.returncode != 0
    assert "set MODELS to the directory above ecg-gru/1" in missing.stderr
    subprocess.run(command, env={"PATH": "/usr/bin", "MODELS": str(tmp_path)}, check=True)


def test_the_labels_in_the_comment_can_be_taken_over() -> None:
    text = render_deployment_files(deployment())["models.config"]
    lines = [line for line in text.splitlines() if "latest" not in line]
    kept = [re.sub(r"^(\s*)# (?=model_version_policy|version_labels)", r"\1", line) for line in lines]
    [model] = parse_text("\n".join(kept), ModelServerConfig).model_config_list.config
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}
    assert [*model.model_version_policy.specific.versions] == [1, 2]


def test_strings_of_the_text_format_are_ascii() -> None:
    assert proto_string('a"\\é\n') == r'"a\"\\\303\251\n"'


def test_nothing_in_the_files_is_longer_than_a_screen() -> None:
    for name, text in render_deployment_files(deployment()).items():
        longest = max(text.splitlines(), key=len)
        assert len(longest) <= 160, (name, longest)
        assert not any(a == b == "" for a, b in itertools.pairwise(text.splitlines())), name
