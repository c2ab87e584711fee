"""What an int8 file may differ from its own rounded weights by: activations rounded to eight bits, at random.

Two graphs are made of the float32 file. The *rounded* one has the int8 file's weights, as numbers: it is what int8
would compute with exact activations. The *noisy* one adds to what goes into every quantized product a random number of
up to half a step of the grid that onnxruntime would round it to: 255 steps from the least to the largest value, zero
being one of them (onnxruntime, `GetQuantizationParameter`). It is drawn for each step, or once for all steps: a signal
that stands still is rounded in the same direction again and again.

Within an LSTM the state goes through such a product at every step, where no graph can add anything; so the noise comes
in as more features, whose weights are the recurrent ones: W x + R (h + e) = [W R] [x e] + R h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.quantized_graph import Key

STEPS = 255.0
"""Of an unsigned number of eight bits."""


def rounded_graph(plain: Any, weights: Mapping[Key, NDArray[np.float32]]) -> Any:
    """Returns the float32 graph with other weights.

    Args:
        plain: `ModelProto` of the float32 file.
        weights: Values by operator and input.
    """
    from onnx import ModelProto, numpy_helper

    proto = ModelProto()
    proto.CopyFrom(plain)
    for node in proto.graph.node:
        for position in range(len(node.input)):
            if (node.name, position) in weights:
                name = f"{node.name}/rounded/{position}"
                proto.graph.initializer.append(numpy_helper.from_array(weights[node.name, position], name))
                node.input[position] = name
    used = {name for node in proto.graph.node for name in node.input} | {one.name for one in proto.graph.input}
    kept = [one for one in proto.graph.initializer if one.name in used or not _is_replaced(one.name, plain, weights)]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    return proto


def _is_replaced(name: str, plain: Any, weights: Mapping[Key, NDArray[np.float32]]) -> bool:
    return any(node.input[position] == name for node in plain.graph.node for of, position in weights if of == node.name)


def noisy_graph(rounded: Any, weights: Mapping[Key, NDArray[np.float32]], *, steady: bool) -> Any:
    """Returns the rounded graph with noise on what goes into its quantized products; other noise at each run.

    Args:
        rounded: What `rounded_graph` returned.
        weights: Its weights by operator and input.
        steady: Whether the noise is the same at every step.
    """
    from onnx import ModelProto

    proto = ModelProto()
    proto.CopyFrom(rounded)
    names = {name for name, _ in weights}
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    noise = _Noise(proto, steady)
    for node in nodes:
        if node.name in names and node.op_type == "LSTM":
            noise.lstm(node, weights[node.name, 1], weights[node.name, 2])
        elif node.name in names and node.op_type == "MatMul":
            node.input[0] = noise.on(node.input[0], [node.input[0]])
            proto.graph.node.append(node)
        else:
            proto.graph.node.append(node)
    return proto


class _Noise:
    """Writes nodes behind those of a graph."""

    def __init__(self, proto: Any, steady: bool) -> None:
        self._graph = proto.graph
        self._steady = steady
        self._made = 0

    def lstm(self, node: Any, kernel: NDArray[np.float32], recurrent: NDArray[np.float32]) -> None:
        """Writes an LSTM without noise, whose outputs tell the range of its state, and the noisy one."""
        from onnx import NodeProto

        exact = NodeProto()
        exact.CopyFrom(node)
        exact.name = f"{node.name}/exact"
        del exact.output[:]
        exact.output.append(self._name())
        self._graph.node.append(exact)
        begins = [node.input[5]] if len(node.input) > 5 and node.input[5] else []
        # (time, batch, units) of noise, which is as wide as that of the widest direction.
        sizes = self._node("Slice", [self._node("Shape", [node.input[0]]), self._integers(0), self._integers(2)])
        shape = self._node("Concat", [sizes, self._integers(recurrent.shape[2])], axis=0)
        zeros = self._node("ConstantOfShape", [shape])
        state = self.on(zeros, [exact.output[0], *begins])
        node.input[0] = self._node("Concat", [self.on(node.input[0], [node.input[0]]), state], axis=2)
        node.input[1] = self._constant(np.concatenate([kernel, recurrent], axis=2))
        self._graph.node.append(node)

    def on(self, value: str, ranges: list[str]) -> str:
        """Adds to a value up to half a step of the grid that takes in the given ones and zero."""
        zero = self._constant(np.zeros((), np.float32))
        lows = [self._node("ReduceMin", [one], keepdims=0) for one in ranges]
        highs = [self._node("ReduceMax", [one], keepdims=0) for one in ranges]
        spread = self._node("Sub", [self._node("Max", [*highs, zero]), self._node("Min", [*lows, zero])])
        step = self._node("Div", [spread, self._constant(np.array(STEPS, np.float32))])
        # The first axis is time in an LSTM.
        like = self._node("Slice", [value, self._integers(0), self._integers(1)]) if self._steady else value
        random = self._node("RandomUniformLike", [like], dtype=1, low=-0.5, high=0.5, seed=float(self._made))
        return self._node("Add", [value, self._node("Mul", [random, step])])

    def _node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        made = self._name()
        self._graph.node.append(helper.make_node(operator, inputs, [made], made, **attributes))
        return made

    def _constant(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        made = self._name()
        self._graph.initializer.append(numpy_helper.from_array(value, made))
        return made

    def _integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def _name(self) -> str:
        self._made += 1
        return f"noise/{self._made}"
