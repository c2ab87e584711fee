"""A bundle with an int8 file: a verdict of its own, made again from the files alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from seqship.errors import BundleError, ModelError, ProofError
from seqship.export import read_bundle, ship, verify
from seqship.export.bundle import INT8_FILE, MANIFEST, write_manifest
from seqship.export.falsification.int8_faults import int8_scale_doubled
from seqship.export.int8_summary import int8_rows, with_int8
from seqship.export.summary import summary, summary_rows
from seqship.models.flavour import load_flavour
from seqship.pipelines.sequences import Sequences
from seqship.serving import Predictor


def sequences(count: int) -> Sequences:
    random = np.random.default_rng(1)
    values = tuple(random.normal(size=(length, 3)).astype(np.float32) for length in random.integers(2, 12, count))
    return Sequences(values, random.integers(0, 4, count), ("a", "b", "c", "d"), source="drawn")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX bundle with real data and an int8 file, one layer of which stays float32."""
    layers = load_flavour(3).keras.layers
    load_flavour(3).keras.utils.set_random_seed(2)
    model = load_flavour(3).keras.Sequential(
        [
            layers.Input((None, 3), name="signal"),
            layers.Masking(-1.0),
            layers.LSTM(16, return_sequences=True, name="first"),
            layers.GRU(6, name="second"),
            layers.Dense(4, activation="softmax", name="scores"),
        ]
    )
    directory = tmp_path_factory.mktemp("made") / "bundle"
    ship(model, directory, name="made", formats=["onnx"], quantize="int8", data=sequences(40))
    return directory


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "bundle")
    return tmp_path / "bundle"


def spoil(bundle: Path) -> None:
    """Doubles a scale, and writes the digests of the files as they are then."""
    onnx.save(int8_scale_doubled(onnx.load(bundle / INT8_FILE)), bundle / INT8_FILE)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    del manifest["files"]
    write_manifest(bundle, manifest)


def without_time(manifest: Any) -> Any:
    return {key: value for key, value in manifest["int8"].items() if key != "verified"}


def test_a_bundle_has_the_file_and_its_verdict(made: Path) -> None:
    found = read_bundle(made)
    assert found.equivalent
    assert found.int8 == made / INT8_FILE
    assert found.int8_passed
    int8 = found.manifest["int8"]
    assert (int8["passed"], int8["failures"], int8["first_failure"]) == (True, 0, None)
    assert (
        int8["bytes"] == (made / INT8_FILE).stat().st_size < int8["float_bytes"] == (made / "model.onnx").stat().st_size
    )
    assert (int8["data"][0]["output"], int8["data"][0]["rows"]) == ("scores", 40)
    # Each case of the float32 file but those that int8 cannot take.
    assert 0 < int8["cases"] < found.manifest["equivalence"]["cases"]
    report = json.loads((made / "report.json").read_text(encoding="utf-8"))["int8"]
    assert report["passed"] is True
    assert {row["runner"] for row in report["cases"]} == {"int8", "int8_off", "int8_1_thread"}


def test_a_bundle_without_one_has_none(shipped: Path) -> None:
    found = read_bundle(shipped)
    assert (found.int8, found.int8_passed) == (None, True)
    assert "int8" not in found.manifest
    assert "int8" not in summary(found)
    with pytest.raises(BundleError, match=r"holds no model\.int8\.onnx; export it with --quantize int8$"):
        Predictor(shipped, int8=True)


def test_verify_says_the_same_of_it_again(bundle: Path) -> None:
    before = read_bundle(bundle).manifest
    verified, proof = verify(bundle)
    assert proof
    assert without_time(verified.manifest) == without_time(before)
    # What was found over data stands.
    report = json.loads((bundle / "report.json").read_text(encoding="utf-8"))
    assert report["int8"]["test_split"][0]["rows"] == 40
    assert report["int8"]["bytes"] == before["int8"]["bytes"]


def test_verify_with_other_data_tells_what_int8_costs_there(bundle: Path) -> None:
    verified, _ = verify(bundle, data=sequences(25))
    assert verified.manifest["int8"]["data"][0]["rows"] == 25


def test_a_wrong_file_is_convicted_and_the_float32_files_are_not(bundle: Path) -> None:
    spoil(bundle)
    verified, proof = verify(bundle)
    assert proof
    assert verified.equivalent
    assert not verified.int8_passed
    assert verified.manifest["int8"]["first_failure"].startswith("int8 has ")
    Predictor(bundle)
    with pytest.raises(
        ProofError, match=r"model\.int8\.onnx is not what int8 makes of the model; see the bundle's report\.json$"
    ):
        Predictor(bundle, int8=True)
    said = dict(summary_rows(verified))["int8"]
    assert "NOT what int8 makes of model.onnx: int8 has " in said
    assert said.endswith("more in report.json")
    assert summary(verified)["int8"]["passed"] is False


def test_the_predictor_opens_it(made: Path) -> None:
    plain, int8 = Predictor(made), Predictor(made, int8=True)
    rows = list(sequences(6).values)
    one, two = (np.asarray(predictor.predict(rows).outputs["scores"]) for predictor in (plain, int8))
    assert 0 < np.abs(one - two).max() < 0.05
    direct = Predictor(made / INT8_FILE)
    np.testing.assert_array_equal(direct.predict(rows).outputs["scores"], two)
    with pytest.raises(
        BundleError, match=r"int8 is a choice between a bundle's files, .*model\.onnx is one file; give the"
    ):
        Predictor(made / "model.onnx", int8=True)


def test_nothing_is_written_where_nothing_can_be_quantized(small: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^nothing in the model can be int8"):
        ship(small, tmp_path / "bundle", name="small", quantize="int8")
    assert list(tmp_path.iterdir()) == []


def test_the_summary_is_a_few_lines(made: Path) -> None:
    rows = int8_rows(read_bundle(made).manifest["int8"])
    assert [label for label, _ in rows] == ["int8", "", ""]
    assert rows[0][1].startswith("model.int8.onnx, ")
    assert "within what int8 explains over" in rows[0][1]
    assert re.fullmatch(r"scores: \d+ of 40 decisions change.*, accuracy 0\.\d{4} \(float32 0\.\d{4}\)", rows[1][1])
    assert rows[2] == ("", "float32 still: second (onnxruntime has no int8 kernel for GRU)")


def test_the_audit_says_of_each_layer_whether_it_is_int8(made: Path) -> None:
    manifest = read_bundle(made).manifest
    rows = with_int8(manifest["audit"], manifest["int8"])
    assert [(row["layer"], row["int8"], row["int8_reasons"]) for row in rows] == [
        ("first", True, []),
        ("second", False, ["onnxruntime has no int8 kernel for GRU"]),
    ]
    assert with_int8(manifest["audit"], None) == manifest["audit"]
