"""A bundle is made whole and says of itself what is true, or is not made at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from seqship.errors import ModelError, OutputError, ProofError
from seqship.export import read_bundle, ship
from seqship.export.bundle import unnamed_files
from seqship.export.shipping import versions
from seqship.models.flavour import Flavour, load_flavour
from seqship.pipelines.sequences import Sequences
from seqship.pipelines.spec import Field


@pytest.fixture(scope="module")
def cheap() -> Any:
    """A model of fixed length without a mask, whose proof is three cases."""
    layers = load_flavour(3).keras.layers
    return load_flavour(3).keras.Sequential(
        [layers.Input((4, 2), name="signal"), layers.SimpleRNN(3, activation="softmax", name="scores")]
    )


def test_a_bundle_holds_what_it_says(shipped: Path, flavour: Flavour, small: Any) -> None:
    bundle = read_bundle(shipped)
    assert bundle.equivalent
    assert unnamed_files(bundle) == ()
    files = set(bundle.manifest["files"])
    assert {"model.onnx", "saved_model/saved_model.pb", "verification/cases.npz"} <= files
    assert {"report.html", "report.json"} <= files
    assert bundle.name == "small"
    assert [field.name for field in (*bundle.inputs, *bundle.outputs)] == ["signal", "scores"]
    assert bundle.inputs[0].pad_value == -1
    manifest = bundle.manifest
    assert manifest["source"] == {"kind": "memory", "keras": flavour.version}
    method = {"method": "tensorflow/serving/predict"}
    assert manifest["signatures"]["serving_default"] == method | manifest["contract"]
    assert [*manifest["signatures"]] == ["serving_default", "tf_example"]
    assert manifest["onnx"]["operators"] == {"GRU": 2}
    assert [row["layer"] for row in manifest["audit"]] == ["first", "second"]
    proof = manifest["equivalence"]
    assert (proof["cases"], proof["failures"], proof["rows"]) == (46, 0, 0)
    assert proof["verified"] == manifest["created"]
    assert manifest["versions"] == versions(flavour.package)
    assert manifest["versions"][flavour.package] == flavour.package_version


def test_the_report_says_the_same_as_the_manifest(shipped: Path) -> None:
    manifest = read_bundle(shipped).manifest
    report = json.loads((shipped / "report.json").read_text(encoding="utf-8"))
    for key in ("name", "created", "versions", "source", "contract", "onnx"):
        assert report[key] == manifest[key]
    assert report["equivalent"] is True
    assert len([row for row in report["cases"] if not row["case"].startswith("relation=")]) == 46 * 6
    page = (shipped / "report.html").read_text(encoding="utf-8")
    assert "NOT equivalent" not in page
    assert "small" in page


def test_the_report_keeps_its_published_schema(shipped: Path) -> None:
    root = Path(__file__).parents[2]
    schema = json.loads((root / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    report = json.loads((shipped / "report.json").read_text(encoding="utf-8"))
    checker.validate(report)
    # Every row is described whole, and nothing else may stand in it.
    first = report["cases"][0]
    wrong: list[dict[str, Any]] = [
        {"cases": [first | {"surprise": 1}]},
        {"cases": [{key: value for key, value in first.items() if key != "severity"}]},
        {"equivalent": "yes"},
        {"tolerance": {"rule": "rounding"}},
    ]
    assert not any(checker.is_valid(report | change) for change in wrong)


def test_nothing_but_the_bundle_is_left(shipped: Path) -> None:
    assert list(shipped.parent.iterdir()) == [shipped]


@pytest.mark.parametrize("formats", [("onnx",), ("saved_model",)])
def test_a_bundle_of_one_format(cheap: Any, formats: tuple[str, ...], tmp_path: Path) -> None:
    bundle = ship(cheap, tmp_path / "bundle", name="cheap", formats=formats)
    assert bundle.equivalent
    assert (bundle.onnx is not None, bundle.saved_model is not None) == ("onnx" in formats, "saved_model" in formats)
    assert bundle.manifest["equivalence"]["cases"] == 31
    assert (bundle.manifest["onnx"] is None) == ("onnx" not in formats)
    assert bundle.manifest["audit"][0]["layer"] == "scores"


@pytest.mark.parametrize(("formats", "got"), [((), "none"), (("onnx", "pickle"), "onnx, pickle")])
def test_formats_are_checked_first(cheap: Any, formats: tuple[str, ...], got: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"^formats must be of saved_model, onnx, got {got}$"):
        ship(cheap, tmp_path / "bundle", name="cheap", formats=formats)
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_an_input_is_refused_and_leaves_nothing_behind(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    layer = layers.ConvLSTM1D(2, 3, stateful=True, name="memory")
    model = flavour.keras.Sequential([layers.Input(batch_shape=(2, 5, 6, 1), name="signal"), layer])
    message = (
        r"^layer 'memory' \(ConvLSTM1D\) is stateful and its state would be lost between calls; build the model with "
        r"stateful=False, or pass the state with initial_state and return_state$"
    )
    with pytest.raises(ModelError, match=message):
        ship(model, tmp_path / "deep" / "bundle", name="memory")
    assert not (tmp_path / "deep" / "bundle").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(".")]


def test_a_loop_that_is_not_allowed_leaves_nothing_behind(tmp_path: Path) -> None:
    layers = load_flavour(3).keras.layers
    model = load_flavour(3).keras.Sequential(
        [layers.Input((None, 2), name="signal"), layers.SimpleRNN(3, activation="exponential", name="odd")]
    )
    with pytest.raises(ProofError, match=r"^1 Loop left in the ONNX graph \(odd: activation exponential has no "):
        ship(model, tmp_path / "bundle", name="odd", allow_loop=False)
    assert list(tmp_path.iterdir()) == []


def test_cudnn_is_required_before_any_work(cheap: Any, tmp_path: Path) -> None:
    reason = "scores: Keras has no cuDNN implementation of SimpleRNN"
    message = rf"^cuDNN cannot run every recurrent layer \({reason}\); change it or drop --require-cudnn$"
    with pytest.raises(ProofError, match=message):
        ship(cheap, tmp_path / "bundle", name="cheap", require_cudnn=True)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_replaced_by_force_alone(cheap: Any, tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    ship(cheap, path, name="one", formats=["onnx"])
    with pytest.raises(OutputError, match=rf"^the output {path} exists; choose another path or add --force$"):
        ship(cheap, path, name="two", formats=["onnx"])
    assert read_bundle(path).name == "one"
    ship(cheap, path, name="two", formats=["onnx"], force=True)
    assert read_bundle(path).name == "two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_bundle_is_made_in_the_working_directory(cheap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = ship(cheap, "bundle", name="cheap", formats=["onnx"])
    assert bundle.path == Path("bundle")
    assert read_bundle(tmp_path / "bundle").equivalent


def test_facts_and_contracts_go_into_the_bundle(cheap: Any, tmp_path: Path) -> None:
    outputs = [Field("probabilities", "float32", ("batch", 3), classes=("a", "b", "c"))]
    training = {"data": "noise", "train_rows": 9, "epochs": 2, "history": {"loss": [2.0, 1.0]}}
    data = Sequences(tuple(np.ones((4, 2), np.float32) for _ in range(5)), np.zeros(5, np.int64), ("a", "b", "c"))
    bundle = ship(
        cheap,
        tmp_path / "bundle",
        name="cheap",
        outputs=outputs,
        formats=["onnx"],
        data=data,
        source={"kind": "recipe", "name": "r"},
        facts={"metrics": {"test_accuracy": 0.5}},
    )
    assert bundle.outputs == tuple(outputs)
    assert bundle.manifest["metrics"] == {"test_accuracy": 0.5}
    assert bundle.manifest["source"] == {"kind": "recipe", "name": "r", "keras": 3}
    assert bundle.manifest["equivalence"]["rows"] == 5
    assert training["epochs"] == 2


def test_a_wrong_export_is_written_and_says_so(cheap: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqship.export import operators

    # A lowering with the wrong activation: the proof runs the files and tells.
    monkeypatch.setitem(operators.ACTIVATIONS, "tanh", "Softsign")
    layers = load_flavour(3).keras.layers
    model = load_flavour(3).keras.Sequential([layers.Input((4, 2), name="signal"), layers.GRU(3, name="scores")])
    bundle = ship(model, tmp_path / "bundle", name="wrong")
    assert not bundle.equivalent
    assert bundle.manifest["equivalence"]["worst"]["runner"] == "onnx"
    assert bundle.manifest["equivalence"]["failures"] >= 5
    assert "NOT equivalent" in (tmp_path / "bundle" / "report.html").read_text(encoding="utf-8")
