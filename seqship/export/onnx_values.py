"""Every value that an ONNX graph computes for one feed, and which node made it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.runners import Feed


@dataclass(frozen=True, eq=False)
class OnnxValues:
    """One run of a graph.

    Attributes:
        nodes: The nodes of the graph, those within loops and branches not, in the order in which they run.
        values: What they computed, what was fed, and the constants, by name.
        constants: The constants alone.
    """

    nodes: tuple[Any, ...]
    values: Mapping[str, NDArray[Any]]
    constants: Mapping[str, NDArray[Any]]


def run_every_node(path: str | os.PathLike[str], feed: Feed) -> OnnxValues:
    """Runs an ONNX file in onnxruntime as it is written, without optimizations, and keeps every value.

    Args:
        path: The file.
        feed: Inputs by name.

    Raises:
        ModelError: The file is no ONNX model, or onnxruntime refuses it or the feed.
    """
    import onnx
    import onnxruntime

    try:
        proto: Any = onnx.load(os.fspath(path))
        shown = {value.name for value in proto.graph.output}
        made = [name for node in proto.graph.node for name in node.output if name]
        # onnxruntime infers the types of outputs that have none.
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in shown)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        found: list[Any] = list(session.run(names, dict(feed)))
    except Exception as error:  # Both raise types of their own, which derive from Exception alone.
        text = " ".join(str(error).split())
        raise ModelError(f"{os.fspath(path)} is refused by onnxruntime: {text[:300]}") from error
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    values = constants | dict(feed)
    values |= {name: value for name, value in zip(names, found, strict=True) if isinstance(value, np.ndarray)}
    constants |= {
        node.output[0]: values[node.output[0]]
        for node in proto.graph.node
        if node.op_type == "Constant" and node.output[0] in values
    }
    return OnnxValues(tuple(proto.graph.node), values, constants)
