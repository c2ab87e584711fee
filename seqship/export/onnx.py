"""Writes a Keras model as ONNX, its recurrent layers as native operators."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.errors import ModelError, ProofError
from seqship.export.audit import RECURRENT_OPERATORS, LayerAudit, all_nodes, audit_layers, count_operators
from seqship.export.bundle import CONTRACT_KEY
from seqship.export.capture import capture
from seqship.export.cases import Padding
from seqship.export.graph_names import layer_path
from seqship.export.lowering import Lowering
from seqship.export.marker import MARKER_OP
from seqship.export.onnx_states import make_states_optional
from seqship.export.operators import lowerable
from seqship.export.quiet import quiet
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.export.traced_function import TracedFunction
from seqship.models.flavour import flavour_of
from seqship.models.saved import SavedGraph
from seqship.pipelines.spec import Field

LOWEST_OPSET = 14
"""`GRU`, `LSTM` and `RNN` have their present form from here on, and GatherND its batch_dims."""


@dataclass(frozen=True)
class OnnxExport:
    """What `to_onnx` wrote.

    Attributes:
        path: The file.
        inputs: Contract of each input.
        outputs: Contract of each output.
        opset: Version of the ONNX operator set.
        operators: Number of recurrent operators by ONNX name, and of `Loop`s and `Scan`s under "Loop", where there are.
        loops: Number of loops.
        nodes: Number of nodes, those within loops included.
        size: Bytes of the file.
        audit: What became of each recurrent layer.
    """

    path: Path
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    opset: int
    operators: dict[str, int]
    loops: int
    nodes: int
    size: int
    audit: tuple[LayerAudit, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns what a manifest says of the file."""
        return {
            "operators": self.operators,
            "loops": self.loops,
            "opset": self.opset,
            "nodes": self.nodes,
            "bytes": self.size,
        }


def newest_opset() -> int:
    """Returns the newest operator set that the installed tf2onnx writes and the installed onnxruntime reads."""
    import onnx
    from tf2onnx import constants

    return min(max(constants.OPSET_TO_IR_VERSION), onnx.defs.onnx_opset_version())


def to_onnx(
    model: Any,
    path: str | os.PathLike[str],
    *,
    input_signature: Sequence[Field] | None = None,
    opset: int | None = None,
    padding: Padding = "any",
    allow_loop: bool = True,
    signature: ModelSignature | None = None,
) -> OnnxExport:
    """Writes a tf-keras or Keras 3 model as one ONNX file.

    LSTM, GRU and SimpleRNN layers become the operators LSTM, GRU and RNN, exact for any mask; everything else is
    converted by tf2onnx. The file has passed the ONNX checker and onnxruntime before it gets its name.

    Args:
        model: The model, or a `SavedGraph`.
        path: File to write; replaced if it exists.
        input_signature: Contracts of the inputs where the model does not say (subclassed models).
        opset: ONNX operator set; the newest that all sides serve if left out.
        padding: "right" if every mask is off behind the data alone, which no file can check: the steps need not be
            permuted then.
        allow_loop: Whether a recurrent layer without an operator may become a Loop.
        signature: The signature where it has been made already.

    Raises:
        ModelError: The model cannot be exported: an operation that ONNX lacks, an opset out of range.
        ProofError: A Loop is left and `allow_loop` is off.
    """
    if isinstance(model, SavedGraph):
        from seqship.export.saved_graph import saved_graph_to_onnx

        return saved_graph_to_onnx(
            model, path, opset=opset, padding=padding, allow_loop=allow_loop, signature=signature
        )
    flavour = flavour_of(model)
    opset = check_opset(opset)
    signature = signature or export_signature(model, inputs=input_signature)
    with capture(flavour, lowerable) as captured:
        proto = convert_function(signature, Lowering(captured, padding).handlers(), opset)
    return write_onnx(proto, path, signature, opset, audit_layers(model, captured), allow_loop=allow_loop)


def check_opset(opset: int | None) -> int:
    """Returns the operator set to write: the newest that all sides serve where none is asked for.

    Raises:
        ModelError: It is one that `to_onnx` does not write.
    """
    target = newest_opset() if opset is None else opset
    if not LOWEST_OPSET <= target <= newest_opset():
        raise ModelError(f"opset must be {LOWEST_OPSET} to {newest_opset()}, got {target}")
    return target


def write_onnx(
    proto: Any,
    path: str | os.PathLike[str],
    signature: ModelSignature,
    opset: int,
    audit: tuple[LayerAudit, ...],
    *,
    allow_loop: bool,
) -> OnnxExport:
    """Names the axes of a converted model, keeps its contract in it, checks it and writes it.

    Args:
        proto: What `convert_function` returned.
        path: File to write; replaced if it exists.
        signature: What was converted.
        opset: The operator set it was converted to.
        audit: What became of each recurrent layer.
        allow_loop: Whether a recurrent layer without an operator may have become a Loop.

    Raises:
        ModelError: It has an operation that ONNX lacks, or is refused by the checker or onnxruntime.
        ProofError: A Loop is left and `allow_loop` is off.
    """
    _refuse_unknown(proto)
    make_states_optional(proto, signature.inputs)
    _name_axes(proto, signature)
    _keep_contract(proto, signature)
    _refuse_double(proto)
    operators, loops, nodes = count_operators(proto)
    if loops and not allow_loop:
        left = "; ".join(f"{row.layer}: {', '.join(row.onnx_reasons)}" for row in audit if row.onnx == "Loop")
        raise ProofError(f"{loops} Loop left in the ONNX graph ({left or 'from a layer that is not recurrent'})")
    target = Path(path)
    size = _write(proto, target)
    return OnnxExport(target, signature.inputs, signature.outputs, opset, operators, loops, nodes, size, audit)


def convert_function(
    signature: ModelSignature, handlers: dict[str, Any], opset: int, *, rewriters: Sequence[Any] = ()
) -> Any:
    """Traces the function of a signature and converts the graph.

    Args:
        signature: What to trace, with the names of its inputs and outputs.
        handlers: The `custom_op_handlers` of tf2onnx: what it is not to convert by itself.
        opset: ONNX operator set.
        rewriters: The `custom_rewriter` of tf2onnx: what changes the frozen graph before it is converted.

    Returns:
        The `onnx.ModelProto`, not checked yet: tf2onnx leaves in it what it cannot convert.

    Raises:
        ModelError: The model is too large for one file.
    """
    import tf2onnx

    with quiet("tf2onnx", "tensorflow"):
        traced = signature.traced()
        proto, external = tf2onnx.convert.from_function(
            TracedFunction(traced),
            input_signature=signature.tensor_specs(),
            opset=opset,
            custom_op_handlers=handlers,
            custom_rewriter=list(rewriters),
        )
    if external:
        raise ModelError("the model is larger than 2 GB, which one ONNX file cannot hold")
    return proto


def _name_axes(proto: Any, signature: ModelSignature) -> None:
    """Names the free axes of inputs and outputs; tf2onnx calls them unk__7."""
    fields = {field.name: field for field in (*signature.inputs, *signature.outputs)}
    for value in (*proto.graph.input, *proto.graph.output):
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, fields[value.name].shape, strict=True):
            if isinstance(size, str):
                dim.dim_param = size
            else:
                dim.dim_value = size
    in_order = sorted(proto.graph.output, key=lambda value: list(fields).index(value.name))
    del proto.graph.output[:]
    proto.graph.output.extend(in_order)  # tf2onnx sorts them by name.
    proto.producer_name = "seqship"
    proto.producer_version = _version()
    proto.graph.doc_string = ""


def _keep_contract(proto: Any, signature: ModelSignature) -> None:
    """Writes the contract into the file, so that it can be served without its bundle."""
    proto.metadata_props.add(key=CONTRACT_KEY, value=json.dumps(signature.to_json()))


def _version() -> str:
    from seqship import __version__

    return __version__


def _refuse_unknown(proto: Any) -> None:
    """Refuses operations that are no ONNX operators; tf2onnx leaves them in the file and only logs them.

    Raises:
        ModelError: Names the first such operation and where in the model it comes from.
    """
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    python = {MARKER_OP: "numpy_function", "EagerPyFunc": "py_function"}
    for node in all_nodes(proto.graph):
        if node.domain in ("", "ai.onnx") and node.op_type not in known:
            operation = python.get(node.op_type, node.op_type)
            path = layer_path(node.name)
            place = "/".join(path[1:] or path) or node.name
            raise ModelError(
                f"TensorFlow operation {operation} (layer {place!r}) has no ONNX counterpart; "
                "move it out of the model, or export with --formats saved_model"
            )


def _refuse_double(proto: Any) -> None:
    """Refuses recurrent operators in float64, which onnxruntime loads and then cannot run.

    tf2onnx makes such operators by itself of layers that seqship leaves to it, where it knows the loop of tf-keras.

    Raises:
        ModelError: There is one.
    """
    from onnx import TensorProto

    double = {tensor.name for tensor in proto.graph.initializer if tensor.data_type == TensorProto.DOUBLE}
    for node in all_nodes(proto.graph):
        if node.op_type in RECURRENT_OPERATORS and double & set(node.input[1:3]):
            raise ModelError(
                f"ONNX {node.op_type} in float64 cannot be run by onnxruntime; "
                "build the model in float32, or export with --formats saved_model"
            )


def _write(proto: Any, path: Path) -> int:
    """Checks the model as ONNX and in onnxruntime, then writes it under its name; returns its size in bytes."""
    import onnx
    import onnxruntime

    from seqship.atomic import write_file

    data = proto.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(data, full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # Not its warnings that the states of a stream are no constants.
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Both raise many types; whatever it is, no file is written.
        text = " ".join(str(error).split())
        raise ModelError(f"the ONNX model is refused by {type(error).__module__.partition('.')[0]}: {text}") from error
    write_file(path, data)
    return len(data)
