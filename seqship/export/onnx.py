"""Writes a Keras model as ONNX, its recurrent layers as native operators."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.errors import ModelError, ProofError
from seqship.export.audit import RECURRENT_OPERATORS, LayerAudit, all_nodes, audit_layers, count_operators
from seqship.export.bundle import CONTRACT_KEY
from seqship.export.capture import MARKER_OP, Capture, capture
from seqship.export.lowering import Lowering
from seqship.export.operators import lowerable
from seqship.export.signature import ModelSignature, model_signature
from seqship.models.flavour import flavour_of
from seqship.models.layers import recurrent_layers
from seqship.pipelines.spec import Field

LOWEST_OPSET = 14
"""`GRU`, `LSTM` and `RNN` have their present form from here on, and GatherND its batch_dims."""


_quieting = threading.Lock()
_quieted: dict[str, tuple[int, int]] = {}  # number of exports that keep a logger quiet, and its level before them


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
    allow_loop: bool = True,
    signature: ModelSignature | None = None,
) -> OnnxExport:
    """Writes a tf-keras or Keras 3 model as one ONNX file.

    LSTM, GRU and SimpleRNN layers become the operators LSTM, GRU and RNN, exact for any mask; everything else is
    converted by tf2onnx. The file has passed the ONNX checker and onnxruntime before it gets its name.

    Args:
        model: The model.
        path: File to write; replaced if it exists.
        input_signature: Contracts of the inputs where the model does not say (subclassed models).
        opset: ONNX operator set; the newest that all sides serve if left out.
        allow_loop: Whether a recurrent layer without an operator may become a Loop.
        signature: The signature where it has been made already.

    Raises:
        ModelError: The model cannot be exported: an operation that ONNX lacks, a stateful layer, an opset out of range.
        ProofError: A Loop is left and `allow_loop` is off.
    """
    flavour = flavour_of(model)
    target = newest_opset() if opset is None else opset
    if not LOWEST_OPSET <= target <= newest_opset():
        raise ModelError(f"opset must be {LOWEST_OPSET} to {newest_opset()}, got {target}")
    signature = signature or model_signature(model, inputs=input_signature)
    _refuse_stateful(model)
    with capture(flavour, lowerable) as captured:
        proto = _convert(signature, captured, target)
    _name_axes(proto, signature)
    _keep_contract(proto, signature)
    _refuse_unknown(proto)
    _refuse_double(proto)
    operators, loops, nodes = count_operators(proto)
    audit = audit_layers(model, captured)
    if loops and not allow_loop:
        left = "; ".join(f"{row.layer}: {', '.join(row.onnx_reasons)}" for row in audit if row.onnx == "Loop")
        raise ProofError(f"{loops} Loop left in the ONNX graph ({left or 'from a layer that is not recurrent'})")
    target_path = Path(path)
    size = _write(proto, target_path)
    return OnnxExport(target_path, signature.inputs, signature.outputs, target, operators, loops, nodes, size, audit)


def _refuse_stateful(model: Any) -> None:
    stateful = [spec.name for spec in recurrent_layers(model) if spec.stateful]
    if stateful:
        raise ModelError(
            f"layer {stateful[0]!r} is stateful and ONNX would lose its state between calls; "
            "build the model with stateful=False, or pass the state with initial_state and return_state"
        )


def _convert(signature: ModelSignature, captured: Capture, opset: int) -> Any:
    import tf2onnx

    with _quiet("tf2onnx", "tensorflow"):
        proto, external = tf2onnx.convert.from_function(
            signature.traceable(),
            input_signature=signature.tensor_specs(),
            opset=opset,
            custom_op_handlers=Lowering(captured).handlers(),
        )
    if external:
        raise ModelError("the model is larger than 2 GB, which one ONNX file cannot hold")
    return proto


@contextlib.contextmanager
def _quiet(*names: str) -> Generator[None]:
    """Keeps loggers from speaking of what is checked, and reported in one line, afterwards.

    Several exports may run at once: the last one out gives a logger its level back.
    """
    with _quieting:
        for name in names:
            users, level = _quieted.get(name, (0, logging.getLogger(name).level))
            _quieted[name] = users + 1, level
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        with _quieting:
            for name in names:
                users, level = _quieted.pop(name)
                if users > 1:
                    _quieted[name] = users - 1, level
                else:
                    logging.getLogger(name).setLevel(level)


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
    proto.producer_name = "seqship"
    proto.producer_version = _version()
    proto.graph.doc_string = ""


def _keep_contract(proto: Any, signature: ModelSignature) -> None:
    """Writes the contract into the file, so that it can be served without its bundle."""
    contract = {
        "inputs": [field.to_json() for field in signature.inputs],
        "outputs": [field.to_json() for field in signature.outputs],
    }
    proto.metadata_props.add(key=CONTRACT_KEY, value=json.dumps(contract))


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
            place = "/".join(node.name.split("/")[1:-1]) or node.name
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
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # Both raise many types; whatever it is, no file is written.
        text = " ".join(str(error).split())
        raise ModelError(f"the ONNX model is refused by {type(error).__module__.partition('.')[0]}: {text}") from error
    write_file(path, data)
    return len(data)
