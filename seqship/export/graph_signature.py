"""Reads a SavedModel: its graph, and one of its signatures as the function that every runtime is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqship.errors import ModelError
from seqship.export.cudnn_graph import CUDNN_OPS
from seqship.export.graph_contract import graph_fields
from seqship.export.graph_names import layer_path
from seqship.export.saved_functions import reached
from seqship.export.signature import ModelSignature
from seqship.models.saved import SAVED_MODEL_FILE, SavedGraph
from seqship.pipelines.spec import Field

_SERVE = "serve"
"""`tf.saved_model.SERVING`, the tag of a graph that is for inference."""


def graph_signature(
    saved: SavedGraph,
    directory: Path | None = None,
    *,
    inputs: Sequence[Field] | None = None,
    outputs: Sequence[Field] | None = None,
    like: ModelSignature | None = None,
) -> ModelSignature:
    """Reads the signature of a SavedModel; its function runs the SavedModel itself.

    Args:
        saved: The SavedModel.
        directory: A copy to load in its place.
        inputs: Contracts that replace what the graph says, by name.
        outputs: Contracts that replace what the graph says, by name.
        like: The signature where it has been read already.

    Raises:
        ModelError: The directory is no SavedModel, has no such signature, or a contract does not fit it.
    """
    import tensorflow as tf

    serving_graph(read_document(saved.directory), saved)
    try:
        with tf.device("/cpu:0"):
            loaded: Any = tf.saved_model.load(str(directory or saved.directory), tags=[_SERVE])
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{saved.directory} cannot be loaded as a SavedModel: {text[:200]}") from error
    concrete = loaded.signatures[saved.signature]
    if like is None:
        own_inputs, own_outputs = graph_fields(concrete)
        inputs = _replaced(own_inputs, inputs, "input")
        outputs = _replaced(own_outputs, outputs, "output")
        if both := {field.name for field in inputs} & {field.name for field in outputs}:
            raise ModelError(
                f"{saved.directory}: signature {saved.signature!r} has an input and an output named {min(both)!r}, and "
                "ONNX has one name space for both; save it with names of their own"
            )
    else:
        inputs, outputs = like.inputs, like.outputs
    names = [field.name for field in inputs]

    def call(*tensors: Any) -> dict[str, Any]:
        _ = loaded  # It owns the variables, and must live as long as the function is called.
        # On a GPU, tf-keras' functions would be exchanged for others, which give zeros at padded steps.
        with tf.device("/cpu:0"):
            return dict(concrete(**dict(zip(names, tensors, strict=True))))

    return ModelSignature(tuple(inputs), tuple(outputs), call)


def gpu_operations(saved: SavedGraph) -> tuple[str, ...]:
    """Returns the cuDNN operations that a signature runs, which exist on a GPU alone, as "operation (layer)"."""
    graph = serving_graph(read_document(saved.directory), saved)
    nodes, _ = reached(graph.graph_def, output_tensors(graph, saved))
    return tuple(f"{node.op} (layer {'/'.join(layer_path(node.name))!r})" for node in nodes if node.op in CUDNN_OPS)


def read_document(directory: Path) -> Any:
    """Returns the `SavedModel` message of a directory.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = directory / SAVED_MODEL_FILE
    if not file.is_file():
        raise ModelError(f"{directory} holds no {SAVED_MODEL_FILE}; give the directory that a model was saved to")
    document = saved_model_pb2.SavedModel()
    try:
        document.ParseFromString(file.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{file} cannot be read as a SavedModel: {' '.join(str(error).split())[:200]}") from error
    return document


def serving_graph(document: Any, saved: SavedGraph) -> Any:
    """Returns the `MetaGraphDef` for serving.

    Raises:
        ModelError: There is none, or it lacks the signature; those that are there are named.
    """
    tags = [set(graph.meta_info_def.tags) for graph in document.meta_graphs]
    graph = next((graph for graph, tag in zip(document.meta_graphs, tags, strict=True) if tag == {_SERVE}), None)
    if graph is None:
        found = "; ".join(", ".join(sorted(tag)) or "none" for tag in tags) or "no graph"
        raise ModelError(
            f"{saved.directory} holds no graph with the tag {_SERVE}, it has: {found}; save it for serving"
        )
    # TensorFlow adds one of its own, which restores the variables.
    names = sorted(name for name in graph.signature_def if not name.startswith("__"))
    if not names:
        raise ModelError(f"{saved.directory} has no signature; save it with model.export() or signatures=...")
    if saved.signature not in names:
        raise ModelError(f"{saved.directory} has no signature {saved.signature!r}, it has: {', '.join(names)}")
    return graph


def output_tensors(graph: Any, saved: SavedGraph) -> list[str]:
    """Returns the names of the tensors that a signature gives."""
    return [tensor.name for tensor in graph.signature_def[saved.signature].outputs.values()]


def _replaced(own: Sequence[Field], given: Sequence[Field] | None, role: str) -> tuple[Field, ...]:
    if given is None:
        return tuple(own)
    by_name = {field.name: field for field in own}
    if {field.name for field in given} != set(by_name) or len(given) != len(own):
        found = ", ".join(field.name for field in given)
        raise ModelError(f"the SavedModel has the {role}s {', '.join(by_name)}, the contract names {found}")
    for field in given:
        if (field.dtype, field.rank) != (by_name[field.name].dtype, by_name[field.name].rank):
            wanted = f"{by_name[field.name].dtype} with {by_name[field.name].rank} axes"
            found = f"{field.dtype} with {field.rank}"
            raise ModelError(f"{role} {field.name!r} of the SavedModel is {wanted}, the contract says {found}")
    return tuple(given)
