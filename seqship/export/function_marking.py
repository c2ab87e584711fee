"""Puts a marker operation in place of a function of the graph, for the lowering to find after everything is inlined."""

from __future__ import annotations

from typing import Any

import numpy as np

from seqship.export.marker import MARKER_OP
from seqship.export.saved_functions import API, DEVICE, SavedLayer
from seqship.models.spec import STATES

MARK = "seqship:"
"""What the token of a marker begins with; the function's name follows."""


def mark(function: Any, layer: SavedLayer) -> None:
    """Puts one marker operation in place of a function's body; its arguments and results stay what they were.

    The marker takes what the function takes and gives the layer's output and its final states.
    """
    spec = layer.spec
    results = [argument.name for argument in function.signature.output_arg]
    del function.node_def[:]
    del function.signature.control_output[:]
    function.control_ret.clear()
    function.ret.clear()
    for attribute in (API, DEVICE):  # Or TensorFlow puts the GPU's function in its place.
        function.attr.pop(attribute, None)
    function.signature.is_stateful = True
    float32 = function.signature.input_arg[0].type
    count = 1 + STATES[spec.kind]

    marker = function.node_def.add(name="seqship_marker", op=MARKER_OP)
    marker.input.extend(argument.name for argument in function.signature.input_arg)
    marker.attr["token"].s = f"{MARK}{layer.function}".encode()
    marker.attr["Tin"].list.type.extend(argument.type for argument in function.signature.input_arg)
    marker.attr["Tout"].list.type.extend([float32] * count)
    batch = layer.steps[1 if spec.time_major else 0]
    sequence = (*layer.steps, spec.units)
    state = (batch, spec.units)
    shapes = [sequence if spec.return_sequences else state, *([state] * STATES[spec.kind])]
    for position, shape in enumerate(shapes):
        # The marker loses the static shapes, and tf2onnx needs the ranks downstream.
        shaped = function.node_def.add(name=f"shaped_{position}", op="EnsureShape")
        shaped.input.append(f"seqship_marker:output:{position}")
        shaped.attr["T"].type = float32
        for size in shape:
            shaped.attr["shape"].shape.dim.add(size=size)
    axis = _constant(function, "axis", 0 if spec.time_major else 1)
    if spec.return_sequences:
        other = function.node_def.add(name="last", op="GatherV2")
        other.input.extend(["shaped_0:output:0", _constant(function, "end", -1), axis])
        other.attr["Tparams"].type = float32
        other.attr["Tindices"].CopyFrom(_type(np.int32))
        other.attr["Taxis"].CopyFrom(_type(np.int32))
        first, second = "last:output:0", "shaped_0:output:0"
    else:
        other = function.node_def.add(name="whole", op="ExpandDims")
        other.input.extend(["shaped_0:output:0", axis])
        other.attr["T"].type = float32
        other.attr["Tdim"].CopyFrom(_type(np.int32))
        first, second = "shaped_0:output:0", "whole:output:0"
    runtime = _constant(function, "runtime", 1.0)
    final = [f"shaped_{position}:output:0" for position in range(1, count)]
    for name, tensor in zip(results, [first, second, *final, runtime], strict=True):
        function.ret[name] = tensor


def _constant(function: Any, name: str, value: float) -> str:
    import tensorflow as tf

    array = np.array(value, np.int32 if isinstance(value, int) else np.float32)
    node = function.node_def.add(name=name, op="Const")
    node.attr["dtype"].CopyFrom(_type(array.dtype))
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))
    return f"{name}:output:0"


def _type(dtype: Any) -> Any:
    import tensorflow as tf

    return tf.compat.v1.AttrValue(type=tf.as_dtype(dtype).as_datatype_enum)
