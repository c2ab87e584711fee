"""Reads an ONNX graph beside the one that it was quantized from: who makes what, and what else changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.quantization import QUANTIZED_LSTM, QUANTIZED_MATMUL

Key = tuple[str, int]
"""Name of an operator, and which of its inputs."""

_LSTM_WEIGHTS = (1, 2)


class NamedGraph:
    """Constants, nodes and makers of a graph's values.

    Attributes:
        constants: Values of the initializers by name.
        maker: The node that makes each value.
        named: Nodes by name.
        nodes: Nodes in their order, those of loops and branches within left out.
    """

    def __init__(self, proto: Any) -> None:
        from onnx import numpy_helper

        self.nodes: tuple[Any, ...] = tuple(proto.graph.node)
        self.constants: dict[str, NDArray[Any]] = {
            one.name: numpy_helper.to_array(one) for one in proto.graph.initializer
        }
        self.maker: dict[str, Any] = {name: node for node in self.nodes for name in node.output if name}
        self.named: dict[str, Any] = {node.name: node for node in self.nodes}

    def made_by(self, name: str, operator: str) -> Any:
        """Returns the node that makes a value, None where it is of another kind."""
        node = self.maker.get(name)
        return node if node is not None and node.op_type == operator else None

    def constant(self, node: Any, position: int) -> NDArray[Any] | None:
        """Returns an input of a node where it is constant."""
        return self.constants.get(node.input[position]) if len(node.input) > position else None


def quantized_lstm(node: Any, after: NamedGraph) -> Any:
    """Returns the operator of the int8 file that gives the outputs of an LSTM, None where there is none."""
    return next((made for name in node.output if name and (made := after.made_by(name, QUANTIZED_LSTM))), None)


def quantized_product(node: Any, after: NamedGraph) -> tuple[Any, NDArray[Any] | None] | None:
    """Returns the integer product that gives the output of a MatMul, and the scale of its weights.

    onnxruntime writes Mul(Cast(MatMulInteger), Mul(scale of the activation, scale of the weights)).
    """
    rescaled = after.made_by(node.output[0], "Mul")
    if rescaled is None:
        return None
    cast = next((made for name in rescaled.input if (made := after.made_by(name, "Cast"))), None)
    scales = next((made for name in rescaled.input if (made := after.made_by(name, "Mul"))), None)
    product = None if cast is None else after.made_by(cast.input[0], QUANTIZED_MATMUL)
    if product is None:
        return None
    own = [] if scales is None else [after.constants[name] for name in scales.input if name in after.constants]
    return product, own[-1] if own else None


def quantized_table(node: Any, before: NamedGraph, after: NamedGraph) -> tuple[Any, Any] | None:
    """Returns the Gather of the int8 file that takes rows of integers, and what makes numbers of them."""
    other, table = after.named.get(node.name), before.constant(node, 0)
    if other is None or other.op_type != "Gather" or table is None or table.dtype.kind != "f":
        return None
    values = after.constant(other, 0)
    if values is not None and values.dtype == table.dtype:
        return None
    readers = (one for one in after.nodes if one.op_type == "DequantizeLinear" and one.input[0] == other.output[0])
    return other, next(readers, None)


def other_changes(plain: Any, quantized: Any, weights: Mapping[Key, Any]) -> tuple[str, ...]:
    """Returns a line for each constant and each operator of the float32 file that ought to be in the int8 file, too.

    Args:
        plain: `ModelProto` of the float32 file.
        quantized: `ModelProto` of the int8 file.
        weights: The weights that are quantized, by operator and input.
    """
    before, after = NamedGraph(plain), NamedGraph(quantized)
    return (*_changed_constants(before, after, weights), *_changed_nodes(before, after, weights))


def _changed_constants(before: NamedGraph, after: NamedGraph, weights: Mapping[Key, Any]) -> Iterator[str]:
    kept = {name for node in before.nodes for at, name in enumerate(node.input) if (node.name, at) not in weights}
    for name, value in before.constants.items():
        if name in kept and not _same(after.constants.get(name), value):
            yield f"int8 lacks or changes the constant {name} of the float32 file"


def _same(one: NDArray[Any] | None, other: NDArray[Any]) -> bool:
    return (
        one is not None and one.dtype == other.dtype and np.array_equal(one, other, equal_nan=other.dtype.kind == "f")
    )


def _changed_nodes(before: NamedGraph, after: NamedGraph, weights: Mapping[Key, Any]) -> Iterator[str]:
    quantized = {name for name, _ in weights}
    for node in before.nodes:
        if node.name not in quantized:
            other = after.named.get(node.name)
            same = other is not None and _facts(other) == _facts(node)
        elif node.op_type == "LSTM":
            other = quantized_lstm(node, after)
            same = other is not None and _settings(other) == _settings(node) and _wires(other) == _wires(node)
        else:
            continue  # The cases are left to show it.
        if not same:
            yield f"int8 lacks or changes the operator {node.name} ({node.op_type}) of the float32 file"


def _facts(node: Any) -> tuple[Any, ...]:
    return node.op_type, node.domain, list(node.input), list(node.output), _settings(node)


def _settings(node: Any) -> dict[str, bytes]:
    return {one.name: one.SerializeToString(deterministic=True) for one in node.attribute if one.name != "layout"}


def _wires(node: Any) -> tuple[list[str], list[str]]:
    """Returns the inputs of an LSTM that are no weights, and its outputs."""
    inputs = [name for at, name in enumerate(node.input[:8]) if at not in _LSTM_WEIGHTS]
    return inputs + [""] * (6 - len(inputs)), list(node.output)
