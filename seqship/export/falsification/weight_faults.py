"""Wrong weights: gates in another order, matrices turned, biases lost, too few digits, or of another model.

ONNX orders the gates of a GRU z r h and those of an LSTM i o f c; W is (directions, gates * units, features), R
(directions, gates * units, units) and B (directions, 2 * gates * units), the input's biases before the recurrent ones
(ONNX operator documents of `GRU` and `LSTM`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from seqship.export.falsification.onnx_edits import (
    RECURRENT,
    attribute,
    constants_of,
    copied,
    nodes_of,
    put_input,
    put_value,
    value_of,
)
from seqship.export.falsification.right_export import RightExport

_W, _R, _B = 1, 2, 3
_WEIGHTS = 32
"""Constants of fewer elements may be what masks and shapes are made of."""
_NOISE = 1e-3


def gru_update_and_reset_swapped(right: RightExport) -> ModelProto:
    """PyTorch orders the gates r z n, ONNX z r h: taken over as they are, z and r are exchanged."""
    return _gates_reordered(right, "GRU", (1, 0, 2))


def gru_candidate_first(right: RightExport) -> ModelProto:
    """The gates in the order h z r."""
    return _gates_reordered(right, "GRU", (2, 0, 1))


def lstm_gates_in_keras_order(right: RightExport) -> ModelProto:
    """Keras orders the gates i f c o, ONNX i o f c: taken over as they are."""
    return _gates_reordered(right, "LSTM", (0, 2, 3, 1))


def lstm_gates_in_basic_cell_order(right: RightExport) -> ModelProto:
    """TensorFlow's `BasicLSTMCell` orders the gates i c f o: taken for the order of Keras."""
    return _gates_reordered(right, "LSTM", (0, 1, 3, 2))


def lstm_input_and_forget_swapped(right: RightExport) -> ModelProto:
    """The input gate's weights are those of the forget gate, and the other way round."""
    return _gates_reordered(right, "LSTM", (2, 1, 0, 3))


def recurrent_weights_transposed(right: RightExport) -> ModelProto:
    """The square recurrent matrix of each gate is turned: no shape tells."""
    return _changed(right, _R, lambda node, value: _by_gate(node, value, lambda gate: gate.transpose(0, 2, 1)))


def kernel_reshaped_for_transposed(right: RightExport) -> ModelProto:
    """The kernel is brought to its shape by a reshape in the place of a transpose."""

    def reshaped(_: NodeProto, value: NDArray[Any]) -> NDArray[Any]:
        return value.transpose(0, 2, 1).reshape(value.shape)

    return _changed(right, _W, reshaped)


def input_and_recurrent_bias_swapped(right: RightExport) -> ModelProto:
    """Wb and Rb are exchanged: the same for all gates but the candidate of a GRU with reset_after."""
    return _changed(right, _B, lambda _, value: np.concatenate(np.split(value, 2, axis=1)[::-1], axis=1))


def recurrent_bias_dropped(right: RightExport) -> ModelProto:
    """Only the first row of a GRU's two rows of biases is taken."""

    def dropped(_: NodeProto, value: NDArray[Any]) -> NDArray[Any]:
        value[:, value.shape[1] // 2 :] = 0
        return value

    return _changed(right, _B, dropped)


def bias_dropped(right: RightExport) -> ModelProto:
    """The operator has no biases at all."""
    proto = copied(right.proto)
    put_input(nodes_of(proto, *RECURRENT)[0], _B, "")
    return proto


def forget_bias_added_twice(right: RightExport) -> ModelProto:
    """The one that `unit_forget_bias` puts into the weights is added again, as TensorFlow's old cells did."""

    def added(node: NodeProto, value: NDArray[Any]) -> NDArray[Any]:
        units = int(attribute(node, "hidden_size"))
        value[:, 2 * units : 3 * units] += 1
        return value

    return _changed(right, _B, added, operator="LSTM")


def directions_swapped(right: RightExport) -> ModelProto:
    """The forward layer has the backward layer's weights, and the other way round."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[0]
    for position in (_W, _R, _B):
        put_value(proto, node.input[position], value_of(proto, node.input[position])[::-1])
    return proto


def layer_weights_a_thousandth_off(right: RightExport) -> ModelProto:
    """All weights of the first recurrent layer are off by up to a thousandth of themselves."""
    proto, random = copied(right.proto), np.random.default_rng(0)
    node = nodes_of(proto, *RECURRENT)[0]
    for position in (_W, _R, _B):
        value = value_of(proto, node.input[position])
        moved = value * (1 + _NOISE * random.uniform(-1, 1, value.shape))
        put_value(proto, node.input[position], moved.astype(np.float32))
    return proto


def one_weight_a_thousandth_off(right: RightExport) -> ModelProto:
    """A single weight of the kernel, the largest, is off by a thousandth of itself."""
    return _changed(right, _W, _largest_moved)


def one_recurrent_weight_a_thousandth_off(right: RightExport) -> ModelProto:
    """A single weight of the recurrent kernel, the largest, is off by a thousandth of itself."""
    return _changed(right, _R, _largest_moved)


def float16_weights(right: RightExport) -> ModelProto:
    """The weights have been through float16."""
    return _all_weights(right, lambda value: value.astype(np.float16).astype(np.float32))


def bfloat16_weights(right: RightExport) -> ModelProto:
    """The weights have been through bfloat16, which keeps 8 bits."""
    return _all_weights(right, lambda value: (value.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32))


def weights_written_with_four_digits(right: RightExport) -> ModelProto:
    """The weights have been through a text file with four digits behind the point."""
    return _all_weights(right, lambda value: np.round(value, 4).astype(np.float32))


def int8_weights(right: RightExport) -> ModelProto:
    """The int8 file in the place of the float32 one."""
    return _all_weights(right, lambda value: _quantized(value, float(np.abs(value).max()) / 127))


def int8_scale_wrong(right: RightExport) -> ModelProto:
    """The scale is that of the range by 255 steps, which are those of both signs together: large weights are cut."""
    return _all_weights(right, lambda value: _quantized(value, float(np.abs(value).max()) / 255))


def embedding_row_off_by_one(right: RightExport) -> ModelProto:
    """One word has the vector of the next."""
    proto = copied(right.proto)
    name = _embedding(proto)
    table = value_of(proto, name)
    row = len(table) // 2
    table[row] = table[row + 1]
    put_value(proto, name, table)
    return proto


def embedding_shifted(right: RightExport) -> ModelProto:
    """Every word has the vector of the one before it: the row of the padding was forgotten."""
    proto = copied(right.proto)
    name = _embedding(proto)
    put_value(proto, name, np.roll(value_of(proto, name), 1, axis=0))
    return proto


def _largest_moved(_: NodeProto, value: NDArray[Any]) -> NDArray[Any]:
    flat = value.reshape(-1)
    flat[np.argmax(np.abs(flat))] *= np.float32(1 + _NOISE)
    return value


def _embedding(proto: ModelProto) -> str:
    tables = [
        node.input[0] for node in nodes_of(proto, "Gather") if node.input[0] in constants_of(proto, least=_WEIGHTS)
    ]
    return tables[0]


def _quantized(value: NDArray[Any], scale: float) -> NDArray[Any]:
    return (np.clip(np.round(value / scale), -128, 127) * scale).astype(np.float32)


def _all_weights(right: RightExport, change: Callable[[NDArray[Any]], NDArray[Any]]) -> ModelProto:
    proto = copied(right.proto)
    for name in constants_of(proto, least=_WEIGHTS):
        put_value(proto, name, change(value_of(proto, name)))
    return proto


def _changed(
    right: RightExport,
    position: int,
    change: Callable[[NodeProto, NDArray[Any]], NDArray[Any]],
    *,
    operator: str | None = None,
) -> ModelProto:
    """Changes one weight of the first recurrent operator."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT if operator is None else (operator,))[0]
    put_value(proto, node.input[position], change(node, value_of(proto, node.input[position])))
    return proto


def _gates_reordered(right: RightExport, operator: str, order: Sequence[int]) -> ModelProto:
    """Puts the gates of the first such operator into another order, in all its weights."""
    proto = copied(right.proto)
    node = nodes_of(proto, operator)[0]
    for position in (_W, _R, _B):
        name = node.input[position]
        put_value(proto, name, _by_gate(node, value_of(proto, name), lambda gate: gate, order))
    return proto


def _by_gate(
    node: NodeProto,
    value: NDArray[Any],
    change: Callable[[NDArray[Any]], NDArray[Any]],
    order: Sequence[int] | None = None,
) -> NDArray[Any]:
    units = int(attribute(node, "hidden_size"))
    gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[node.op_type]
    blocks = np.split(value, value.shape[1] // units, axis=1)
    places = [side + gate for side in range(0, len(blocks), gates) for gate in (order or range(gates))]
    return np.concatenate([change(blocks[place]) for place in places], axis=1)
