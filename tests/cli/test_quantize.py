"""`--quantize int8` and `--int8` from the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from seqship.export import ship
from seqship.export.bundle import INT8_FILE, MANIFEST, write_manifest
from seqship.export.falsification.int8_faults import int8_scale_doubled
from seqship.models import load_model
from seqship.models.flavour import load_flavour
from tests.cli.conftest import Said

Seqship = Callable[..., Said]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `lstm.keras`, a third of which can be int8, and `gru.keras`, of which nothing can."""
    folder = tmp_path_factory.mktemp("models")
    keras = load_flavour(3).keras
    keras.utils.set_random_seed(1)
    signal = keras.layers.Input((None, 2), name="signal")
    both = [keras.layers.LSTM(24, return_sequences=True, name="first"), keras.layers.GRU(4, name="second")]
    keras.Sequential([signal, *both]).save(folder / "lstm.keras")
    keras.Sequential([signal, keras.layers.GRU(4, name="only")]).save(folder / "gru.keras")
    return folder


@pytest.fixture(scope="module")
def made(models: Path) -> Path:
    """The bundle of the first."""
    model = load_model(str(models / "lstm.keras")).model
    return ship(model, models / "bundle", name="lstm", formats=["onnx"], quantize="int8").path


def test_export_prints_size_and_verdict(models: Path, tmp_path: Path, few_cases: None, seqship: Seqship) -> None:
    said = seqship("export", models / "lstm.keras", "-o", tmp_path / "bundle", "--quantize", "int8")
    assert said.returncode == 0, said.stderr
    assert "int8     model.int8.onnx, " in said.stdout
    assert "float32 still: second (onnxruntime has no int8 kernel for GRU)" in said.stdout
    assert (tmp_path / "bundle" / INT8_FILE).is_file()


def test_the_summary_as_json(made: Path, tmp_path: Path, seqship: Seqship) -> None:
    shutil.copytree(made, tmp_path / "bundle")
    document = json.loads(seqship("verify", tmp_path / "bundle", "--json").stdout)
    assert document["equivalent"] is True
    assert document["int8"]["passed"] is True
    assert document["int8"]["bytes"] < document["int8"]["float_bytes"]


def test_inspect_says_it_of_each_layer(made: Path, seqship: Seqship) -> None:
    said = seqship("inspect", made).stdout
    assert "  int8    int8 weights\n" in said
    assert "  int8    float32: onnxruntime has no int8 kernel for GRU\n" in said
    rows = json.loads(seqship("inspect", made, "--json").stdout)
    assert [(row["layer"], row["int8"]) for row in rows] == [("first", True), ("second", False)]


def test_predict_uses_it(made: Path, tmp_path: Path, seqship: Seqship) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("[[1, 2], [0.5, 0.1]]\n")
    plain, int8 = (json.loads(seqship("predict", made, "-i", source, *extra).stdout) for extra in ((), ("--int8",)))
    (name,) = plain
    assert plain != int8
    assert plain[name] == pytest.approx(int8[name], abs=0.05)
    said = seqship("predict", made, "-i", source, "--int8", "--runtime", "saved_model")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == "seqship: error: --int8 is an ONNX file, --runtime is saved_model; leave one out\n"


def test_a_wrong_file_ends_with_1(made: Path, tmp_path: Path, seqship: Seqship) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(made, wrong)
    onnx.save(int8_scale_doubled(onnx.load(wrong / INT8_FILE)), wrong / INT8_FILE)
    manifest = json.loads((wrong / MANIFEST).read_text(encoding="utf-8"))
    del manifest["files"]
    write_manifest(wrong, manifest)
    said = seqship("verify", wrong)
    assert said.returncode == 1
    assert "verdict  equivalent over" in said.stdout
    assert "NOT what int8 makes of model.onnx: int8 has " in said.stdout
    document = json.loads(seqship("verify", wrong, "--json").stdout)
    assert (document["equivalent"], document["int8"]["passed"]) == (True, False)
    said = seqship("predict", wrong, "--int8", stdin=b"[[1, 2]]")
    assert said.returncode == 1
    assert said.stderr.endswith("model.int8.onnx is not what int8 makes of the model; see the bundle's report.json\n")


def test_mistakes_are_told_in_one_line(models: Path, tmp_path: Path, seqship: Seqship) -> None:
    target = tmp_path / "bundle"
    for arguments, told in [
        ((models / "lstm.keras", "--quantize", "int4"), "invalid value for '--quantize': 'int4' is not one of 'int8'"),
        (
            (models / "lstm.keras", "--quantize", "int8", "--formats", "saved_model"),
            "int8 weights are for ONNX, formats",
        ),
        (
            (models / "gru.keras", "--quantize", "int8"),
            "nothing in the model can be int8 (only: onnxruntime has no int8",
        ),
    ]:
        said = seqship("export", *arguments, "-o", target)
        assert said.returncode == 2
        assert said.stderr.startswith(f"seqship: error: {told}")
        assert said.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


def test_ship_tells_before_it_trains(tmp_path: Path, seqship: Seqship) -> None:
    said = seqship("ship", "mnist-rows", "--quantize", "int8", "--out", tmp_path / "bundle", "--epochs", 1)
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr.startswith("seqship: error: nothing in the model can be int8 (reading: onnxruntime has no int8")
    assert list(tmp_path.iterdir()) == []
