"""Edits of a small graph, run in onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from seqship.export.falsification.onnx_edits import (
    attribute,
    constants_of,
    copied,
    insert_before,
    insert_behind,
    nodes_of,
    producer,
    put_attribute,
    put_input,
    put_value,
    value_of,
)

ROWS = np.array([[1.0, -2.0], [3.0, 4.0]], np.float32)


@pytest.fixture
def proto() -> ModelProto:
    """y = LeakyRelu(x * [1, 2])."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"]),
        helper.make_node("LeakyRelu", ["scaled"], ["y"], alpha=0.5),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [value("x", TensorProto.FLOAT, ["batch", 2])],
        [value("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.array([1, 2], np.float32), "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(proto: ModelProto) -> NDArray[Any]:
    checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": ROWS})[0])


def test_a_copy_is_changed_alone(proto: ModelProto) -> None:
    before = proto.SerializeToString(deterministic=True)
    copy = copied(proto)
    put_value(copy, "scale", np.array([0, 0], np.float32))
    assert run(copy).tolist() == [[0, 0], [0, 0]]
    assert proto.SerializeToString(deterministic=True) == before


def test_a_value_and_an_attribute_are_changed(proto: ModelProto) -> None:
    assert value_of(proto, "scale").tolist() == [1, 2]
    assert constants_of(proto, least=2) == ["scale"]
    assert constants_of(proto, least=3) == []
    node = nodes_of(proto, "LeakyRelu")[0]
    assert attribute(node, "alpha") == 0.5
    assert attribute(node, "beta", 7) == 7
    put_attribute(node, "alpha", 0.25)
    assert run(proto).tolist() == [[1, -1], [3, 8]]
    put_attribute(node, "alpha", None)
    np.testing.assert_allclose(run(proto), [[1, -0.04], [3, 8]])


def test_a_node_comes_in_front_of_another(proto: ModelProto) -> None:
    node = nodes_of(proto, "LeakyRelu")[0]
    moved = insert_before(proto, node, "Add", [node.input[0], np.array(10, np.float32)])
    put_input(node, 0, moved)
    assert run(proto).tolist() == [[11, 6], [13, 18]]
    assert [one.op_type for one in proto.graph.node] == ["Mul", "Add", "LeakyRelu"]


@pytest.mark.parametrize(("tensor", "expected"), [("scaled", [[-0.5, 4], [-1.5, -4]]), ("y", [[-1, 2], [-3, -8]])])
def test_a_node_comes_behind_a_tensor(proto: ModelProto, tensor: str, expected: list[list[float]]) -> None:
    insert_behind(proto, tensor, "Neg")
    assert run(proto).tolist() == expected
    assert producer(proto, tensor).op_type == "Neg"


def test_an_input_that_was_left_out_is_given() -> None:
    node = helper.make_node("GRU", ["x", "w", "r"], ["y"])
    put_input(node, 5, "state")
    assert list(node.input) == ["x", "w", "r", "", "", "state"]


def test_what_is_not_there_is_named(proto: ModelProto) -> None:
    with pytest.raises(LookupError, match=r"^the graph has no GRU or LSTM$"):
        nodes_of(proto, "GRU", "LSTM")
    with pytest.raises(LookupError, match=r"^no node gives x$"):
        producer(proto, "x")
    with pytest.raises(LookupError, match=r"^the graph has no constant bias$"):
        value_of(proto, "bias")
    with pytest.raises(LookupError, match=r"^the graph has no constant bias$"):
        put_value(proto, "bias", ROWS)
