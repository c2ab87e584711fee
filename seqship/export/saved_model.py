"""Writes a Keras model as a TensorFlow SavedModel for serving."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.atomic import writing_to
from seqship.errors import ModelError
from seqship.export.portable import portable_layers
from seqship.export.quiet import quiet
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.models.flavour import flavour_of
from seqship.models.saved import SavedGraph
from seqship.pipelines.spec import Field

SERVING_DEFAULT = "serving_default"
"""The signature that TF-Serving calls unless told otherwise (`tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY`)."""
STREAM = "stream"
"""The signature of a stateful model that takes and gives its states; `serving_default` then begins with zeros."""


@dataclass(frozen=True)
class SavedModelExport:
    """What `to_saved_model` wrote.

    Attributes:
        path: The directory.
        inputs: Contract of each input of `serving_default`.
        outputs: Contract of each output.
    """

    path: Path
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]


def to_saved_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    input_signature: Sequence[Field] | None = None,
    signature: ModelSignature | None = None,
) -> SavedModelExport:
    """Writes a tf-keras or Keras 3 model as a SavedModel with the signature `serving_default`.

    A stateful model gets a second signature, `stream`, whose states come in and go out; `serving_default` then begins
    with zeros and forgets, so that callers share nothing.

    The file holds the inference function, its variables and its lookup tables; nothing of the optimizer or of training.

    Args:
        model: The model, or a `SavedGraph`, which is copied as it is.
        path: Directory to write.
        input_signature: Contracts of the inputs where the model does not say (subclassed models).
        signature: The signature where it has been made already.

    Raises:
        ModelError: The model cannot be traced.
        OutputError: The disk is full, or the directory cannot be written to.
    """
    if isinstance(model, SavedGraph):
        return _copied(model, Path(path), signature)
    import tensorflow as tf

    signature = signature or export_signature(model, inputs=input_signature)
    plain = signature.stateless or signature
    with portable_layers(flavour_of(model)):
        concrete = plain.traceable().get_concrete_function(*plain.tensor_specs())
        functions = {SERVING_DEFAULT: concrete}
        if signature.stateless is not None:
            functions[STREAM] = signature.traceable().get_concrete_function(*signature.tensor_specs())
    if signature.stateless is not None:
        # The names of the signature's inputs; an argument of a function cannot be called state/<layer>/h.
        functions[STREAM]._arg_keywords = [field.name for field in signature.inputs]
    module: Any = tf.Module(name="seqship")
    module.model_variables = list(concrete.graph.variables)
    module.model_resources = _resources(model)
    target = Path(path)
    with writing_to(target):
        try:
            with quiet("absl"):  # It says that the names of states are no names of arguments.
                tf.saved_model.save(module, str(target), signatures=functions)
        except AssertionError as error:  # A captured resource that no attribute of the model holds.
            text = " ".join(str(error).split())
            raise ModelError(f"model {model.name!r} uses a resource that it does not keep: {text[:300]}") from error
    return SavedModelExport(target, signature.inputs, signature.outputs)


def _copied(saved: SavedGraph, target: Path, signature: ModelSignature | None) -> SavedModelExport:
    signature = signature or export_signature(saved)
    if saved.signature != SERVING_DEFAULT:
        raise ModelError(
            f"a bundle's SavedModel is called by its signature {SERVING_DEFAULT}, not {saved.signature!r}; "
            "save it under that name, or export with --formats onnx"
        )
    with writing_to(target):
        shutil.copytree(saved.directory, target, dirs_exist_ok=True)
    return SavedModelExport(target, signature.inputs, signature.outputs)


def _resources(model: Any) -> list[Any]:
    """Returns the lookup tables and assets of a model (those of a TextVectorization layer, say)."""
    import tensorflow as tf
    from tensorflow.python.trackable.resource import TrackableResource

    kept = (tf.saved_model.Asset, TrackableResource)
    return [part for part in tf.train.TrackableView(model).descendants() if isinstance(part, kept)]
