"""Writes an ONNX file a second time with int8 weights: smaller, and faster where its matrices are large.

onnxruntime's dynamic quantization: weights lie in the file as int8 with a scale for each column of a matrix,
activations are rounded to uint8 while the model runs, and products are summed in int32 (onnxruntime, "Quantize ONNX
Models", https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).

The weights use 7 of the 8 bits. A processor without VNNI instructions adds two products of a uint8 and an int8 in 16
bits, which 8 bits overflow and 7 do not (2 * 255 * 64 < 2**15): the file computes the same wherever it is served.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqship.errors import ModelError
from seqship.export.audit import LayerAudit, all_nodes

QUANTIZATIONS = ("int8",)
"""What `ship` and `--quantize` take."""

LEAST_WEIGHTS = 1024
"""A matrix product or a table of fewer weights stays as it is: the five operators around it take more than it saves."""

QUANTIZED_LSTM = "DynamicQuantizeLSTM"
QUANTIZED_MATMUL = "MatMulInteger"

_WEIGHTS: dict[str, tuple[int, ...]] = {"LSTM": (1, 2), "MatMul": (1,), "Gather": (0,)}
"""Which inputs of an operator are weights that onnxruntime has an int8 kernel for."""
_NO_KERNEL = "onnxruntime has no int8 kernel for {}"
# Without it onnxruntime warns that graphs ought to be simplified first, which tf2onnx did.
_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")
_OF_QUANTIZER = ("onnx.quant.pre_process", "onnx.infer")


@dataclass(frozen=True)
class LayerQuantization:
    """What int8 made of one recurrent layer.

    Attributes:
        layer: Name of the layer.
        int8: Whether its weights are int8.
        reasons: Why not; empty where they are.
    """

    layer: str
    int8: bool
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"layer": self.layer, "int8": self.int8, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Int8Export:
    """What `write_int8` wrote.

    Attributes:
        path: The file.
        size: Bytes of the file.
        float_size: Bytes of the file that it was made of.
        operators: Number of operators with int8 weights, by their name in the float32 file.
        int8_weights: Number of weights that are int8.
        all_weights: Number of weights in the file.
        layers: What became of each recurrent layer.
    """

    path: Path
    size: int
    float_size: int
    operators: dict[str, int]
    int8_weights: int
    all_weights: int
    layers: tuple[LayerQuantization, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns what a manifest says of the file."""
        document = asdict(self) | {"bytes": self.size, "float_bytes": self.float_size}
        document["layers"] = [layer.to_json() for layer in self.layers]
        return {key: value for key, value in document.items() if key not in ("path", "size", "float_size")}


def check_quantization(quantize: str | None, formats: Sequence[str]) -> None:
    """Refuses what cannot be quantized before anything is exported.

    Raises:
        ModelError: It is no known quantization, or there is to be no ONNX file.
    """
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise ModelError(f"quantize must be {' or '.join(QUANTIZATIONS)}, got {quantize!r}")
    if quantize is not None and "onnx" not in formats:
        raise ModelError(f"{quantize} weights are for ONNX, formats are {', '.join(formats)}; add onnx")


def write_int8(source: Path, path: Path, *, audit: Sequence[LayerAudit] = ()) -> Int8Export:
    """Writes an ONNX file with int8 weights; the same bytes at every call.

    LSTM layers become `com.microsoft.DynamicQuantizeLSTM`, matrix products `MatMulInteger`, embeddings tables of uint8.
    GRU and SimpleRNN layers stay as they are: onnxruntime has no int8 kernel for them.

    Args:
        source: A file that `to_onnx` wrote.
        path: File to write; replaced if it exists.
        audit: What became of each recurrent layer of the source.

    Raises:
        ModelError: Nothing in the model can be quantized, or the file would be no smaller.
    """
    import onnx

    from seqship.atomic import write_file

    proto: Any = onnx.load(source)
    chosen = [node.name for node in _quantizable(proto)]
    layers = tuple(_layer(row) for row in audit)
    if not chosen:
        raise ModelError(_nothing(layers))
    _own_weights(proto, set(chosen))
    operators = dict(Counter(str(node.op_type) for node in proto.graph.node if node.name in chosen))
    counts = _weights_of(proto, set(chosen))
    quantized = _quantized(proto, chosen)
    data = _checked(quantized)
    float_size = source.stat().st_size
    if len(data) >= float_size:
        raise ModelError(
            f"int8 makes the model no smaller ({float_size:,} bytes, {len(data):,} with int8 weights): "
            "its matrices are too small; leave out --quantize"
        )
    write_file(path, data)
    return Int8Export(path, len(data), float_size, operators, *counts, layers)


def _quantizable(proto: Any) -> Iterator[Any]:
    """Yields the nodes of the graph, not of loops within, whose weights can be int8 to some effect."""
    import onnx

    constants = {one.name: one for one in proto.graph.initializer if one.data_type == onnx.TensorProto.FLOAT}
    for node in proto.graph.node:
        if node.op_type not in _WEIGHTS or node.domain not in ("", "ai.onnx"):
            continue
        weights = [constants.get(node.input[position]) for position in _WEIGHTS[node.op_type]]
        sizes = [list(one.dims) for one in weights if one is not None]
        if len(sizes) < len(weights):
            continue
        # Axes: a matrix, or the directions before it.
        if node.op_type == "LSTM" or (len(sizes[0]) == 2 and sizes[0][0] * sizes[0][1] >= LEAST_WEIGHTS):
            yield node


def _own_weights(proto: Any, chosen: set[str]) -> None:
    """Gives each node its own copy of weights that it shares: onnxruntime turns those of an LSTM in their place."""
    constants = {one.name: one for one in proto.graph.initializer}
    uses = Counter(name for node in proto.graph.node for name in node.input)
    for node in proto.graph.node:
        for position in _WEIGHTS.get(node.op_type, ()) if node.name in chosen else ():
            name = node.input[position]
            if uses[name] > 1:
                copy = proto.graph.initializer.add()
                copy.CopyFrom(constants[name])
                copy.name = f"{name}/{node.name}/{position}"
                node.input[position] = copy.name
                uses[name] -= 1


def _weights_of(proto: Any, chosen: set[str]) -> tuple[int, int]:
    """Returns how many numbers the weights of the chosen nodes have, and all float constants."""
    import onnx

    sizes = {
        one.name: math.prod(one.dims) for one in proto.graph.initializer if one.data_type == onnx.TensorProto.FLOAT
    }
    names = {
        node.input[position] for node in proto.graph.node if node.name in chosen for position in _WEIGHTS[node.op_type]
    }
    return sum(sizes[name] for name in names), sum(sizes.values())


def _quantized(proto: Any, chosen: Sequence[str]) -> Any:
    """Returns the quantized model, with the maker and the metadata of the one it was made of."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    prepared = onnx.ModelProto()
    prepared.CopyFrom(proto)
    prepared.metadata_props.add(key=_PREPARED[0], value=_PREPARED[1])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        try:
            quantize_dynamic(
                prepared,
                target,
                op_types_to_quantize=list(_WEIGHTS),
                nodes_to_quantize=list(chosen),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # It raises whatever onnx, numpy and it come upon.
            text = " ".join(str(error).split())
            raise ModelError(f"the ONNX model cannot be quantized by onnxruntime: {text[:300]}") from error
        quantized: Any = onnx.load(target)
    quantized.producer_name, quantized.producer_version = proto.producer_name, proto.producer_version
    kept = [one for one in quantized.metadata_props if one.key not in _OF_QUANTIZER]
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(kept)
    for graph in _graphs(quantized.graph):
        del graph.value_info[:]  # The shapes that it inferred, which nobody needs.
    return quantized


def _graphs(graph: Any) -> Iterator[Any]:
    """Yields a graph and those within its nodes."""
    yield graph
    for node in all_nodes(graph):
        for attribute in node.attribute:
            yield from ([attribute.g] if attribute.HasField("g") else [])


def _checked(proto: Any) -> bytes:
    """Returns the file's bytes, once onnxruntime has opened it."""
    import onnxruntime

    data = proto.SerializeToString(deterministic=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types derive from Exception alone.
        text = " ".join(str(error).split())
        raise ModelError(f"the int8 model is refused by onnxruntime: {text[:300]}") from error
    return data


def _layer(row: LayerAudit) -> LayerQuantization:
    if row.onnx == "LSTM":
        return LayerQuantization(row.layer, True, ())
    reason = "it is a Loop" if row.onnx == "Loop" else _NO_KERNEL.format(row.onnx)
    return LayerQuantization(row.layer, False, (reason,))


def _nothing(layers: Sequence[LayerQuantization]) -> str:
    why = "; ".join(f"{layer.layer}: {', '.join(layer.reasons)}" for layer in layers if not layer.int8)
    return (
        f"nothing in the model can be int8 ({f'{why}; ' if why else ''}no other matrix of {LEAST_WEIGHTS:,} weights or "
        "more); leave out --quantize"
    )
