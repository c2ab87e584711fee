"""The int8 file: smaller, checked, the same at every export, or not there at all."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest

from seqship.errors import ModelError
from seqship.export.bundle import CONTRACT_KEY
from seqship.export.onnx import LOWEST_OPSET, to_onnx
from seqship.export.quantization import check_quantization, write_int8
from seqship.models.flavour import Flavour, load_flavour
from tests.export.int8_models import TOKENS, UNITS, WORDS, Int8Model, quantized_model, reader


@pytest.fixture(scope="module")
def found(flavour: Flavour, tmp_path_factory: pytest.TempPathFactory) -> Int8Model:
    return quantized_model(reader(flavour), tmp_path_factory.mktemp("int8"), [TOKENS])


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_tables_matrices_and_lstms_become_int8(found: Int8Model) -> None:
    plain, int8 = operators(onnx.load(found.plain.path)), operators(found.proto)
    assert (plain["LSTM"], plain["GRU"], plain["MatMul"]) == (2, 1, 2)
    assert (int8["DynamicQuantizeLSTM"], int8["LSTM"], int8["GRU"]) == (2, 0, 1)
    # The table of 64 * 16 and the matrix of 16 * 64; that of the scores is too small to be worth it.
    assert (int8["MatMulInteger"], int8["MatMul"]) == (1, 1)
    assert found.int8.operators == {"Gather": 1, "LSTM": 2, "MatMul": 1}
    lstms = 2 * 4 * 12 * (UNITS + 12) + 4 * UNITS * (10 + UNITS)
    assert found.int8.int8_weights == lstms + 2 * WORDS * UNITS
    assert found.int8.all_weights > found.int8.int8_weights


def test_it_says_what_it_wrote(found: Int8Model) -> None:
    assert found.int8.size == found.int8.path.stat().st_size < found.plain.size == found.int8.float_size
    assert [(row.layer, row.int8, row.reasons) for row in found.int8.layers if not row.int8] == [
        ("gated", False, ("onnxruntime has no int8 kernel for GRU",))
    ]
    assert sorted(row.layer for row in found.int8.layers if row.int8) == sorted(
        row.layer for row in found.plain.audit if row.onnx == "LSTM"
    )
    document = json.loads(json.dumps(found.int8.to_json()))
    assert (document["bytes"], document["float_bytes"]) == (found.int8.size, found.plain.size)
    assert set(document) == {"bytes", "float_bytes", "operators", "int8_weights", "all_weights", "layers"}


def test_names_axes_contract_and_maker_stay(found: Int8Model) -> None:
    plain, int8 = onnx.load(found.plain.path), found.proto
    assert list(int8.graph.input) == list(plain.graph.input)
    assert list(int8.graph.output) == list(plain.graph.output)
    assert list(int8.metadata_props) == list(plain.metadata_props)
    assert CONTRACT_KEY in {entry.key for entry in int8.metadata_props}
    assert (int8.producer_name, int8.producer_version) == (plain.producer_name, plain.producer_version)
    assert int8.ir_version == plain.ir_version


def test_weights_have_seven_bits(found: Int8Model) -> None:
    integers = [onnx.numpy_helper.to_array(one) for one in found.proto.graph.initializer if one.data_type == 3]
    large = [value for value in integers if value.size >= 16]
    assert large
    assert all(value.min() >= -64 and value.max() <= 64 for value in large)


def test_the_same_bytes_again_and_nothing_else(found: Int8Model, tmp_path: Path) -> None:
    again = write_int8(found.plain.path, tmp_path / "again.onnx", audit=found.plain.audit)
    assert again.path.read_bytes() == found.int8.path.read_bytes()
    assert list(tmp_path.iterdir()) == [again.path]


def test_it_is_quiet(found: Int8Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    write_int8(found.plain.path, tmp_path / "quiet.onnx")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers


def test_nothing_to_quantize_is_told_with_the_layers(small: Any, tmp_path: Path) -> None:
    plain = to_onnx(small, tmp_path / "model.onnx")
    with pytest.raises(ModelError) as caught:
        write_int8(plain.path, tmp_path / "model.int8.onnx", audit=plain.audit)
    assert str(caught.value) == (
        "nothing in the model can be int8 (first: onnxruntime has no int8 kernel for GRU; second: onnxruntime has no "
        "int8 kernel for GRU; no other matrix of 1,024 weights or more); leave out --quantize"
    )
    assert list(tmp_path.iterdir()) == [plain.path]


def test_a_file_that_would_be_no_smaller_is_told(tmp_path: Path) -> None:
    layers = load_flavour(3).keras.layers
    model = load_flavour(3).keras.Sequential([layers.Input((None, 1), name="x"), layers.LSTM(1, name="y")])
    plain = to_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(
        ModelError, match=r"^int8 makes the model no smaller \([\d,]+ bytes, [\d,]+ with int8 weights\)"
    ):
        write_int8(plain.path, tmp_path / "model.int8.onnx")
    assert list(tmp_path.iterdir()) == [plain.path]


def test_what_cannot_be_quantized_is_refused() -> None:
    check_quantization(None, ["saved_model"])
    check_quantization("int8", ["saved_model", "onnx"])
    with pytest.raises(ModelError, match=r"^quantize must be int8, got 'int4'$"):
        check_quantization("int4", ["onnx"])
    with pytest.raises(ModelError, match=r"^int8 weights are for ONNX, formats are saved_model; add onnx$"):
        check_quantization("int8", ["saved_model"])


def test_a_layer_that_is_called_twice_is_quantized_twice(flavour: Flavour, tmp_path: Path) -> None:
    keras = flavour.keras
    keras.utils.set_random_seed(3)
    one, two = (keras.Input((None, 3), name=name) for name in ("one", "two"))
    shared = keras.layers.LSTM(16, name="shared")
    both = keras.layers.Concatenate(name="joined")([shared(one), shared(two)])
    model = keras.Model([one, two], keras.layers.Dense(2, name="scores")(both))
    made = quantized_model(model, tmp_path)
    assert operators(made.proto)["DynamicQuantizeLSTM"] == 2
    proof = made.judge()
    assert proof, proof.failures
    assert len(proof.weights) == 4


def test_a_stateful_model_keeps_its_optional_states(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    flavour.keras.utils.set_random_seed(3)
    model = flavour.keras.Sequential(
        [layers.Input(batch_shape=(2, None, 3), name="x"), layers.LSTM(16, stateful=True, name="kept"), layers.Dense(2)]
    )
    made = quantized_model(model, tmp_path)
    assert [case for case in made.recorded if "state/kept/h" in case.feed]
    assert [case for case in made.recorded if "state/kept/h" not in case.feed]
    assert made.judge()


@pytest.mark.parametrize("opset", [LOWEST_OPSET, 17])
def test_older_operator_sets_are_quantized_and_proven(opset: int, tmp_path: Path) -> None:
    made = quantized_model(reader(load_flavour(3)), tmp_path, [TOKENS], opset=opset)
    assert {one.domain: one.version for one in made.proto.opset_import}[""] == opset
    assert made.judge()
