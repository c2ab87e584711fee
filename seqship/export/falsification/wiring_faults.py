"""Wrong wiring around the recurrent operators: what comes out of them, their lengths, their states, the heads."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from seqship.export.falsification.onnx_edits import (
    RECURRENT,
    attribute,
    copied,
    insert_before,
    insert_behind,
    nodes_of,
    put_attribute,
    put_input,
    value_of,
)
from seqship.export.falsification.right_export import RightExport

_INITIAL_H, _INITIAL_C = 5, 6
_DROPOUT = 0.3


def last_step_for_last_valid(right: RightExport) -> ModelProto:
    """Of the last layer the output of the last step is taken, whatever is masked."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[-1]
    inner = "falsified/final"
    final, node.output[1] = node.output[1], inner
    # In front of whatever takes it first, where a step of the sequence stands in for it.
    taker = next(one for one in proto.graph.node if final in one.input)
    last = insert_before(proto, taker, "Gather", [node.output[0], np.array(-1, np.int64)], axis=0)
    for one in proto.graph.node:
        for position, name in enumerate(one.input):
            if name == final:
                one.input[position] = last
    return proto


def first_step_returned(right: RightExport) -> ModelProto:
    """Of the last layer the output of the first step is taken."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[-1]
    taker = next(one for one in proto.graph.node if node.output[1] in one.input)
    first = insert_before(proto, taker, "Gather", [node.output[0], np.array(0, np.int64)], axis=0)
    put_input(taker, list(taker.input).index(node.output[1]), first)
    return proto


def cell_state_for_output(right: RightExport) -> ModelProto:
    """Of the last LSTM c is taken for h."""
    proto = copied(right.proto)
    node = nodes_of(proto, "LSTM")[-1]
    for one in proto.graph.node:
        for position, name in enumerate(one.input):
            if name == node.output[1]:
                one.input[position] = node.output[2]
    return proto


def steps_in_reverse(right: RightExport) -> ModelProto:
    """The steps of the result stand in the other order."""
    proto = copied(right.proto)
    _reverse(proto, proto.graph.output[0].name, axis=1)
    return proto


def steps_one_late(right: RightExport) -> ModelProto:
    """Each step shows what the one before it should; the first shows zeros."""
    proto = copied(right.proto)
    name = proto.graph.output[0].name
    insert_behind(proto, name, "Slice", *(np.array([bound], np.int64) for bound in (0, -1, 1)))
    source = next(node for node in proto.graph.node if name in node.output)
    padded = insert_before(proto, source, "Pad", [source.input[0], np.array([0, 1, 0, 0, 0, 0], np.int64)])
    put_input(source, 0, padded)
    return proto


def directions_joined_the_wrong_way(right: RightExport) -> ModelProto:
    """The backward layer's output stands in front of the forward layer's."""
    proto = copied(right.proto)
    _reverse(proto, nodes_of(proto, *RECURRENT)[0].output[0], axis=1)
    return proto


def time_and_batch_exchanged(right: RightExport) -> ModelProto:
    """The recurrent operators run along the batch: ONNX has time first, Keras the batch."""
    proto = copied(right.proto)
    for node in nodes_of(proto, "Transpose"):
        if list(attribute(node, "perm")) == [1, 0, 2]:
            node.op_type = "Identity"
            put_attribute(node, "perm", None)
    return proto


def initial_state_of_ones(right: RightExport) -> ModelProto:
    """The first layer begins with ones in the place of zeros."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[0]
    units = int(attribute(node, "hidden_size"))
    shape = insert_before(proto, node, "Shape", [node.input[0]], start=1, end=2)
    ends = [np.array([size], np.int64) for size in (len(value_of(proto, node.input[1])), units)]
    whole = insert_before(proto, node, "Concat", [ends[0], shape, ends[1]], axis=0)
    ones = insert_before(proto, node, "Expand", [np.ones((1, 1, 1), np.float32), whole])
    put_input(node, _INITIAL_H, ones)
    return proto


def state_dropped(right: RightExport) -> ModelProto:
    """The state that is handed in is not used: every call begins anew."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[0]
    for position in (_INITIAL_H, _INITIAL_C):
        put_input(node, position, "")
    return proto


def state_not_handed_on(right: RightExport) -> ModelProto:
    """The state that came in is given back, in the place of the new one."""
    proto = copied(right.proto)
    node = nodes_of(proto, *RECURRENT)[0]
    for one in nodes_of(proto, "Squeeze"):
        if one.input[0] == node.output[1]:
            put_input(one, 0, node.input[_INITIAL_H])
    return proto


def states_exchanged(right: RightExport) -> ModelProto:
    """The states c and h come in in each other's place."""
    proto = copied(right.proto)
    node = nodes_of(proto, "LSTM")[0]
    node.input[_INITIAL_H], node.input[_INITIAL_C] = node.input[_INITIAL_C], node.input[_INITIAL_H]
    return proto


def softmax_over_the_first_axis(right: RightExport) -> ModelProto:
    """Scores sum to one over the batch."""
    return _softmax(right, 0)


def softmax_over_time(right: RightExport) -> ModelProto:
    """The scores of each class sum to one over the steps."""
    return _softmax(right, 1)


def softmax_left_out(right: RightExport) -> ModelProto:
    """Logits are given for scores."""
    proto = copied(right.proto)
    node = nodes_of(proto, "Softmax")[-1]
    node.op_type = "Identity"
    put_attribute(node, "axis", None)
    return proto


def sigmoid_twice(right: RightExport) -> ModelProto:
    """The score goes through another sigmoid, as if it were a logit."""
    proto = copied(right.proto)
    insert_behind(proto, proto.graph.output[0].name, "Sigmoid")
    return proto


def dropout_left_on(right: RightExport) -> ModelProto:
    """A dropout in front of the last layer is at work: what an export with `training=True` leaves in the graph."""
    proto = copied(right.proto)
    last = nodes_of(proto, "MatMul")[-1]
    drawn = insert_before(proto, last, "RandomUniformLike", [last.input[0]], seed=1.0)
    kept = insert_before(proto, last, "GreaterOrEqual", [drawn, np.array(_DROPOUT, np.float32)])
    scaled = insert_before(proto, last, "Div", [last.input[0], np.array(1 - _DROPOUT, np.float32)])
    put_input(last, 0, insert_before(proto, last, "Where", [kept, scaled, np.array(0, np.float32)]))
    return proto


def dropout_scales_at_inference(right: RightExport) -> ModelProto:
    """What dropout lets pass in training is multiplied in: Keras' dropout does that while training."""
    proto = copied(right.proto)
    insert_behind(proto, nodes_of(proto, "MatMul")[-1].input[0], "Mul", np.array(1 - _DROPOUT, np.float32))
    return proto


def heads_exchanged(right: RightExport) -> ModelProto:
    """Two outputs of one shape have each other's name."""
    proto = copied(right.proto)
    first, second = (value.name for value in proto.graph.output)
    become = {first: second, second: first}
    for node in proto.graph.node:
        for position, name in enumerate(node.output):
            node.output[position] = become.get(name, name)
    return proto


def classes_permuted(right: RightExport) -> ModelProto:
    """The scores stand in another order of the classes, as where one side sorts their names."""
    proto = copied(right.proto)
    output = proto.graph.output[0]
    count = output.type.tensor_type.shape.dim[-1].dim_value
    insert_behind(proto, output.name, "Gather", np.roll(np.arange(count), 1).astype(np.int64), axis=-1)
    return proto


def _softmax(right: RightExport, axis: int) -> ModelProto:
    proto = copied(right.proto)
    put_attribute(nodes_of(proto, "Softmax")[-1], "axis", axis)
    return proto


def _reverse(proto: ModelProto, tensor: str, *, axis: int) -> None:
    bounds = (-1, np.iinfo(np.int64).min, axis, -1)
    insert_behind(proto, tensor, "Slice", *(np.array([bound], np.int64) for bound in bounds))


def batch_frozen(right: RightExport) -> ModelProto:
    """The batch size of the tracing is in the graph: the file loads, and fails on any other."""
    proto = copied(right.proto)
    output = proto.graph.output[0]
    sizes = [1, *(size.dim_value for size in output.type.tensor_type.shape.dim[1:])]
    insert_behind(proto, output.name, "Reshape", np.array(sizes, np.int64))
    return proto


def unknown_ids_taken_for_the_last_word(right: RightExport) -> ModelProto:
    """Token ids are clipped to the vocabulary, so that those of another vocabulary are answered."""
    proto = copied(right.proto)
    node = nodes_of(proto, "Gather")[0]
    most = np.array(len(value_of(proto, node.input[0])) - 1, np.int32)
    put_input(node, 1, insert_before(proto, node, "Min", [node.input[1], most]))
    return proto
