"""What is counted in a graph, and what the audit says of each layer."""

from __future__ import annotations

import json
from typing import Any

import onnx
from onnx import TensorProto, helper

from seqship.export.audit import all_nodes, count_operators
from seqship.export.inspection import inspect_model
from seqship.models.cudnn import MASK_REQUIREMENTS
from seqship.models.flavour import Flavour


def graph(*nodes: Any) -> Any:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    return helper.make_graph(list(nodes), "g", [value], [value])


def test_operators_of_subgraphs_are_counted() -> None:
    inner = graph(helper.make_node("GRU", ["x"], ["y"]), helper.make_node("Scan", ["x"], ["y"], body=graph(
        helper.make_node("LSTM", ["x"], ["y"]), helper.make_node("Add", ["x", "x"], ["y"]))))  # fmt: skip
    branch = helper.make_node("If", ["x"], ["y"], then_branch=graph(helper.make_node("RNN", ["x"], ["y"])),
                              else_branch=graph(helper.make_node("RNN", ["x"], ["y"])))  # fmt: skip
    many = helper.make_node("Custom", ["x"], ["y"])
    many.attribute.append(helper.make_attribute("graphs", [graph(helper.make_node("GRU", ["x"], ["y"]))]))
    whole = graph(
        helper.make_node("GRU", ["x"], ["y"]), helper.make_node("Loop", ["x"], ["y"], body=inner), branch, many
    )
    model = helper.make_model(whole)
    assert count_operators(model) == ({"GRU": 3, "LSTM": 1, "RNN": 2}, 2, 11)
    assert len(list(all_nodes(model.graph))) == 11


def test_a_graph_without_recurrence() -> None:
    model = helper.make_model(graph(helper.make_node("Add", ["x", "x"], ["y"])))
    assert isinstance(model, onnx.ModelProto)
    assert count_operators(model) == ({}, 0, 1)


def test_a_row_says_all_of_a_layer(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((None, 2), name="signal"),
            layers.GRU(4, return_sequences=True, reset_after=False, name="first"),
            layers.SimpleRNN(3, activation="exponential", name="second"),
        ]
    )
    rows = [json.loads(json.dumps(row.to_json())) for row in inspect_model(model)]
    assert rows == [
        {
            "layer": "first",
            "kind": "GRU",
            "units": 4,
            "params": 84,
            "cudnn_eligible": False,
            "reasons": ["reset_after is False, cuDNN applies the reset gate after the matrix product"],
            "onnx": "GRU",
            "onnx_reasons": [],
            "cudnn_masks": [],
        },
        {
            "layer": "second",
            "kind": "SimpleRNN",
            "units": 3,
            "params": 24,
            "cudnn_eligible": False,
            "reasons": ["Keras has no cuDNN implementation of SimpleRNN"],
            "onnx": "Loop",
            "onnx_reasons": ["activation exponential has no counterpart in ONNX RNN"],
            "cudnn_masks": [],
        },
    ]


def test_layers_of_one_name_in_nested_models_are_told_apart(flavour: Flavour) -> None:
    keras = flavour.keras

    def nested(activation: str, units: int) -> Any:
        source = keras.layers.Input((None, 3))
        return keras.Model(source, keras.layers.GRU(units, activation=activation, name="memory")(source))

    source = keras.layers.Input((None, 3), name="signal")
    sides = [nested("tanh", 3)(source), nested("exponential", 4)(source)]
    rows = inspect_model(keras.Model(source, keras.layers.Concatenate()(sides)))
    assert [(row.layer, row.units, row.onnx) for row in rows] == [("memory", 3, "GRU"), ("memory", 4, "Loop")]


def test_an_eligible_layer_that_is_masked_says_what_cudnn_asks_of_masks(flavour: Flavour) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((None, 2), name="signal"),
            layers.LSTM(2, return_sequences=True, name="plain"),
            layers.Masking(-1.0),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True, name="both")),
            layers.GRU(3, name="masked"),
            layers.Dense(1),
        ]
    )
    masks = {row.layer: row.cudnn_masks for row in inspect_model(model)}
    assert masks.pop("plain") == ()
    assert set(masks.values()) == {tuple(rule.wanted for rule in MASK_REQUIREMENTS)}
    assert len(masks) == 3
