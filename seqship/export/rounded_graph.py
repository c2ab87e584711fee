"""Another sample of what float32 arithmetic makes of a model: the same graph, other roundings.

Where a model amplifies rounding, what Keras happens to be off by is one draw of many, and the errors of several draws
are orders of magnitude apart. So the graph is run again with every weight moved by a unit in its last place or less:
all that comes after it is rounded otherwise.

onnxruntime's RNN operator computes its tanh with an absolute error of some 1e-7 however small the argument is, as
2 / (1 + exp(-2x)) - 1 has it; its GRU, its LSTM and TensorFlow keep the error in proportion. That is a rounding of
float32, too: the tanh of a layer without gates gets it here.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.export.stand_ins import StandIn, all_nodes, replace_operations

_LAST_PLACE = 2.0**-23
_LAST_PLACES = MappingProxyType({"float32": _LAST_PLACE, "float16": 2.0**-10, "bfloat16": 2.0**-7})
_FREQUENCY = 2.0**24
"""Makes noise of neighbouring numbers, of small ones no more than they are themselves, and none of zero."""
_GATES = frozenset({"Sigmoid", "ClipByValue", "Minimum"})
"""What gates are made of; hard_sigmoid is a clipped line."""


def rounded(definition: Any, *, seed: int) -> Any:
    """Moves the weights of a graph, and rounds the tanh of layers without gates as onnxruntime does.

    Single numbers stay, of which masks are made.

    Args:
        definition: A GraphDef of float32; changed in place.
        seed: Seed of the draw.

    Returns:
        The same.
    """
    import tensorflow as tf

    random = np.random.default_rng(seed)
    places = {getattr(tf, name).as_datatype_enum: place for name, place in _LAST_PLACES.items()}
    # Mixed precision keeps weights in float32 and computes with their first digits.
    used = {attribute.type for node in all_nodes(definition) for attribute in node.attr.values()} & places.keys()
    place = max((places[one] for one in used), default=0.0)
    for node in all_nodes(definition):
        if node.op != "Const" or (data_type := node.attr["dtype"].type) not in places:
            continue
        value: NDArray[Any] = tf.make_ndarray(node.attr["value"].tensor)
        if value.size > 1:
            moved = value.astype(np.float64) * (1 + place * random.uniform(-1, 1, value.shape))
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(moved.astype(value.dtype), data_type))
    nodes: list[Any] = []
    for body in (definition.node, *(function.node_def for function in definition.library.function)):
        if not _GATES & {node.op for node in body}:
            nodes += [
                node for node in body if node.op in _ROUNDED and node.attr["T"].type == tf.float32.as_datatype_enum
            ]
    replace_operations(definition, nodes, _ROUNDED)
    return definition


def _tanh() -> Any:
    import tensorflow as tf

    def absolutely_rounded(x: Any) -> Sequence[Any]:
        y: Any = tf.tanh(x)
        return [y + _LAST_PLACE / 2 * tf.sin(y * _FREQUENCY)]

    return absolutely_rounded


_ROUNDED = MappingProxyType({"Tanh": StandIn(_tanh)})
