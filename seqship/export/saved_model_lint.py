"""What is wrong with a SavedModel for serving, without running it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from seqship.export.cudnn_graph import CUDNN_OPS
from seqship.export.graph_names import layer_path
from seqship.export.graph_signature import read_document
from seqship.export.saved_functions import reached

# Names that Keras or TensorFlow make up: keras_tensor_3, output_0, args_0, inputs_1, input_2.
_MADE_UP = re.compile(r"(keras_tensor|output|args|inputs?|input_layer)(_\d+)?")
_ASSIGNING = ("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


def lint_saved_model(directory: Path) -> tuple[str, ...]:
    """Returns remarks on the signatures of a SavedModel; none where there is nothing to say.

    They name cuDNN operations that are no side of a pair which TensorFlow chooses from by device (the model then runs
    on a GPU alone), tensors without a name of their own, fixed batch sizes, and variables that a call changes, which
    all callers of a server share.

    Args:
        directory: The SavedModel.

    Raises:
        ModelError: It cannot be read.
    """
    remarks: list[str] = []
    for graph in read_document(directory).meta_graphs:
        for name in sorted(graph.signature_def):
            if not name.startswith("__"):  # TensorFlow's own, which restores the variables.
                found = _of_signature(graph, graph.signature_def[name])
                remarks += [f"signature {name!r}: {remark}" for remark in found]
    return tuple(remarks)


def _takes_examples(signature: Any) -> bool:
    """Whether all that a signature takes is `inputs`, strings: serialized `tf.Example` messages."""
    import tensorflow as tf

    return [*signature.inputs] == ["inputs"] and signature.inputs["inputs"].dtype == tf.string.as_datatype_enum


def _of_signature(graph: Any, signature: Any) -> list[str]:
    nodes, _ = reached(graph.graph_def, [tensor.name for tensor in signature.outputs.values()])
    cudnn = [node for node in nodes if node.op in CUDNN_OPS]
    changed = sum(node.op in _ASSIGNING for node in nodes)
    remarks: list[str] = []
    if cudnn:
        place = "/".join(layer_path(cudnn[0].name))
        more = f" and {len(cudnn) - 1} more" if len(cudnn) > 1 else ""
        remarks.append(f"{cudnn[0].op} (layer {place!r}){more} runs on a GPU alone; export the .keras file instead")
    for role, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        # Classify and Regress know no other names than inputs, classes, scores and outputs.
        theirs = {"inputs"} if role == "input" and _takes_examples(signature) else set[str]()
        if unnamed := [name for name in sorted(tensors) if name not in theirs and _MADE_UP.fullmatch(name)]:
            remarks.append(f"{role} {', '.join(map(repr, unnamed))} has no name of its own; name the model's layers")
        for name in sorted(tensors):
            sizes = [dim.size for dim in tensors[name].tensor_shape.dim]
            if sizes and sizes[0] > 0:
                remarks.append(f"{role} {name!r} has a fixed batch size of {sizes[0]}; leave the batch size free")
    if changed:
        remarks.append(
            f"each call changes {changed} variable{'s' if changed > 1 else ''}, a state that all callers share; "
            "export the .keras file, whose states become inputs and outputs"
        )
    return remarks
