"""Data to bundle, model to bundle: `ship`, `train`, `export`, `inspect`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.serving import Predictor

Said = subprocess.CompletedProcess[str]
Call = Callable[..., Said]
Start = Callable[..., subprocess.Popen[str]]
Listing = Callable[[Path], list[str]]

BUNDLE = [
    "manifest.json",
    "model.onnx",
    "report.html",
    "report.json",
    "saved_model/assets.extra/tf_serving_warmup_requests",
    "saved_model/fingerprint.pb",
    "saved_model/saved_model.pb",
    "saved_model/variables/variables.data-00000-of-00001",
    "saved_model/variables/variables.index",
    "tf_serving/README.md",
    "tf_serving/batching_parameters.txt",
    "tf_serving/compose.yaml",
    "tf_serving/kserve-seqship.yaml",
    "tf_serving/kserve.yaml",
    "tf_serving/kubernetes-seqship.yaml",
    "tf_serving/kubernetes.yaml",
    "tf_serving/models.config",
    "tf_serving/monitoring.config",
    "verification/cases.npz",
]
SUMMARY = {"bundle", "equivalent", "worst", "cases", "onnx", "metrics"}
DEADLINE = 120


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def wait_for(found: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    """Waits until something is there, while the process lives."""
    for _ in range(DEADLINE * 100):
        if found():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_ship_prints_one_document_and_nothing_else(shipping: tuple[Path, Said]) -> None:
    bundle, said = shipping
    assert (said.returncode, said.stderr) == (0, "")
    document = json.loads(said.stdout)
    assert set(document) == SUMMARY
    assert (document["bundle"], document["equivalent"]) == ("deep/bundle", True)
    assert {"case", "output", "max_abs", "max_rel"} <= set(document["worst"])
    assert document["worst"]["output"] == "probabilities"
    assert document["cases"] > 60
    assert document["onnx"] == {"operators": {"GRU": 2}, "loops": 0, "opset": 18}
    assert set(document["metrics"]) == {"test_accuracy", "majority_accuracy", "recall", "test_rows"}
    assert document["metrics"]["test_rows"] == 28
    assert files(bundle) == BUNDLE
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_ship_with_keras_3_says_what_it_did(
    seqship: Call, beats: Path, tmp_path: Path, few_cases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = seqship("ship", "ecg-gru", "--data", beats, "--epochs", 1, "--keras", 3)
    assert (said.returncode, said.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in said.stdout.splitlines())
    assert list(lines) == ["trained", "accuracy", "recall", "onnx", "verdict", "bundle"]
    assert lines["trained"].startswith(
        "ecg-gru (Keras 3, 5,205 parameters) on 100 rows of heartbeat CSV beats.csv; best epoch 1 of 1, "
    )
    assert lines["accuracy"].endswith(" on 28 test rows; always the majority class: 0.429")
    assert [part.split()[0] for part in lines["recall"].split("  ")] == ["N", "S", "V", "F", "Q"]
    assert lines["onnx"].startswith("2 GRU, no Loop (opset 18, ")
    assert re.match(r"equivalent over \d\d cases and 28 rows of test data; largest difference ", lines["verdict"])
    assert float(lines["verdict"].split()[-1]) < 1e-5
    assert lines["bundle"] == "bundles/ecg-gru"
    manifest = json.loads((tmp_path / "bundles" / "ecg-gru" / "manifest.json").read_text())
    assert manifest["source"] == {"kind": "recipe", "name": "ecg-gru", "seed": 0, "keras": 3}
    again = seqship("ship", "ecg-gru", "--data", beats, "--epochs", 1, "--keras", 3)
    assert again.stderr == ("seqship: error: the output bundles/ecg-gru exists; choose another path or add --force\n")


HISTORY = {"loss", "accuracy", "val_loss", "val_accuracy"}


def history(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "history.json").read_text())


def test_training_that_was_killed_goes_on_as_if_it_had_not_been(
    seqship: Call, start: Start, beats: Path, tmp_path: Path, listing: Listing
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    settings = ("ecg-gru", "--data", beats, "--epochs", 6)
    process = start("train", *settings, "-o", killed)
    state = killed / "checkpoints" / "training.json"
    wait_for(
        lambda: state.exists() and len(json.loads(state.read_text())["progression"]["history"]["loss"]) == 1, process
    )
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (killed / "model.keras").exists()

    said = seqship("train", *settings, "-o", killed)
    assert said.stderr == (
        f"seqship: error: the output {killed} exists; add --resume to go on, --force to start anew\n"
    )
    said = seqship("train", "ecg-gru", "--data", beats, "--epochs", 5, "-o", killed, "--resume")
    assert said.returncode == 2
    assert said.stderr.startswith(f"seqship: error: the checkpoint in {killed / 'checkpoints'} is of another training")

    said = seqship("train", *settings, "-o", killed, "--resume")
    assert (said.returncode, said.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in said.stdout.splitlines())
    assert list(lines) == ["trained", "accuracy", "recall", "model"]
    assert lines["trained"].startswith("ecg-gru on heartbeat CSV beats.csv, best epoch ")
    assert 1 <= int(lines["trained"].partition(", resumed after ")[2]) <= 5
    assert lines["model"] == str(killed / "model.keras")
    assert not [name for name in listing(killed) if "/." in name]

    said = seqship("train", *settings, "-o", whole, "--json")
    assert (said.returncode, said.stderr) == (0, "")
    document = json.loads(said.stdout)
    assert document["resumed_at"] == 0
    assert document["model"] == str(whole / "model.keras")
    one, other = history(killed), history(whole)
    assert set(one["history"]) == HISTORY
    assert {len(values) for values in one["history"].values()} == {6}
    for key in HISTORY:
        np.testing.assert_allclose(one["history"][key], other["history"][key], rtol=1e-4)
    assert one["metrics"] == other["metrics"]
    assert one["best_epoch"] == other["best_epoch"]

    said = seqship("train", *settings, "-o", whole, "--force", "--seed", 1)
    assert said.returncode == 0
    assert history(whole)["history"]["loss"] != other["history"]["loss"]


def test_a_file_is_exported_inspected_and_run(seqship: Call, model_file: Path, tmp_path: Path, few_cases: None) -> None:
    out = tmp_path / "mine"
    said = seqship("export", model_file, "-o", out)
    assert (said.returncode, said.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in said.stdout.splitlines())
    assert list(lines) == ["onnx", "verdict", "bundle"]
    assert lines["onnx"].startswith("1 LSTM, no Loop (opset 18, ")
    assert lines["verdict"].startswith("equivalent over 43 cases; largest difference ")
    assert files(out) == BUNDLE
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["name"] == "mine"
    assert manifest["source"]["kind"] == "file"
    assert manifest["source"]["name"] == "small.keras"
    reasons = ["recurrent_activation is hard_sigmoid, cuDNN has sigmoid"]
    row = {
        "layer": "memory",
        "kind": "LSTM",
        "units": 3,
        "params": 60,
        "cudnn_eligible": False,
        "reasons": reasons,
        "onnx": "LSTM",
        "onnx_reasons": [],
        "cudnn_masks": [],
    }
    for target in (out, model_file):
        said = seqship("inspect", target, "--json")
        assert (said.returncode, said.stderr) == (0, "")
        assert json.loads(said.stdout) == [row]
        said = seqship("inspect", target)
        assert said.stdout == (
            "memory: LSTM(3), 60 parameters\n"
            "  onnx    LSTM\n"
            "  cudnn   not eligible: recurrent_activation is hard_sigmoid, cuDNN has sigmoid\n"
        )
        assert seqship("inspect", target, "--require-cudnn").returncode == 1
    said = seqship("predict", out, stdin=b"0.5,2,3\n1\n")
    assert (said.returncode, said.stderr) == (0, "")
    answers = [json.loads(line)["scores"] for line in said.stdout.splitlines()]
    expected = Predictor(out).predict([[0.5, 2, 3], [1]]).outputs["scores"]
    np.testing.assert_allclose(answers, expected, rtol=1e-6)
    said = seqship("export", model_file, "-o", out)
    assert said.stderr == f"seqship: error: the output {out} exists; choose another path or add --force\n"
    said = seqship("export", model_file, "-o", out, "--force", "--name", "other", "--formats", "onnx", "--json")
    assert (said.returncode, said.stderr) == (0, "")
    assert set(json.loads(said.stdout)) == SUMMARY
    assert json.loads((out / "manifest.json").read_text())["name"] == "other"
    assert not (out / "saved_model").exists()


def test_a_model_that_cudnn_cannot_run_is_refused_where_it_must(
    seqship: Call, model_file: Path, tmp_path: Path, listing: Listing
) -> None:
    said = seqship("export", model_file, "-o", tmp_path / "new", "--require-cudnn")
    assert said.stderr == (
        "seqship: error: cuDNN cannot run every recurrent layer "
        "(memory: recurrent_activation is hard_sigmoid, cuDNN has sigmoid); change it or drop --require-cudnn\n"
    )
    assert (said.returncode, said.stdout, listing(tmp_path)) == (1, "", [])


FACTORY = """
import tf_keras
from tf_keras import layers

class Swish(layers.Layer):
    def call(self, x):
        return x * x

def build():
    return tf_keras.Sequential(
        [layers.Input((None, 2), name="pair"), layers.SimpleRNN(3, name="memory"), Swish(), layers.Dense(1, name="out")]
    )

class Models:
    build = staticmethod(build)
"""


def test_a_factory_of_the_working_directory_is_exported(
    seqship: Call, tmp_path: Path, few_cases: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cli_package").mkdir()
    (tmp_path / "cli_package" / "__init__.py").write_text("")
    (tmp_path / "cli_package" / "models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    said = seqship("export", "cli_package.models:Models.build", "-o", "mine", "--json")
    assert (said.returncode, said.stderr) == (0, "")
    document = json.loads(said.stdout)
    assert document["onnx"]["operators"] == {"RNN": 1}
    assert document["metrics"] == {}
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert manifest["source"] == {"kind": "factory", "name": "cli_package.models:Models.build", "keras": 2}
    assert manifest["contract"]["inputs"] == [{"name": "pair", "dtype": "float32", "shape": ["batch", "time", 2]}]
    said = seqship("inspect", "cli_package.models:build")
    assert said.stdout.splitlines()[0] == "memory: SimpleRNN(3), 18 parameters"
    said = seqship("export", "cli_package.models:build", "-o", "other", "--keras", "3")
    assert said.stderr == (
        "seqship: error: cli_package.models:build gave a Keras 2 model, --keras asks for 3; leave --keras out\n"
    )


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(".new.seqship-*"))


def at_work(folder: Path) -> bool:
    return any((left / "model.onnx").exists() for left in leftovers(folder))


def test_a_kill_leaves_no_bundle_and_the_next_run_cleans_up(
    seqship: Call, start: Start, model_file: Path, tmp_path: Path, few_cases: None
) -> None:
    out = tmp_path / "new"
    process = start("export", model_file, "-o", out)
    wait_for(lambda: at_work(tmp_path), process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (left,) = leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [left]
    for path, reason in (
        (out, f"no bundle at {out}: the path does not exist"),
        (left, f"{left} is no bundle: it has no manifest.json; make one with seqship ship"),
    ):
        for command in ("verify", "predict"):
            said = seqship(command, path)
            assert (said.returncode, said.stdout, said.stderr) == (2, "", f"seqship: error: {reason}\n")
    said = seqship("export", model_file, "-o", out)
    assert (said.returncode, said.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [out]
    assert files(out) == BUNDLE


def test_ctrl_c_leaves_nothing(start: Start, model_file: Path, tmp_path: Path) -> None:
    process = start("export", model_file, "-o", tmp_path / "new")
    wait_for(lambda: at_work(tmp_path), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "seqship: error: interrupted\n")
    assert list(tmp_path.iterdir()) == []
