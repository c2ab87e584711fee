"""The states of a streaming model as optional inputs of its ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqship.export.audit import all_nodes
from seqship.export.signature import argument_names
from seqship.pipelines.spec import Field


def make_states_optional(proto: Any, inputs: Sequence[Field]) -> None:
    """Gives the states their names, and zeros for whoever leaves them out.

    An initializer of an input's name is that input's default (ONNX, "Overview of ONNX IR", Graphs). One row of zeros
    does for any batch size: the graph spreads a state over the rows.

    Args:
        proto: `ModelProto`; changed in place.
        inputs: Contracts of all inputs, named as they shall be.
    """
    from onnx import numpy_helper

    names = dict(zip(argument_names([field.name for field in inputs]), [field.name for field in inputs], strict=True))
    for value in proto.graph.input:
        value.name = names.get(value.name, value.name)
    for node in all_nodes(proto.graph):
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
    for field in (field for field in inputs if field.is_state):
        zeros = np.zeros((1, int(field.shape[1])), np.dtype(field.dtype))
        proto.graph.initializer.append(numpy_helper.from_array(zeros, field.name))
