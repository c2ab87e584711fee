"""Functions in the place of a graph's operations.

A stand-in is a function of the graph's own library, called as the operation was: the same inputs, outputs of the same
names in the same order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Attributes = tuple[tuple[str, Any], ...]
"""Names and values."""


@dataclass(frozen=True)
class StandIn:
    """What computes an operation.

    Attributes:
        make: Takes attributes as keywords; gives a function of the operation's inputs that returns all its outputs.
        attributes: Names of the attributes it takes.
    """

    make: Callable[..., Callable[..., Sequence[Any]]]
    attributes: tuple[str, ...] = ()


def all_nodes(definition: Any) -> list[Any]:
    """Returns the nodes of a GraphDef and of its functions."""
    return [*definition.node, *(node for function in definition.library.function for node in function.node_def)]


def replace_operations(definition: Any, nodes: Iterable[Any], stand_ins: Mapping[str, StandIn]) -> None:
    """Puts a function in the place of every operation that has a stand-in.

    Args:
        definition: A GraphDef, whose library takes the functions.
        nodes: Which of its nodes; changed in place.
        stand_ins: By operation.
    """
    functions: dict[str, Any] = {}
    for node in nodes:
        if (stand_in := stand_ins.get(node.op)) is not None:
            function = _function(node.op, stand_in, *_settings(node, stand_in))
            node.op = function.signature.name
            functions[node.op] = function
            for name in [name for name in node.attr if not name.startswith("_")]:  # The others are not the operation's.
                del node.attr[name]
    definition.library.function.extend(functions.values())


def _settings(node: Any, stand_in: StandIn) -> tuple[Attributes, tuple[int, ...]]:
    """Returns the attributes that a stand-in takes, and the types of its inputs."""
    from tensorflow.python.framework import op_def_registry

    signature: Any = op_def_registry.get(node.op)
    defaults = {attribute.name: attribute.default_value for attribute in signature.attr}
    values = {name: node.attr[name] if name in node.attr else defaults[name] for name in defaults}
    known = tuple((name, _plain(values[name])) for name in stand_in.attributes)
    return known, tuple(values[one.type_attr].type if one.type_attr else one.type for one in signature.input_arg)


def _plain(attribute: Any) -> Any:
    kind = attribute.WhichOneof("value")
    if kind == "list":
        return tuple(attribute.list.i)
    return attribute.s.decode() if kind == "s" else getattr(attribute, kind)


@functools.cache
def _function(operation: str, stand_in: StandIn, attributes: Attributes, types: tuple[int, ...]) -> Any:
    """Returns a stand-in as a FunctionDef; always the same one, for TensorFlow knows functions of the process by name.

    Args:
        operation: Name of the operation.
        stand_in: What computes it.
        attributes: What the stand-in takes.
        types: Of the inputs.
    """
    import tensorflow as tf
    from tensorflow.core.framework.function_pb2 import FunctionDef
    from tensorflow.python.framework import op_def_registry

    made = stand_in.make(**dict(attributes))
    definition: Any = op_def_registry.get(operation)
    any_shape: Any = None
    specs = [tf.TensorSpec(any_shape, tf.as_dtype(one)) for one in types]
    traced: Any = tf.function(made, input_signature=specs, autograph=False)
    found: Any = FunctionDef()
    found.CopyFrom(traced.get_concrete_function().function_def)
    found.ClearField("attr")
    settings = [f"{name}={value}" for name, value in attributes]
    name = "_".join([operation, *settings, *(tf.as_dtype(one).name for one in types)])
    found.signature.name = f"{''.join(one if one.isalnum() else '_' for one in name)}_stand_in"
    # Inside a function, what an operation gives is named by the operation's name of it.
    for argument, output in zip(found.signature.output_arg, definition.output_arg, strict=True):
        source = found.ret.pop(argument.name)
        argument.name = output.name
        found.ret[argument.name] = source
    return found
