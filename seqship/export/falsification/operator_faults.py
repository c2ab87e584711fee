"""Wrong attributes of the recurrent operators: activations, slopes, the direction, the place of the reset gate."""

from __future__ import annotations

from typing import Any

from onnx import ModelProto

from seqship.export.falsification.onnx_edits import RECURRENT, attribute, copied, nodes_of, put_attribute
from seqship.export.falsification.right_export import RightExport


def reset_gate_on_the_other_side(right: RightExport) -> ModelProto:
    """`linear_before_reset`, which is Keras' reset_after, is flipped."""
    proto = copied(right.proto)
    node = nodes_of(proto, "GRU")[0]
    put_attribute(node, "linear_before_reset", 1 - int(attribute(node, "linear_before_reset", 0)))
    return proto


def relu_for_tanh(right: RightExport) -> ModelProto:
    """The candidate has a relu in the place of its tanh."""
    return _activations(right, {"Tanh": "Relu"})


def hard_sigmoid_for_sigmoid(right: RightExport) -> ModelProto:
    """The gates have Keras 1's default; its slope in ONNX is 0.2."""
    return _activations(right, {"Sigmoid": "HardSigmoid"})


def sigmoid_for_hard_sigmoid(right: RightExport) -> ModelProto:
    """The gates have ONNX's default in the place of the model's."""
    proto = _activations(right, {"HardSigmoid": "Sigmoid"})
    for node in nodes_of(proto, *RECURRENT):
        put_attribute(node, "activation_alpha", None)
        put_attribute(node, "activation_beta", None)
    return proto


def activations_swapped(right: RightExport) -> ModelProto:
    """The gates have the candidate's function, the candidate that of the gates."""
    return _activations(right, {"Tanh": "Sigmoid", "Sigmoid": "Tanh"})


def activations_left_out(right: RightExport) -> ModelProto:
    """The operator takes its own defaults, sigmoid and tanh."""
    proto = copied(right.proto)
    for node in nodes_of(proto, *RECURRENT):
        for name in ("activations", "activation_alpha", "activation_beta"):
            put_attribute(node, name, None)
    return proto


def hard_sigmoid_slope_of_the_other_keras(right: RightExport) -> ModelProto:
    """The slope of hard_sigmoid is 0.2 in tf-keras and 1/6 in Keras 3: here it is the other one's."""
    proto = copied(right.proto)
    for node in nodes_of(proto, "GRU", "LSTM"):
        slopes: list[float] = list(attribute(node, "activation_alpha"))
        put_attribute(node, "activation_alpha", [1 / 6 if slope > 0.19 else 0.2 for slope in slopes])
    return proto


def direction_lost(right: RightExport) -> ModelProto:
    """A layer that goes backwards runs along time."""
    proto = copied(right.proto)
    put_attribute(nodes_of(proto, *RECURRENT)[0], "direction", "forward")
    return proto


def clip_set(right: RightExport) -> ModelProto:
    """The operator clips what goes into its gates at 5."""
    return _with(right, "clip", 5.0)


def input_forget_coupled(right: RightExport) -> ModelProto:
    """The LSTM takes one minus the forget gate for its input gate."""
    return _with(right, "input_forget", 1)


def _with(right: RightExport, name: str, value: Any) -> ModelProto:
    proto = copied(right.proto)
    put_attribute(nodes_of(proto, *RECURRENT)[0], name, value)
    return proto


def _activations(right: RightExport, become: dict[str, str]) -> ModelProto:
    """Changes the activations of the first recurrent operator."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[0]
    names = [name.decode() for name in attribute(node, "activations")]
    put_attribute(node, "activations", [become.get(name, name) for name in names])
    return proto
