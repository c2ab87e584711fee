"""Wrong int8 files: scales, zero points and rounding that are off, and weights or wires of another file.

Each takes the right int8 file, which it leaves as it is, and returns a wrong one. They are done to the first quantized
LSTM; W and R of `com.microsoft.DynamicQuantizeLSTM` are (directions, inputs, 4 * units), gates in the order i o f c,
its scales (directions, 4 * units) (onnxruntime, "Contrib operators").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from seqship.export.falsification.onnx_edits import copied, nodes_of, put_attribute, put_value, value_of
from seqship.export.quantization import QUANTIZED_LSTM

Int8Fault = Callable[[ModelProto], ModelProto]

_W, _R, _B, _LENGTHS = 1, 2, 3, 4
_W_SCALE, _R_SCALE, _R_ZERO = 8, 10, 11
_OFF = 0.01


def int8_scale_doubled(right: ModelProto) -> ModelProto:
    """The recurrent weights are twice as large: the scale of a grid over both signs is taken for that of one."""
    return _changed(right, _R_SCALE, lambda value: value * np.float32(2))


def int8_scale_a_little_off(right: ModelProto) -> ModelProto:
    """Every scale of the kernel is off by a hundredth, as if the weights had been trained on meanwhile."""
    return _changed(right, _W_SCALE, lambda value: value * np.float32(1 + _OFF))


def int8_scales_exchanged(right: ModelProto) -> ModelProto:
    """The kernel has the recurrent weights' scales, and the other way round."""
    proto, node = _copied(right)
    node.input[_W_SCALE], node.input[_R_SCALE] = node.input[_R_SCALE], node.input[_W_SCALE]
    return proto


def int8_scale_of_one_channel_for_all(right: ModelProto) -> ModelProto:
    """Each unit has the scale of the first one."""
    return _changed(right, _R_SCALE, lambda value: np.broadcast_to(value[:, :1], value.shape))


def int8_zero_point_off(right: ModelProto) -> ModelProto:
    """Zero is at 1."""
    return _changed(right, _R_ZERO, lambda value: value + np.int8(1))


def int8_range_cut(right: ModelProto) -> ModelProto:
    """Large weights are cut at half of the range."""
    return _changed(right, _R, lambda value: np.clip(value, -32, 32))


def int8_rounded_to_five_bits(right: ModelProto) -> ModelProto:
    """The two last bits of the recurrent weights are lost."""
    return _changed(right, _R, lambda value: (value // 4 * 4).astype(np.int8))


def int8_grid_too_coarse(right: ModelProto) -> ModelProto:
    """Six bits, rounded rightly, with scales that fit."""
    halved = _changed(right, _R, lambda value: np.rint(value / 2).astype(np.int8))
    return _changed(halved, _R_SCALE, lambda value: value * np.float32(2))


def int8_gates_exchanged(right: ModelProto) -> ModelProto:
    """The input gate has the output gate's weights, and the other way round."""

    def exchanged(value: NDArray[Any]) -> NDArray[Any]:
        i, o, f, c = np.split(value, 4, axis=-1)
        return np.concatenate([o, i, f, c], axis=-1)

    proto = right
    for position in (_W, _R, _W_SCALE, _R_SCALE):
        proto = _changed(proto, position, exchanged)
    return proto


def int8_bias_of_the_step_before(right: ModelProto) -> ModelProto:
    """The biases, which stay float32, are those before the last step of training."""
    return _changed(right, _B, lambda value: value + np.float32(1e-4))


def int8_lengths_left_out(right: ModelProto) -> ModelProto:
    """The last LSTM runs over the padding."""
    proto = copied(right)
    node = nodes_of(proto, QUANTIZED_LSTM)[-1]
    if not node.input[_LENGTHS]:
        raise LookupError("the graph has no lengths")
    node.input[_LENGTHS] = ""
    return proto


def int8_activation_of_another_keras(right: ModelProto) -> ModelProto:
    """The gates are hard sigmoids."""
    proto, node = _copied(right)
    directions = len(value_of(proto, node.input[_W]))
    put_attribute(node, "activations", ["HardSigmoid", "Tanh", "Tanh"] * directions)
    return proto


def int8_table_shifted(right: ModelProto) -> ModelProto:
    """Every word has the vector of the one before it."""
    proto = copied(right)
    tables = [node.input[0] for node in nodes_of(proto, "Gather") if node.input[0].endswith("_quantized")]
    if not tables:
        raise LookupError("the graph has no quantized table")
    put_value(proto, tables[0], np.roll(value_of(proto, tables[0]), 1, axis=0))
    return proto


def int8_product_scale_halved(right: ModelProto) -> ModelProto:
    """The scales of a matrix are half of what they ought to be."""
    proto = copied(right)
    name = nodes_of(proto, "MatMulInteger")[0].input[1].removesuffix("_quantized")
    put_value(proto, f"{name}_scale", value_of(proto, f"{name}_scale") / np.float32(2))
    return proto


INT8_FAULTS: tuple[Int8Fault, ...] = (
    int8_scale_doubled,
    int8_scale_a_little_off,
    int8_scales_exchanged,
    int8_scale_of_one_channel_for_all,
    int8_zero_point_off,
    int8_range_cut,
    int8_rounded_to_five_bits,
    int8_grid_too_coarse,
    int8_gates_exchanged,
    int8_bias_of_the_step_before,
    int8_lengths_left_out,
    int8_activation_of_another_keras,
    int8_table_shifted,
    int8_product_scale_halved,
)
"""A model needs masks, a table and a matrix product beside its LSTM for all of them."""


def _copied(right: ModelProto) -> tuple[ModelProto, NodeProto]:
    proto = copied(right)
    return proto, nodes_of(proto, QUANTIZED_LSTM)[0]


def _changed(right: ModelProto, position: int, change: Callable[[NDArray[Any]], NDArray[Any]]) -> ModelProto:
    proto, node = _copied(right)
    put_value(proto, node.input[position], change(value_of(proto, node.input[position])))
    return proto
