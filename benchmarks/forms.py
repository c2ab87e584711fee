"""The forms that a model is shipped in, and how each is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.architectures import Version, build, by_name

SEQSHIP, STOCK, KERAS_EXPORT, SAVED_MODEL, KERAS = "seqship", "tf2onnx", "Keras export", "SavedModel", "Keras"
FORMS = (SEQSHIP, STOCK, KERAS_EXPORT, SAVED_MODEL)
"""`KERAS` is the model itself in a `tf.function`; it has no file."""


@dataclass(frozen=True)
class Written:
    """One file or directory.

    Attributes:
        path: Where it is.
        nodes: Number of nodes, those in subgraphs included; 0 for a SavedModel.
        loops: Number of Loop and Scan nodes; 0 for a SavedModel.
        size: Bytes of the file; 0 for a SavedModel.
    """

    path: str
    nodes: int = 0
    loops: int = 0
    size: int = 0


def writer() -> Callable[[str, Version, str, str], Written]:
    """Returns what writes one form of one model; it keeps the model for the next form."""
    models: dict[tuple[str, Version], Any] = {}

    def write(name: str, version: Version, form: str, folder: str) -> Written:
        key = (name, version)
        if key not in models:
            models.clear()
            models[key] = build(by_name(name), version)
        path = Path(folder) / f"{name}-{version}-{form.replace(' ', '-')}"
        if form == SAVED_MODEL:
            models[key].export(str(path))
            return Written(str(path))
        path = path.with_suffix(".onnx")
        CONVERTERS[form](models[key], str(path))
        return counted(path)

    return write


def convert_seqship(model: Any, path: str) -> None:
    """Writes ONNX with seqship, as anyone would."""
    from seqship.export import to_onnx

    to_onnx(model, path)


def convert_stock(model: Any, path: str) -> None:
    """Writes ONNX with tf2onnx alone, from the plain model."""
    import tensorflow as tf
    import tf2onnx

    from seqship.export.onnx import newest_opset

    def call(values: Any) -> Any:
        return model(values, training=False)

    [given] = model.inputs
    spec = [tf.TensorSpec(given.shape, given.dtype, name="inputs")]
    traced = tf.function(call, input_signature=spec, autograph=False)
    tf2onnx.convert.from_function(traced, input_signature=spec, opset=newest_opset(), output_path=path)


def convert_keras(model: Any, path: str) -> None:
    """Writes ONNX with Keras 3's own export."""
    from seqship.export.onnx import newest_opset

    model.export(path, format="onnx", verbose=False, opset_version=newest_opset())


CONVERTERS: dict[str, Callable[[Any, str], None]] = {
    SEQSHIP: convert_seqship,
    STOCK: convert_stock,
    KERAS_EXPORT: convert_keras,
}


def counted(path: Path) -> Written:
    """Counts the nodes of an ONNX file.

    Raises:
        ValueError: It takes other inputs than the model; tf2onnx makes inputs of constants that a layer holds.
    """
    import onnx

    from seqship.export.audit import count_operators

    proto = onnx.load(os.fspath(path))
    if len(proto.graph.input) > 1:
        raise ValueError(f"the file takes {len(proto.graph.input)} inputs, the model takes 1")
    _, loops, nodes = count_operators(proto)
    return Written(str(path), nodes, loops, path.stat().st_size)
