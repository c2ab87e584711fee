"""One way to run a model in any runtime: named arrays in, named arrays out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.example_runner import example_runner
from seqship.export.quiet import quiet
from seqship.export.runner_failures import failures_told
from seqship.export.signature import ModelSignature
from seqship.pipelines.signature_contracts import signature_for
from seqship.pipelines.spec import STATE_PREFIX, Field
from seqship.wire.signature_names import SERVING_DEFAULT, TF_EXAMPLE

Feed = Mapping[str, NDArray[Any]]
"""Input arrays by name."""

Outputs = dict[str, NDArray[Any]]
"""Output arrays by name."""

Runner = Callable[[Feed], Outputs]

SAVED_MODEL_RUNNER, ONNX_RUNNER = "saved_model", "onnx"
"""What the runners of an export are called; those of its variants begin so."""


def keras_runner(signature: ModelSignature, *, concrete: Any = None) -> Runner:
    """Runs the Keras model itself, in a graph of its own that nothing has been exported from.

    What it returns raises ModelError where Keras fails on the inputs.

    Args:
        signature: The model.
        concrete: `signature.traced()` where that has been called already.
    """
    import tensorflow as tf

    concrete = signature.traced() if concrete is None else concrete
    sizes = {field.name: int(field.shape[1]) for field in signature.states}
    names = [(field.name, field.dtype) for field in signature.inputs]

    def run(feed: Feed) -> Outputs:
        with failures_told("the model itself", feed):
            return call(feed)

    def call(feed: Feed) -> Outputs:
        values = [feed[name] if name in feed else np.zeros((1, sizes[name])) for name, _ in names]
        tensors = [tf.constant(value, tf.as_dtype(dtype)) for value, (_, dtype) in zip(values, names, strict=True)]
        outputs: dict[str, Any] = concrete(*tensors)
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


def saved_model_runner(path: str | os.PathLike[str], signature: str = SERVING_DEFAULT) -> Runner:
    """Loads a SavedModel from disk and runs one of its signatures.

    What it returns runs the signature `stream` where it is given states, and `serving_text` where it is given raw text
    that is no input of the model. It raises ModelError where TensorFlow fails on the inputs.

    Raises:
        ModelError: The directory is no SavedModel, or has no such signature.
    """
    return _saved_model_runner(path, load_saved_model(path), signature)


def saved_model_runners(
    path: str | os.PathLike[str], inputs: Sequence[Field], outputs: Sequence[Field]
) -> dict[str, Runner]:
    """Runs a SavedModel by its own inputs, and by `tf.Example` messages where it takes them.

    Args:
        path: The directory.
        inputs: Contract of each input.
        outputs: Contract of each output.

    Raises:
        ModelError: The directory is no SavedModel.
    """
    loaded = load_saved_model(path)
    runners = {SAVED_MODEL_RUNNER: _saved_model_runner(path, loaded, SERVING_DEFAULT)}
    # A tf.Example holds float32, int64 and bytes: a float64 would come back as another number.
    if TF_EXAMPLE in loaded.signatures and not any(field.dtype in ("float64", "uint64") for field in inputs):
        runners[f"{SAVED_MODEL_RUNNER}:{TF_EXAMPLE}"] = example_runner(loaded, inputs, outputs)
    return runners


def load_saved_model(path: str | os.PathLike[str]) -> Any:
    """Loads a SavedModel.

    Raises:
        ModelError: The directory is none.
    """
    import tensorflow as tf

    try:
        with quiet("absl"):  # It says that the names of states are no names of arguments.
            return tf.saved_model.load(os.fspath(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{os.fspath(path)} cannot be loaded as a SavedModel: {text[:300]}") from error


def _saved_model_runner(path: str | os.PathLike[str], loaded: Any, signature: str) -> Runner:
    import tensorflow as tf

    if signature not in loaded.signatures:
        present = ", ".join(loaded.signatures) or "none"
        raise ModelError(f"{os.fspath(path)} has no signature {signature!r}, it has: {present}")
    arguments = {
        name: {
            # An argument cannot be called state/<layer>/h; TensorFlow keeps that name beside it.
            spec.name if spec.name.startswith(STATE_PREFIX) else key: (key, spec.dtype)
            for key, spec in function.structured_input_signature[1].items()
        }
        for name, function in loaded.signatures.items()
    }

    def run(feed: Feed) -> Outputs:
        # The loaded object owns the variables: it must live as long as the function is called.
        wanted = signature_for(feed, ())
        called = wanted if wanted != SERVING_DEFAULT and wanted in arguments else signature
        inputs = {key: tf.constant(feed[name], dtype) for name, (key, dtype) in arguments[called].items()}
        with failures_told("the SavedModel", feed):
            outputs: dict[str, Any] = loaded.signatures[called](**inputs)
            return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


Optimizations = Literal["all", "basic", "off"]
"""Which of its graph optimizations onnxruntime applies when it opens a file."""


def onnx_runners(path: str | os.PathLike[str]) -> dict[str, Runner]:
    """Runs an ONNX file as users' settings have it: each optimization, one thread and several.

    Raises:
        ModelError: onnxruntime refuses the file.
    """
    return {
        ONNX_RUNNER: onnx_runner(path),
        f"{ONNX_RUNNER}_basic": onnx_runner(path, optimizations="basic"),
        f"{ONNX_RUNNER}_off": onnx_runner(path, optimizations="off"),
        f"{ONNX_RUNNER}_1_thread": onnx_runner(path, threads=1),
    }


def onnx_runner(
    path: str | os.PathLike[str], *, optimizations: Optimizations = "all", threads: int | None = None
) -> Runner:
    """Runs an ONNX file in onnxruntime on the CPU.

    Args:
        path: The file.
        optimizations: Which it applies to the graph.
        threads: Threads of one call; its own choice if left out.

    Raises:
        ModelError: onnxruntime refuses the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = {
        "all": levels.ORT_ENABLE_ALL,
        "basic": levels.ORT_ENABLE_BASIC,
        "off": levels.ORT_DISABLE_ALL,
    }[optimizations]
    if threads is not None:
        options.intra_op_num_threads = threads
    options.log_severity_level = 4  # Its failures are told as errors; states that are no constants need no warning.
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types derive from Exception alone.
        text = " ".join(str(error).split())
        raise ModelError(f"{os.fspath(path)} is refused by onnxruntime: {text[:300]}") from error
    names = [output.name for output in session.get_outputs()]

    def run(feed: Feed) -> Outputs:
        with failures_told("the ONNX file", feed):
            values: list[Any] = list(session.run(names, dict(feed)))
        return dict(zip(names, values, strict=True))

    return run
