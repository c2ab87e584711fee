"""`seqship verify --url` holds a server to the proof of a bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from seqship.export.bundle import CASES_FILE, read_bundle, write_manifest
from seqship.export.cases import finite_rows
from seqship.export.recording import load_recorded
from tests.serving.server.process import Served, served


def verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seqship", "verify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["classifier", "stepwise", "stateful", "texts", "two_inputs"])
def test_a_server_of_the_bundle_passes(name: str, server: Served, bundles: Mapping[str, Path]) -> None:
    before = (bundles[name] / "manifest.json").read_bytes()
    rest = f"{server.url}/v1/models/{name}"
    said = verify(bundles[name], "--url", rest, "--json")
    assert (said.returncode, said.stderr) == (0, ""), said.stdout
    document = json.loads(said.stdout)
    assert (document["urls"], document["equivalent"]) == ([rest], True)
    # Not those with a NaN or an infinity, which no API has, nor what Keras itself refuses.
    cases = load_recorded(bundles[name] / CASES_FILE)
    asked = [case for case in cases if case.expected and finite_rows(case.feed) is None]
    assert document["cases"] == len(asked) > 0
    assert (bundles[name] / "manifest.json").read_bytes() == before, "a server proves nothing of the bundle"
    # gRPC's address names no model: the bundle does.
    said = verify(bundles[name], "--url", f"grpc://127.0.0.1:{server.grpc_port}")
    assert (said.returncode, said.stderr) == (0, ""), said.stdout


def test_a_server_of_another_version_is_convicted(bundles: Mapping[str, Path], tmp_path: Path) -> None:
    """A weight file from another step of training: one matrix differs by a thousandth."""
    base = tmp_path / "m"
    for version in (1, 2):
        shutil.copytree(bundles["classifier"], base / str(version))
    other = onnx.load(base / "2" / "model.onnx")
    recurrent = next(node for node in other.graph.node if node.op_type == "GRU").input[2]
    tensor = next(one for one in other.graph.initializer if one.name == recurrent)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.001), tensor.name))
    onnx.save(other, base / "2" / "model.onnx")
    manifest = {key: value for key, value in read_bundle(base / "2", check=False).manifest.items() if key != "files"}
    write_manifest(base / "2", manifest)
    config = tmp_path / "models.config"
    entry = f'name: "m" base_path: "{base}" model_platform: "tensorflow" model_version_policy {{ all {{}} }}'
    config.write_text(f"model_config_list {{ config {{ {entry} }} }}")
    with served(tmp_path / "log", [f"--model_config_file={config}"]) as one:
        wrong = verify(bundles["classifier"], "--url", f"{one.url}/v1/models/m")
        assert wrong.returncode == 1
        assert "NOT equivalent: " in wrong.stdout
        assert f"  {one.url}/v1/models/m differs from Keras at batch=" in wrong.stdout
        right = verify(bundles["classifier"], "--url", f"{one.url}/v1/models/m/versions/1")
        assert right.returncode == 0, right.stdout
        assert "equivalent over " in right.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--url", "http://127.0.0.1:9/v1/models/m"], "127.0.0.1:9"),
        (["--url", "http://127.0.0.1:9/v1/models/m", "--strict"], "--url asks a server the bundle's cases; leave out"),
        (["--atol", "-1"], "--atol and --rtol are 0 or more, and not both 0; got -1.0 and 0"),
    ],
)
def test_mistakes_in_one_line(arguments: list[str], text: str, bundles: Mapping[str, Path]) -> None:
    said = verify(bundles["classifier"], *arguments)
    assert (said.returncode, said.stdout) == (2, "")
    assert text in said.stderr
    assert said.stderr.count("\n") == 1
