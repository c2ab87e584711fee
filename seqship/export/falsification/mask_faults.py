"""Wrong masks in the graph: lengths off by one, rows without a valid step, masked steps of a sequence."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from seqship.export.falsification.onnx_edits import (
    RECURRENT,
    copied,
    insert_before,
    nodes_of,
    producer,
    put_input,
)
from seqship.export.falsification.right_export import RightExport

_LENGTHS = 4
_ANY = "Any_ReduceSum"
"""In the names of what tf2onnx makes of `any(x != mask_value)`."""


def lengths_left_out(right: RightExport) -> ModelProto:
    """The operator runs over the padding too."""
    proto = copied(right.proto)
    for node in nodes_of(proto, *RECURRENT):
        put_input(node, _LENGTHS, "")
    return proto


def lengths_one_short(right: RightExport) -> ModelProto:
    """The operator stops a step before the last valid one."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[-1]
    one = np.array([1], np.int32)
    less = insert_before(proto, node, "Sub", [node.input[_LENGTHS], one])
    put_input(node, _LENGTHS, insert_before(proto, node, "Max", [less, one]))
    return proto


def lengths_one_long(right: RightExport) -> ModelProto:
    """The operator takes a step of padding for valid."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[-1]
    more = insert_before(proto, node, "Add", [node.input[_LENGTHS], np.array([1], np.int32)])
    steps = insert_before(proto, node, "Shape", [node.input[0]], start=0, end=1)
    steps = insert_before(proto, node, "Cast", [steps], to=6)  # TensorProto.INT32
    put_input(node, _LENGTHS, insert_before(proto, node, "Min", [more, steps]))
    return proto


def lengths_of_the_first_row(right: RightExport) -> ModelProto:
    """All rows have the first row's length, as in an export that was tried with one row alone."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[-1]
    shape = insert_before(proto, node, "Shape", [node.input[_LENGTHS]])
    first = insert_before(proto, node, "Gather", [node.input[_LENGTHS], np.array([0], np.int64)], axis=0)
    put_input(node, _LENGTHS, insert_before(proto, node, "Expand", [first, shape]))
    return proto


def rows_without_a_step_run(right: RightExport) -> ModelProto:
    """A row that is all padding gives what the operator makes of its first step, in the place of zeros."""
    proto = copied(right.proto)
    for node in nodes_of(proto, "Where"):
        condition = _source(proto, node.input[0])
        if condition is not None and condition.op_type == "Greater" and _ANY not in condition.input[0]:
            _pass_on(node, 1)
    return proto


def masked_steps_repeat(right: RightExport) -> ModelProto:
    """Masked steps of a Bidirectional show the output of another step in the place of zeros."""
    proto = copied(right.proto)
    _pass_on(nodes_of(proto, "Where")[-1], 1)
    return proto


def steps_left_at_the_front(right: RightExport) -> ModelProto:
    """The outputs of the valid steps stay where the permutation put them, in front of the padding."""
    proto = copied(right.proto)
    _pass_on(nodes_of(proto, "GatherND")[-1], 0)
    return proto


def steps_not_moved_to_the_front(right: RightExport) -> ModelProto:
    """The operator is given lengths, but the steps as they are."""
    proto = copied(right.proto)
    _pass_on(nodes_of(proto, "GatherND")[0], 0)
    return proto


def masked_where_any_feature_is(right: RightExport) -> ModelProto:
    """A step is masked where any of its features is the pad value: Keras masks it where all of them are."""
    proto = copied(right.proto)
    features = proto.graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    for node in nodes_of(proto, "Greater"):
        if _ANY in node.input[0]:
            put_input(node, 1, insert_before(proto, node, "Identity", [np.array(features - 0.5, np.float32)]))
    return proto


def _source(proto: ModelProto, tensor: str) -> NodeProto | None:
    try:
        return producer(proto, tensor)
    except LookupError:
        return None


def _pass_on(node: NodeProto, position: int) -> None:
    """Makes a node give one of its inputs."""
    kept = node.input[position]
    node.op_type = "Identity"
    del node.input[:]
    del node.attribute[:]
    node.input.append(kept)
