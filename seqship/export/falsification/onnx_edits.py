"""Editing a finished ONNX graph: its weights, its attributes, and nodes put in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

RECURRENT = ("GRU", "LSTM", "RNN")

Operand = str | NDArray[Any]
"""Name of a tensor, or the value of a constant to be added."""


def copied(proto: ModelProto) -> ModelProto:
    """Returns a copy that can be changed."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    return copy


def nodes_of(proto: ModelProto, *operators: str) -> list[NodeProto]:
    """Returns the nodes with one of these operators, in the order of the graph.

    Raises:
        LookupError: There is none.
    """
    found = [node for node in proto.graph.node if node.op_type in operators]
    if not found:
        raise LookupError(f"the graph has no {' or '.join(operators)}")
    return found


def producer(proto: ModelProto, tensor: str) -> NodeProto:
    """Returns the node that gives a tensor.

    Raises:
        LookupError: None does: it is an input or a constant.
    """
    for node in proto.graph.node:
        if tensor in node.output:
            return node
    raise LookupError(f"no node gives {tensor}")


def value_of(proto: ModelProto, name: str) -> NDArray[Any]:
    """Returns the value of a constant of the graph.

    Raises:
        LookupError: There is none of that name.
    """
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            return numpy_helper.to_array(tensor).copy()
    raise LookupError(f"the graph has no constant {name}")


def put_value(proto: ModelProto, name: str, value: NDArray[Any]) -> None:
    """Changes the value of a constant of the graph.

    Raises:
        LookupError: There is none of that name.
    """
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
            return
    raise LookupError(f"the graph has no constant {name}")


def constants_of(proto: ModelProto, *, least: int) -> list[str]:
    """Returns the names of the float32 constants with at least so many elements: the weights."""
    return [
        tensor.name
        for tensor in proto.graph.initializer
        if numpy_helper.to_array(tensor).dtype == np.float32 and numpy_helper.to_array(tensor).size >= least
    ]


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """Returns the value of an attribute."""
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def put_attribute(node: NodeProto, name: str, value: Any) -> None:
    """Gives an attribute a value; None takes it away."""
    kept = [one for one in node.attribute if one.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def put_input(node: NodeProto, position: int, name: str) -> None:
    """Gives a node another input; "" leaves an optional one out."""
    while len(node.input) <= position:
        node.input.append("")
    node.input[position] = name


def insert_before(
    proto: ModelProto, node: NodeProto, operator: str, operands: Sequence[Operand], **options: Any
) -> str:
    """Adds a node in front of another one.

    Args:
        proto: The model; changed in place.
        node: The node that will take what the new one gives.
        operator: The ONNX operator.
        operands: Its inputs.
        options: Its attributes.

    Returns:
        The name of its output.
    """
    output = f"falsified/{len(proto.graph.node)}"
    place = next(number for number, one in enumerate(proto.graph.node) if one.output[0] == node.output[0])
    inputs = [_named(proto, operand) for operand in operands]
    proto.graph.node.insert(place, helper.make_node(operator, inputs, [output], **options))
    return output


def insert_behind(proto: ModelProto, tensor: str, operator: str, *operands: Operand, **options: Any) -> None:
    """Puts a node between a tensor and all that takes it, an output of the graph too.

    Args:
        proto: The model; changed in place.
        tensor: The first input of the new node, which gives a tensor of this name in its place.
        operator: The ONNX operator.
        operands: Its other inputs.
        options: Its attributes.
    """
    inner = f"falsified/{len(proto.graph.node)}"
    source = producer(proto, tensor)
    place = next(number for number, one in enumerate(proto.graph.node) if one.output[0] == source.output[0])
    source.output[list(source.output).index(tensor)] = inner
    inputs = [inner, *(_named(proto, operand) for operand in operands)]
    proto.graph.node.insert(place + 1, helper.make_node(operator, inputs, [tensor], **options))


def _named(proto: ModelProto, operand: Operand) -> str:
    if isinstance(operand, str):
        return operand
    name = f"falsified/constant_{len(proto.graph.initializer)}"
    proto.graph.initializer.append(numpy_helper.from_array(operand, name))
    return name
