"""Weights of an int8 file beside those that they were rounded from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from seqship.export.falsification.onnx_edits import nodes_of, put_value, value_of
from seqship.export.quantized_graph import other_changes
from seqship.export.quantized_weights import QuantizedWeight, check_weights, read_weights
from seqship.models.flavour import load_flavour
from tests.export.int8_models import TOKENS, Int8Model, quantized_model, reader

SCALE = 1 / 64


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Int8Model:
    return quantized_model(reader(load_flavour(2)), tmp_path_factory.mktemp("int8"), [TOKENS])


def weight(expected: Any, integers: Any, step: float = SCALE) -> QuantizedWeight:
    """A matrix whose columns reach 1 at most."""
    values = np.asarray(expected, np.float32)
    steps = np.full(values.shape, step)
    return QuantizedWeight("dense", 1, "B", values, steps, np.asarray(integers, np.float64) * steps)


def test_the_nearest_number_passes_and_the_next_one_does_not() -> None:
    expected = [[1.0, -1.0], [0.3, 0.5]]
    right = [[64, -64], [19, 32]]  # 0.3 * 64 is 19.2
    (check,) = check_weights({("dense", 1): weight(expected, right)})
    assert check.passed
    assert check.steps == pytest.approx(0.2, abs=1e-3)
    wrong = [[64, -64], [20, 32]]
    (check,) = check_weights({("dense", 1): weight(expected, wrong)})
    assert not check.passed
    assert (check.index, check.steps) == ((1, 0), pytest.approx(0.8, abs=1e-3))
    assert check.sentence() == (
        "int8 has 0.3125 for B[1, 0] of dense, the float32 file 0.3: 0.8 steps of its grid apart, where rounding makes "
        "half of one"
    )


def test_a_grid_is_as_fine_as_seven_bits_allow_in_each_column() -> None:
    expected = [[1.0, 0.25], [0.5, 0.125]]
    (check,) = check_weights({("dense", 1): weight(expected, [[64, 16], [32, 8]])})
    # The second column has no weight above a quarter, and a grid made for 1.
    assert check.steps == 0
    assert not check.passed
    assert check.coarse == pytest.approx(4 * 63 / 64)
    assert check.sentence() == "int8 rounds B of dense 3.94 times as coarsely as 7 bits need be"


def test_a_weight_that_is_not_there_is_no_weight() -> None:
    missing = QuantizedWeight("dense", 1, "B", np.ones((2, 2), np.float32), None, None)
    (check,) = check_weights({("dense", 1): missing})
    assert not check.passed
    assert math.isinf(check.steps)
    assert check.to_json()["steps"] == "Infinity"
    assert check.sentence() == "int8 has no weight B of dense that could be compared with the float32 file's"


def test_weights_are_read_in_the_order_of_the_float32_file(made: Int8Model) -> None:
    plain = onnx.load(made.plain.path)
    found = read_weights(plain, made.proto)
    assert [(one.name, one.expected.shape) for one in found.values()] == [
        ("data", (64, 16)),
        ("W", (2, 48, 16)),
        ("R", (2, 48, 12)),
        ("W", (1, 64, 10)),
        ("R", (1, 64, 16)),
        ("B", (16, 64)),
    ]
    for one in found.values():
        assert one.actual is not None
        largest = np.abs(one.expected).max()
        assert 0 < np.abs(one.actual - one.expected).max() <= largest / 64
    assert all(check.passed for check in check_weights(found))
    assert read_weights(plain, plain) == {}


def test_each_weight_counts(made: Int8Model) -> None:
    """A single integer that is one off is found, wherever it is."""
    plain = onnx.load(made.plain.path)
    for operator, position in (("DynamicQuantizeLSTM", 1), ("DynamicQuantizeLSTM", 2), ("MatMulInteger", 1)):
        wrong = made.proto
        name = nodes_of(wrong, operator)[-1].input[position]
        values = value_of(wrong, name)
        values.flat[-1] += 1 if values.flat[-1] < 0 else -1
        put_value(wrong, name, values)
        failed = [check for check in check_weights(read_weights(plain, wrong)) if not check.passed]
        assert len(failed) == 1
        assert 0.5 < failed[0].steps <= 1.5


def test_each_other_constant_and_operator_counts(made: Int8Model, tmp_path: Path) -> None:
    plain = onnx.load(made.plain.path)
    weights = read_weights(plain, made.proto)
    assert other_changes(plain, made.proto, weights) == ()
    lost = made.proto
    gone = next(node for node in lost.graph.node if node.op_type == "GRU")
    lost.graph.node.remove(gone)
    assert other_changes(plain, lost, weights) == (
        f"int8 lacks or changes the operator {gone.name} (GRU) of the float32 file",
    )
    changed = made.proto
    name = nodes_of(changed, "GRU")[0].input[1]
    put_value(changed, name, value_of(changed, name) * np.float32(1.0001))
    assert other_changes(plain, changed, weights) == (f"int8 lacks or changes the constant {name} of the float32 file",)
