"""Converts TensorFlow's cuDNN operations, which a model traced on a GPU holds, to ONNX's recurrent operators.

Sources: TensorFlow's documents of `CudnnRNN`, `CudnnRNNV2` and `CudnnRNNV3` (`tf.raw_ops`, and
`tensorflow/core/ops/cudnn_rnn_ops.cc` for the shapes); NVIDIA's cuDNN API reference, `cudnnRNNMode_t` for the equations
and `cudnnGetRNNWeightParams` for the gates; `_standardize_cudnn_weights` of Keras 3
(`keras/src/backend/tensorflow/rnn.py`) for the order of the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from seqship.errors import ModelError
from seqship.export.graph_names import layer_path
from seqship.export.onnx_graph import OnnxGraph, constant_value
from seqship.models.spec import GATES, Activation, Kind, RecurrentSpec

CUDNN_OPS = ("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3")


@dataclass(frozen=True)
class _Mode:
    """What `rnn_mode` stands for.

    Attributes:
        kind: The layer.
        order: cuDNN's place of each gate, in ONNX's order: LSTM i f c o to i o f c, GRU r z h to z r h.
        activation: Of the candidate, or of the RNN.
    """

    kind: Kind
    order: tuple[int, ...]
    activation: str = "tanh"

    @property
    def operator(self) -> str:
        return "RNN" if self.kind == "SimpleRNN" else self.kind

    @property
    def functions(self) -> list[str]:
        """ONNX names of the activations of one direction."""
        return {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}.get(
            self.kind, [self.activation.capitalize()]
        )


_MODES = {
    "lstm": _Mode("LSTM", (0, 3, 1, 2)),
    "gru": _Mode("GRU", (1, 0, 2)),
    "rnn_tanh": _Mode("SimpleRNN", (0,)),
    "rnn_relu": _Mode("SimpleRNN", (0,), "relu"),
}


class _Refused(Exception):  # noqa: N818  (never leaves this module)
    """Why an operation has no ONNX operator."""


@dataclass(frozen=True)
class _Sizes:
    units: int
    features: int
    directions: int
    gates: int

    @property
    def parameters(self) -> int:
        """Length of `params`: per direction and gate, W (units, features), R (units, units) and two biases (units)."""
        return self.directions * self.gates * self.units * (self.features + self.units + 2)


@dataclass(eq=False)
class CudnnLowering:
    """The handlers that one conversion gives to tf2onnx.

    Attributes:
        found: The layers, with the names of their nodes.
        refused: Why an operation could not be converted, in one line each.
    """

    found: list[tuple[str, RecurrentSpec]] = field(default_factory=list[tuple[str, RecurrentSpec]])
    refused: list[str] = field(default_factory=list[str])

    def handlers(self) -> dict[str, Any]:
        """Returns the `custom_op_handlers` of tf2onnx."""
        return {operation: (self._handle, []) for operation in CUDNN_OPS}

    def check(self) -> None:
        """Raises what went wrong in a handler: tf2onnx logs errors and goes on.

        Raises:
            ModelError: A cuDNN operation has no ONNX operator.
        """
        if self.refused:
            raise ModelError(self.refused[0])

    def _handle(self, ctx: Any, node: Any, name: str, args: Any) -> None:  # noqa: ARG002  (tf2onnx' signature)
        layer = "/".join(layer_path(name)) or name
        try:
            self.found.append((name, _convert(ctx, node, layer)))
        except _Refused as why:
            self.refused.append(
                f"TensorFlow operation {node.type} (layer {layer!r}) has no ONNX counterpart: {why}; "
                "build the model without cuDNN (use_cudnn=False) and save it again"
            )


def _convert(ctx: Any, node: Any, layer: str) -> RecurrentSpec:
    """Puts the operator and what shapes its operands in place of the node; returns what is known of the layer."""
    mode = _MODES[_text(node, "rnn_mode", "lstm")]
    sizes = _sizes(ctx, node, mode)
    time_major = node.type != "CudnnRNNV3" or bool(node.get_attr_value("time_major", 1))
    lengths = node.input[4] if node.type == "CudnnRNNV3" else ""
    graph = OnnxGraph(ctx, layer)
    weights = _weights(graph, node.input[3], mode, sizes)

    def batch_first(tensor: str, perm: tuple[int, ...]) -> str:
        """Swaps between batch first and what ONNX takes, where the operation has batch first."""
        return tensor if time_major else graph.one("Transpose", [tensor], perm=list(perm))

    operands = [batch_first(node.input[0], (1, 0, 2)), *weights, _lengths(graph, lengths)]
    operands.append(batch_first(node.input[1], (1, 0, 2)))
    if mode.kind == "LSTM":
        operands.append(batch_first(node.input[2], (1, 0, 2)))
    attributes: dict[str, Any] = {
        "hidden_size": sizes.units,
        "direction": "bidirectional" if sizes.directions == 2 else "forward",
        "activations": mode.functions * sizes.directions,
    }
    if mode.kind == "GRU":
        attributes["linear_before_reset"] = 1
    states = 2 if mode.kind == "LSTM" else 1
    found = graph.node(mode.operator, operands, 1 + states, **attributes)
    # Y is (time, directions, batch, units), cuDNN's output (time, batch, directions * units).
    ways = [graph.one("Gather", [found[0], graph.constant(direction)], axis=1) for direction in range(sizes.directions)]
    joined = ways[0] if len(ways) == 1 else graph.one("Concat", ways, axis=2)
    results = [batch_first(joined, (1, 0, 2))]
    results += [batch_first(state, (1, 0, 2)) for state in found[1:]]

    outputs, shapes, dtypes = list(node.output), node.output_shapes, node.output_dtypes
    for output in outputs[len(results) :]:
        if ctx.find_output_consumers(output) and (output != outputs[2] or mode.kind == "LSTM"):
            raise _Refused("its reserve space, which is for training, is used")
    ctx.remove_node(node.name)
    for output, result, shape, dtype in zip(outputs, results, shapes, dtypes, strict=False):
        ctx.make_node("Identity", [result], outputs=[output], shapes=[shape], dtypes=[dtype])
    return _spec(layer, mode, sizes)


def _text(node: Any, name: str, default: str) -> str:
    return node.get_attr_str(name) if node.get_attr(name) is not None else default


def _sizes(ctx: Any, node: Any, mode: _Mode) -> _Sizes:
    if ctx.get_dtype(node.input[0]) != TensorProto.FLOAT:
        raise _Refused("it does not compute in float32")
    directions = 2 if _text(node, "direction", "unidirectional") == "bidirectional" else 1
    features, units = _last(ctx, node.input[0]), _last(ctx, node.input[1])
    length = _last(ctx, node.input[3])
    gates = GATES[mode.kind]
    if units < 1 and min(features, length) > 0:
        # The number of parameters is quadratic in the units.
        half = (features + 2) / 2
        units = round(-half + (half**2 + length / (gates * directions)) ** 0.5)
    if min(features, units) < 1:
        raise _Refused("the graph does not say its number of features and units")
    sizes = _Sizes(units, features, directions, gates)
    if length not in (-1, sizes.parameters):
        raise _Refused(f"it has {length} parameters, one layer of {units} units has {sizes.parameters}")
    layers = ctx.get_shape(node.input[1])
    axis = 1 if node.type == "CudnnRNNV3" and not node.get_attr_value("time_major", 1) else 0
    if layers is not None and layers[axis] not in (-1, directions):
        raise _Refused(f"it stacks {layers[axis] // directions} layers in one operation")
    if length == -1 and (layers is None or layers[axis] == -1):
        raise _Refused("the graph does not say how many layers it stacks")
    if node.get_attr_value("num_proj", 0):
        raise _Refused("it projects its output (num_proj)")
    inputs = _text(node, "input_mode", "linear_input")
    if inputs == "skip_input" or (inputs == "auto_select" and features == units):
        raise _Refused(f"it has no weights for its input (input_mode {inputs})")
    return sizes


def _last(ctx: Any, tensor: str) -> int:
    shape = ctx.get_shape(tensor)
    return -1 if not shape or shape[-1] is None else int(shape[-1])


def _lengths(graph: OnnxGraph, lengths: str) -> str:
    if not lengths:
        return ""
    return graph.one("Cast", [lengths], to=TensorProto.INT32)


def _weights(graph: OnnxGraph, params: str, mode: _Mode, sizes: _Sizes) -> list[str]:
    """Returns the names of W, R and B.

    cuDNN's parameters are, one direction after the other, the W of each gate and the R of each gate, all of them before
    the first bias; then, again by direction, the bias of each gate for the input and that for the state.
    """
    flat = constant_value(graph.ctx, params)
    if flat is not None:
        return [graph.constant(value) for value in _arranged(flat, mode, sizes)]
    order = graph.constant(list(mode.order))
    gates, units, features = sizes.gates, sizes.units, sizes.features

    def piece(start: int, *shape: int) -> str:
        bounds = [[start], [start + int(np.prod(shape))], [0]]
        cut = graph.one("Slice", [params, *(graph.constant(bound) for bound in bounds)])
        return graph.one("Gather", [graph.one("Reshape", [cut, graph.constant(list(shape))]), order], axis=0)

    joined: tuple[list[str], list[str], list[str]] = ([], [], [])
    for direction in range(sizes.directions):
        at_w, at_r, at_b = _places(sizes, direction)
        wide = {"W": graph.constant([1, gates * units, features]), "R": graph.constant([1, gates * units, units])}
        joined[0].append(graph.one("Reshape", [piece(at_w, gates, units, features), wide["W"]]))
        joined[1].append(graph.one("Reshape", [piece(at_r, gates, units, units), wide["R"]]))
        both = [piece(at_b + half * gates * units, gates, units) for half in (0, 1)]
        bias = graph.one("Concat", both, axis=0)
        joined[2].append(graph.one("Reshape", [bias, graph.constant([1, 2 * gates * units])]))
    return [parts[0] if len(parts) == 1 else graph.one("Concat", parts, axis=0) for parts in joined]


def _places(sizes: _Sizes, direction: int) -> tuple[int, int, int]:
    """Returns where the W, the R and the biases of a direction begin."""
    width = sizes.gates * sizes.units
    weights = width * (sizes.features + sizes.units)
    start = direction * weights
    return start, start + width * sizes.features, sizes.directions * weights + direction * 2 * width


def _arranged(flat: NDArray[np.float32], mode: _Mode, sizes: _Sizes) -> tuple[NDArray[np.float32], ...]:
    gates, units, features = sizes.gates, sizes.units, sizes.features
    order = list(mode.order)
    parts: list[tuple[NDArray[np.float32], ...]] = []
    for direction in range(sizes.directions):
        at_w, at_r, at_b = _places(sizes, direction)
        w = flat[at_w:at_r].reshape(gates, units, features)[order]
        r = flat[at_r : at_r + gates * units * units].reshape(gates, units, units)[order]
        b = flat[at_b : at_b + 2 * gates * units].reshape(2, gates, units)[:, order]
        parts.append((w.reshape(-1, features), r.reshape(-1, units), b.ravel()))
    return tuple(np.stack(part) for part in zip(*parts, strict=True))


def _spec(layer: str, mode: _Mode, sizes: _Sizes) -> RecurrentSpec:
    """Describes the layer for the audit; its weights have the right sizes, not the order of Keras."""
    width = sizes.gates * sizes.units
    bias = (2, width) if mode.kind == "GRU" else (width,)  # cuDNN's second bias is Keras' own for the GRU alone.
    return RecurrentSpec(
        name=layer,
        kind=mode.kind,
        units=sizes.units,
        features=sizes.features,
        kernel=np.zeros((sizes.features, width), np.float32),
        recurrent_kernel=np.zeros((sizes.units, width), np.float32),
        bias=np.zeros(bias, np.float32),
        activation=Activation(mode.activation),
        recurrent_activation=None if mode.kind == "SimpleRNN" else Activation("sigmoid"),
    )
