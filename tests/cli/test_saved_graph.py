"""A SavedModel directory on the command line: shipped, verified, asked, inspected, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from seqship.models.flavour import load_flavour

Seqship = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tf-keras exports of a masked model: a graph and no objects."""
    keras = load_flavour(2).keras
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((None, 1), name="signal"),
            layers.Masking(-1.0, name="masking"),
            layers.LSTM(3, name="memory"),
            layers.Dense(2, activation="softmax", name="scores"),
        ],
        name="small",
    )
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.5, weight.shape).astype(np.float32) for weight in model.get_weights()])
    path = tmp_path_factory.mktemp("exported") / "saved"
    model.export(str(path))
    return path


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph with an operation that runs on a GPU alone."""
    import tensorflow as tf

    def call(signal: Any) -> dict[str, Any]:
        state = tf.zeros((1, tf.shape(signal)[1], 2))
        made: Any = tf.raw_ops.CudnnRNN(input=signal, input_h=state, input_c=0.0, params=tf.zeros(42), rnn_mode="gru")
        return {"made": made.output}

    concrete = tf.function(call).get_concrete_function(tf.TensorSpec((None, None, 3), name="signal"))
    path = tmp_path_factory.mktemp("gpu") / "saved"
    tf.saved_model.save(tf.Module(), str(path), signatures=concrete)
    return path


def test_a_saved_model_becomes_a_bundle_that_is_verified_and_asked(
    seqship: Seqship, exported: Path, tmp_path: Path, few_cases: None
) -> None:
    bundle = tmp_path / "bundle"
    said = seqship("export", exported, "-o", bundle, "--json")
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    assert document["equivalent"] is True
    assert document["onnx"]["operators"] == {"LSTM": 1}
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["source"]["kind"] == "saved_model"
    assert "keras" not in manifest["source"]
    assert {"mask=holes", "mask=empty_row"} <= {
        row["case"].split()[-1] for row in json.loads((bundle / "report.json").read_text())["cases"]
    }
    copied = bundle / "saved_model" / "saved_model.pb"
    assert copied.read_bytes() == (exported / "saved_model.pb").read_bytes()

    assert seqship("verify", bundle, "--strict").returncode == 0
    answers = [
        seqship("predict", bundle, "--runtime", runtime, stdin=b"[0.5, 1.0]\n") for runtime in ("onnx", "saved_model")
    ]
    assert [said.returncode for said in answers] == [0, 0]
    first, second = (json.loads(said.stdout) for said in answers)
    assert first.keys() == second.keys()


def test_inspect_shows_the_layers_of_a_saved_model(seqship: Seqship, exported: Path) -> None:
    said = seqship("inspect", exported, "--json")
    assert said.returncode == 0, said.stderr
    (row,) = json.loads(said.stdout)
    assert (row["layer"], row["kind"], row["units"], row["onnx"], row["cudnn_eligible"]) == (
        "memory", "LSTM", 3, "LSTM", True
    )  # fmt: skip


def test_nothing_is_proven_of_a_graph_for_a_gpu(seqship: Seqship, on_gpu: Path, tmp_path: Path) -> None:
    for formats in ("saved_model,onnx", "onnx"):
        said = seqship("export", on_gpu, "-o", tmp_path / "bundle", "--formats", formats)
        assert said.returncode == 2
        assert said.stdout == ""
        (line,) = said.stderr.splitlines()
        assert "holds CudnnRNN (layer " in line
        assert line.endswith(
            "which runs on a GPU alone: nothing can be proven here; give the .keras file, or convert it without proof "
            "in Python (seqship.export.saved_model_to_onnx)"
        )
        assert list(tmp_path.iterdir()) == []


def test_a_directory_without_model(seqship: Seqship, tmp_path: Path) -> None:
    said = seqship("export", tmp_path, "-o", tmp_path / "bundle")
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert f"{tmp_path} is a directory without saved_model.pb, not a model; give " in line
