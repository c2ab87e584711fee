"""An int8 file is held to what int8 makes of the float32 file: right ones pass, wrong ones are named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from seqship.errors import ModelError
from seqship.export.falsification import int8_faults
from seqship.export.falsification.int8_faults import INT8_FAULTS, Int8Fault
from seqship.export.quantization_proof import NOISE
from seqship.export.recording import RecordedCase
from seqship.models.flavour import Flavour, load_flavour
from seqship.pipelines.sequences import Sequences
from tests.export.int8_models import TOKENS, WORDS, Int8Model, quantized_model, reader


@pytest.fixture(scope="module")
def found(flavour: Flavour, tmp_path_factory: pytest.TempPathFactory) -> Int8Model:
    return quantized_model(reader(flavour), tmp_path_factory.mktemp("int8"), [TOKENS])


def judge_wrong(found: Int8Model, wrong: onnx.ModelProto, folder: Path) -> Any:
    onnx.save(wrong, folder / "wrong.onnx")
    return found.judge(folder / "wrong.onnx")


def test_a_right_file_passes_in_each_way_to_run_it(found: Int8Model) -> None:
    proof = found.judge()
    assert proof
    assert proof.failures == ()
    assert proof.changed == ()
    assert {row.runner for row in proof.agreements} == {"int8", "int8_off", "int8_1_thread"}
    assert proof.cases == len(found.recorded)
    assert [row.weight for row in proof.weights] == ["data", "W", "R", "W", "R", "B"]
    assert proof.worst is not None
    assert 0 < proof.worst.severity < 0.5
    # It is another model than the float32 file, if only a little.
    assert 1e-5 < proof.largest < 0.2


@pytest.mark.parametrize("times", [0.3, 4.0])
def test_a_right_file_passes_however_large_its_weights_are(times: float, tmp_path: Path) -> None:
    assert quantized_model(reader(load_flavour(2), times=times), tmp_path, [TOKENS]).judge()


@pytest.mark.parametrize("fault", INT8_FAULTS, ids=lambda fault: fault.__name__)
def test_a_wrong_file_is_convicted(found: Int8Model, fault: Int8Fault, tmp_path: Path) -> None:
    before = found.int8.path.read_bytes()
    proof = judge_wrong(found, fault(found.proto), tmp_path)
    assert not proof
    assert proof.failures
    assert all("\n" not in line and line.startswith("int8") for line in proof.failures)
    assert found.int8.path.read_bytes() == before


def test_a_wrong_scale_is_named_with_the_weight(found: Int8Model, tmp_path: Path) -> None:
    proof = judge_wrong(found, int8_faults.int8_scale_doubled(found.proto), tmp_path)
    wrong = [row for row in proof.weights if not row.passed]
    assert [(row.weight, round(row.steps)) for row in wrong] == [("R", 32)]
    assert proof.failures[0].startswith("int8 has ")
    assert ", the float32 file " in proof.failures[0]
    assert proof.failures[0].endswith("32.2 steps of its grid apart, where rounding makes half of one")
    # And the cases show by themselves that it matters.
    assert any(not row.passed for row in proof.agreements)


def test_a_grid_that_is_too_coarse_is_told_as_such(found: Int8Model, tmp_path: Path) -> None:
    proof = judge_wrong(found, int8_faults.int8_grid_too_coarse(found.proto), tmp_path)
    said = [line for line in proof.failures if "coarsely" in line]
    (row,) = [row for row in proof.weights if row.coarse > 1]
    assert row.coarse == pytest.approx(2 * 63 / 64, rel=1e-3)
    assert not row.passed
    assert len(said) == 1 or row.steps > 0.5


def test_a_wrong_constant_and_a_wrong_operator_are_named(found: Int8Model, tmp_path: Path) -> None:
    proof = judge_wrong(found, int8_faults.int8_bias_of_the_step_before(found.proto), tmp_path)
    assert len(proof.changed) == 1
    assert proof.changed[0].startswith("int8 lacks or changes the constant ")
    proof = judge_wrong(found, int8_faults.int8_lengths_left_out(found.proto), tmp_path)
    assert len(proof.changed) == 1
    assert proof.changed[0].startswith("int8 lacks or changes the operator last")


def test_a_file_that_onnxruntime_cannot_run_is_convicted(found: Int8Model, tmp_path: Path) -> None:
    proof = judge_wrong(found, int8_faults.int8_zero_point_off(found.proto), tmp_path)
    assert any(line.endswith("scores: output is missing") for line in proof.failures)


def test_the_float32_file_in_its_place_is_no_int8_file(found: Int8Model) -> None:
    proof = found.judge(found.plain.path)
    assert not proof
    assert proof.weights == ()


def test_what_int8_cannot_take_is_left_out(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 3), name="x"), layers.LSTM(16, name="y")])
    made = quantized_model(model, tmp_path)
    values = np.ones((2, 4, 3), np.float32)
    values[0, 1, 0] = np.nan
    nan = RecordedCase("batch=2 time=4 mask=full values=nan", {"x": values}, made.recorded[0].expected)
    text = RecordedCase("batch=1 time=1 mask=text", {"text": np.array(["a"])}, made.recorded[0].expected)
    unknown = replace(made.recorded[0], case="batch=1 time=1 mask=full values=out-of-vocabulary", expected={})
    proof = made.judge(recorded=[*made.recorded, nan, text, unknown])
    assert proof
    assert proof.cases == len(made.recorded)
    assert not made.judge(recorded=[nan, text, unknown])


def test_the_cost_over_data_and_over_steps_is_told(found: Int8Model) -> None:
    random = np.random.default_rng(0)
    values = tuple(random.integers(1, WORDS, length).astype(np.int32) for length in random.integers(1, 30, 60))
    data = Sequences(values, random.integers(0, 3, 60), ("a", "b", "c"))
    proof = found.judge(data=data)
    (cost,) = proof.data
    assert (cost.output, cost.rows) == ("scores", 60)
    assert cost.max_abs > 0
    assert set(cost.task.measures) == {"accuracy", "auc", "f1"}
    assert [row.time for row in proof.drift] == [24, 120, 480]
    assert all(0 < row.max_abs < row.scale for row in proof.drift)
    document = json.loads(json.dumps(proof.to_json(), allow_nan=False))
    assert document["passed"] is True
    assert document["rule"] == {"rule": "int8", "multiple": NOISE.multiple, "places": NOISE.places, "why": NOISE.why}
    assert document["test_split"][0]["task"]["rows"] == 60
    told = json.loads(json.dumps(proof.verdict(), allow_nan=False))
    assert told["data"][0]["measures"]["accuracy"].keys() == {"reference", "other"}


def test_a_file_that_is_none_is_told(found: Int8Model, tmp_path: Path) -> None:
    (tmp_path / "none.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"none\.onnx is no ONNX file"):
        found.judge(tmp_path / "none.onnx")
