"""A SavedModel without a bundle, which only TensorFlow can run; nothing else here imports it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from seqship.errors import BundleError, DataError, DependencyError
from seqship.pipelines.spec import BATCH, STATE_PREFIX, TIME, Field
from seqship.serving.server.signatures import Feed, Outputs, Run, Signature
from seqship.serving.server.status import Code, StatusError
from seqship.wire.dtypes import numpy_name
from seqship.wire.messages import Proto, SignatureDef


def saved_model_signatures(directory: Path, *, threads: int) -> tuple[Signature, ...]:
    """Loads a SavedModel and returns its signatures.

    Args:
        directory: The SavedModel.
        threads: Threads of one operator; TensorFlow has one setting for the whole process, that of the first model.

    Raises:
        DependencyError: TensorFlow is not installed.
        BundleError: TensorFlow cannot load it, or nothing in it can be called.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    except ImportError:
        raise DependencyError(
            f"{directory} is a SavedModel alone, which needs TensorFlow: run pip install 'seqship[export]', or serve a "
            "bundle of seqship export, which needs none"
        ) from None
    with contextlib.suppress(RuntimeError):  # TensorFlow is at work already, and keeps what it was given first.
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    try:
        document: Any = SavedModel.FromString((directory / "saved_model.pb").read_bytes())
        loaded: Any = tf.saved_model.load(os.fspath(directory))
    except Exception as error:  # TensorFlow raises whatever its parts raise.
        raise BundleError(f"{directory} cannot be loaded as a SavedModel: {_one_line(error)}") from error
    definitions = document.meta_graphs[0].signature_def
    found = tuple(
        _signature(name, SignatureDef.FromString(definitions[name].SerializeToString()), loaded)
        for name in loaded.signatures
        if name in definitions
    )
    if not found:
        raise BundleError(f"{directory} has no signature; save it with signatures, or with model.export")
    return found


def _signature(name: str, definition: Proto, loaded: Any) -> Signature:
    function = loaded.signatures[name]
    inputs, outputs = (
        tuple(_field(key, infos[key]) for key in sorted(infos)) for infos in (definition.inputs, definition.outputs)
    )
    unchecked = frozenset(key for key, info in definition.inputs.items() if info.tensor_shape.unknown_rank)
    return Signature(
        name, definition.method_name, inputs, outputs, _runner(function, loaded), unchecked, definition=definition
    )


def _runner(function: Any, loaded: Any) -> Run:
    import tensorflow as tf

    arguments = {
        # An argument cannot be called state/<layer>/h; TensorFlow keeps that name beside it.
        spec.name if spec.name.startswith(STATE_PREFIX) else key: (key, spec.dtype)
        for key, spec in function.structured_input_signature[1].items()
    }

    def run(feed: Feed, deadline: float | None) -> Outputs:
        del deadline
        assert loaded is not None  # noqa: S101  (it owns the variables: it must live as long as the function)
        try:
            tensors = {key: tf.constant(feed[name], dtype) for name, (key, dtype) in arguments.items()}
            made: dict[str, Any] = function(**tensors)
        except tf.errors.OpError as error:
            code = Code(error.error_code)
            raise StatusError(code, _one_line(error)) from error
        except (ValueError, TypeError) as error:
            raise StatusError(Code.INVALID_ARGUMENT, _one_line(error)) from error
        return {key: np.asarray(tensor.numpy()) for key, tensor in made.items()}

    return run


def _field(name: str, info: Proto) -> Field:
    try:
        dtype = numpy_name(info.dtype)
    except DataError as error:
        raise BundleError(f"{name!r} of the SavedModel has a type that cannot travel: {error}") from None
    names = {0: BATCH, 1: TIME}
    sizes = [dim.size for dim in info.tensor_shape.dim]
    shape = tuple(names.get(axis, f"axis{axis}") if size < 0 else int(size) for axis, size in enumerate(sizes))
    return Field(name, dtype, shape)


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if not line.startswith(("[[", "[Op"))), type(error).__name__)
    return reason[:500]
