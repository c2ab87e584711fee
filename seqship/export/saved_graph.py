"""Converts a SavedModel that comes without its Keras objects: its graph, the recurrent layers in it natively.

The functions that tf-keras leaves in a SavedModel for its LSTM and GRU layers are marked in a copy of the graph before
TensorFlow inlines them; the weights, which are variables until the graph is frozen, are read from it afterwards.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqship.errors import ModelError
from seqship.export.audit import LayerAudit
from seqship.export.cases import Padding
from seqship.export.cudnn_graph import CudnnLowering
from seqship.export.function_marking import MARK, mark
from seqship.export.graph_audit import audit_graph
from seqship.export.graph_names import layer_path
from seqship.export.graph_signature import graph_signature, output_tensors, read_document, serving_graph
from seqship.export.lowering import Lowering
from seqship.export.marker import MARKER_OP, Capture, Marker
from seqship.export.onnx import OnnxExport, check_opset, convert_function, write_onnx
from seqship.export.onnx_graph import constant_value
from seqship.export.operators import lowerable
from seqship.export.saved_functions import (
    SavedLayer,
    functions_of,
    is_layer_function,
    reached,
    recognize,
)
from seqship.export.signature import ModelSignature
from seqship.models.saved import SAVED_MODEL_FILE, SavedGraph
from seqship.models.spec import STATES, RecurrentSpec


def saved_model_to_onnx(
    directory: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    signature: str = "serving_default",
    opset: int | None = None,
    padding: Padding = "any",
    allow_loop: bool = True,
) -> OnnxExport:
    """Writes one signature of a SavedModel as one ONNX file, as `to_onnx` does with a Keras model.

    LSTM and GRU layers that tf-keras saved as functions of their own, and TensorFlow's cuDNN operations, become the
    operators LSTM, GRU and RNN; everything else is converted by tf2onnx. A cuDNN operation refuses sequences that are
    not padded on the right when it runs; ONNX has no such check, and takes the number of valid steps as the length.

    Args:
        directory: The SavedModel.
        path: File to write; replaced if it exists.
        signature: Name of the signature.
        opset: ONNX operator set; the newest that all sides serve if left out.
        padding: As for `to_onnx`.
        allow_loop: Whether a recurrent layer without an operator may become a Loop.

    Raises:
        ModelError: The directory is no SavedModel, has no such signature, or holds an operation that ONNX lacks.
        ProofError: A Loop is left and `allow_loop` is off.
    """
    saved = SavedGraph(Path(directory), signature)
    return saved_graph_to_onnx(saved, path, opset=opset, padding=padding, allow_loop=allow_loop)


def saved_graph_to_onnx(
    saved: SavedGraph,
    path: str | os.PathLike[str],
    *,
    opset: int | None = None,
    padding: Padding = "any",
    allow_loop: bool = True,
    signature: ModelSignature | None = None,
) -> OnnxExport:
    """Does what `saved_model_to_onnx` does, with the signature where it has been read already."""
    opset = check_opset(opset)
    proto, signature, audit = _convert(saved, signature, opset, padding)
    return write_onnx(proto, path, signature, opset, audit, allow_loop=allow_loop)


def inspect_saved_graph(saved: SavedGraph) -> tuple[LayerAudit, ...]:
    """Returns what becomes of each recurrent layer of a SavedModel.

    Raises:
        ModelError: The directory is no SavedModel, or cannot be converted.
    """
    return _convert(saved, None, check_opset(None), "any")[2]


def _convert(
    saved: SavedGraph, signature: ModelSignature | None, opset: int, padding: Padding
) -> tuple[Any, ModelSignature, tuple[LayerAudit, ...]]:
    left: dict[str, str] = {}
    while True:
        with tempfile.TemporaryDirectory(prefix="seqship") as folder:
            copy = Path(folder)
            marked = _marked_copy(saved, copy, left)
            again = graph_signature(saved, copy, like=signature)
            weights = _Weights(marked.layers)
            cudnn = CudnnLowering()
            handlers = Lowering(weights.captured, padding).handlers() | cudnn.handlers()
            proto = convert_function(again, handlers, opset, rewriters=[weights.rewrite])
        cudnn.check()
        if not weights.refused:
            return proto, again, audit_graph(proto, [*weights.found, *cudnn.found], marked.calls, left)
        # Their bodies are gone from this graph, so it is made again with these functions as they were.
        left |= weights.refused


@dataclass(frozen=True, eq=False)
class _Marked:
    """What was marked in a copy of a SavedModel.

    Attributes:
        layers: By name of their functions.
        calls: Names of the nodes that call a function that was left, by the function's name.
    """

    layers: Mapping[str, SavedLayer]
    calls: Mapping[str, tuple[str, ...]]


def _marked_copy(saved: SavedGraph, folder: Path, left: dict[str, str]) -> _Marked:
    """Writes a SavedModel whose recurrent functions are markers; all but the graph is a link to the original.

    Args:
        saved: The original.
        folder: Where to write.
        left: Reasons why functions are left as they are, by name; those that are not recognised are added.
    """
    document = read_document(saved.directory)
    graph = serving_graph(document, saved)
    nodes, used = reached(graph.graph_def, output_tensors(graph, saved))
    _refuse_stateful(nodes)
    layers: dict[str, SavedLayer] = {}
    for name, function in used.items():
        if not is_layer_function(function) or name in left:
            continue
        layer = recognize(function, graph.graph_def.library)
        if isinstance(layer, str):
            left[name] = layer
        else:
            layers[name] = layer
    calls = {name: tuple(node.name for node in nodes if name in functions_of(node)) for name in left}
    for name, layer in layers.items():
        mark(used[name], layer)
    (folder / SAVED_MODEL_FILE).write_bytes(document.SerializeToString())
    for entry in saved.directory.resolve().iterdir():
        if entry.name in ("variables", "assets"):
            (folder / entry.name).symlink_to(entry)
    return _Marked(layers, calls)


def _refuse_stateful(nodes: Iterable[Any]) -> None:
    """Refuses a graph that writes to its variables: frozen, they would keep their first value for ever."""
    for node in nodes:
        if re.fullmatch(r"Assign\w*VariableOp", node.op):
            layer = "/".join(layer_path(node.name)[1:] or layer_path(node.name)) or node.name
            raise ModelError(
                f"the SavedModel writes to a variable in {layer!r} and ONNX would lose what it keeps between calls; "
                "save the model with stateful=False, or give the .keras file"
            )


@dataclass(eq=False)
class _Weights:
    """Gives each marker the weights that the frozen graph holds, and the form that the lowering takes.

    Attributes:
        layers: How each function was traced, by its name.
        captured: The markers with their weights.
        found: The layers, with the names of their nodes.
        refused: Why a function cannot be a marker after all, by its name.
    """

    layers: Mapping[str, SavedLayer]
    captured: Capture = field(default_factory=lambda: Capture(lowerable))
    found: list[tuple[str, RecurrentSpec]] = field(default_factory=list[tuple[str, RecurrentSpec]])
    refused: dict[str, str] = field(default_factory=dict[str, str])

    def rewrite(self, graph: Any, operations: Any) -> Any:
        """A custom rewriter of tf2onnx: runs over the frozen graph before anything in it is converted."""
        for node in operations:
            token = node.get_attr_str("token") if node.type == MARKER_OP else ""
            if token.startswith(MARK):
                self._resolve(graph, node, self.layers[token.removeprefix(MARK)])
        return operations

    def _resolve(self, graph: Any, node: Any, layer: SavedLayer) -> None:
        inputs = dict(zip(layer.arguments, node.input, strict=True))
        weights = [constant_value(graph, inputs[name]) for name in ("kernel", "recurrent_kernel", "bias")]
        if any(value is None for value in weights):
            self.refused[layer.function] = "its weights are computed by the graph, not constant"
            return
        kernel, recurrent_kernel, bias = weights
        name = "/".join(layer_path(node.name)) or "layer"
        spec = replace(layer.spec, name=name, kernel=kernel, recurrent_kernel=recurrent_kernel, bias=bias)
        states = [inputs[name] for name in ("init_h", "init_c")[: STATES[spec.kind]]]
        if all(_is_zero(graph, state) for state in states):
            states = []
        token = f"{MARK}{node.name}"
        node.set_attr("token", token)
        graph.replace_inputs(node, [inputs["inputs"], *([inputs["mask"]] if layer.has_mask else []), *states])
        self.captured.markers[token] = Marker(spec, layer.has_mask, bool(states))
        self.found.append((node.name, spec))


def _is_zero(graph: Any, tensor: str) -> bool:
    """Returns whether a state is what Keras begins with: zeros, of the batch's size."""
    producer = graph.get_node_by_output(tensor)
    if producer is None or producer.type not in ("Fill", "ZerosLike", "Const"):
        return False
    value = (
        0
        if producer.type == "ZerosLike"
        else constant_value(graph, producer.input[1] if producer.type == "Fill" else tensor)
    )
    return value is not None and not np.any(value)
