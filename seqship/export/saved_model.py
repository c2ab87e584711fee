"""Writes a Keras model as a TensorFlow SavedModel for serving."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqship.atomic import writing_to
from seqship.errors import ModelError
from seqship.export.example_signature import example_signature
from seqship.export.portable import portable_layers
from seqship.export.quiet import quiet
from seqship.export.serving_signature import ServingSignature
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature
from seqship.export.text_signature import text_signature
from seqship.models.flavour import flavour_of
from seqship.models.saved import SavedGraph
from seqship.pipelines.spec import Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.wire.signature_names import PREDICT, SERVING_DEFAULT, STREAM


@dataclass(frozen=True, eq=False)
class SavedModelExport:
    """What `to_saved_model` wrote.

    Attributes:
        path: The directory.
        inputs: Contract of each input of the model, states included.
        outputs: Contract of each output.
        signatures: Every signature, `serving_default` first.
    """

    path: Path
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    signatures: tuple[ServingSignature, ...]


def to_saved_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    input_signature: Sequence[Field] | None = None,
    signature: ModelSignature | None = None,
    vectorizer: TextVectorizer | None = None,
) -> SavedModelExport:
    """Writes a tf-keras or Keras 3 model as a SavedModel for TF-Serving.

    Its signatures are

    - `serving_default`, the model's named inputs and outputs;
    - `tf_example`, serialized `tf.Example` messages, for Classify or Regress, where such messages can hold the inputs;
    - `serving_text`, raw text, for a model of token ids whose vocabulary is given;
    - `stream`, for a stateful model: its states come in and go out. The others begin with zeros and forget, so that
      callers share nothing.

    The file holds the inference function, its variables and its lookup tables; nothing of the optimizer or of training.

    Args:
        model: The model, or a `SavedGraph`, which is copied as it is.
        path: Directory to write.
        input_signature: Contracts of the inputs where the model does not say (subclassed models).
        signature: The signature where it has been made already.
        vectorizer: What makes a text model's token ids of raw text.

    Raises:
        ModelError: The model cannot be traced, or it has a vectorizer and not one input of token ids.
        OutputError: The disk is full, or the directory cannot be written to.
    """
    if isinstance(model, SavedGraph):
        return _copied(model, Path(path), signature)
    import tensorflow as tf

    signature = signature or export_signature(model, inputs=input_signature)
    module: Any = tf.Module(name="seqship")
    with tempfile.TemporaryDirectory() as assets:
        found = _signatures(model, signature, vectorizer, Path(assets), module)
        module.model_variables = list(found[0].function.graph.variables)
        module.model_resources = _resources(model)
        target = Path(path)
        with writing_to(target):
            try:
                with quiet("absl"):  # It says that the names of states are no names of arguments.
                    functions = {one.name: one.function for one in found}
                    tf.saved_model.save(module, str(target), signatures=functions)
            except AssertionError as error:  # A captured resource that no attribute of the model holds.
                text = " ".join(str(error).split())
                raise ModelError(f"model {model.name!r} uses a resource that it does not keep: {text[:300]}") from error
            _name_methods(target, found)
    return SavedModelExport(target, signature.inputs, signature.outputs, found)


def _signatures(
    model: Any, signature: ModelSignature, vectorizer: TextVectorizer | None, assets: Path, module: Any
) -> tuple[ServingSignature, ...]:
    """Traces every signature; what a signature looks up becomes an attribute of the module."""
    plain = signature.stateless or signature
    with portable_layers(flavour_of(model)):
        concrete = plain.traced()
        default = ServingSignature(SERVING_DEFAULT, PREDICT, plain.inputs, plain.outputs, concrete)
        found = [default]
        if (examples := example_signature(default)) is not None:
            found.append(examples)
        if vectorizer is not None:
            text, module.vocabulary = text_signature(default, vectorizer, assets)
            found.append(text)
        if signature.stateless is not None:
            streamed = signature.traced()
            # The names of the signature's inputs; an argument of a function cannot be called state/<layer>/h.
            streamed._arg_keywords = [field.name for field in signature.inputs]
            found.append(ServingSignature(STREAM, PREDICT, signature.inputs, signature.outputs, streamed))
    return tuple(found)


def _name_methods(directory: Path, signatures: Sequence[ServingSignature]) -> None:
    """Names the method that each signature is for; TensorFlow writes Predict for all."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint

    others = [one for one in signatures if one.method != PREDICT]
    if not others:
        return
    file = directory / "saved_model.pb"
    document: Any = SavedModel.FromString(file.read_bytes())
    for one in others:
        document.meta_graphs[0].signature_def[one.name].method_name = one.method
    file.write_bytes(document.SerializeToString(deterministic=True))
    write_fingerprint(str(directory))  # It holds a digest of the file.


def _copied(saved: SavedGraph, target: Path, signature: ModelSignature | None) -> SavedModelExport:
    signature = signature or export_signature(saved)
    if saved.signature != SERVING_DEFAULT:
        raise ModelError(
            f"a bundle's SavedModel is called by its signature {SERVING_DEFAULT}, not {saved.signature!r}; "
            "save it under that name, or export with --formats onnx"
        )
    with writing_to(target):
        shutil.copytree(saved.directory, target, dirs_exist_ok=True)
    copied = ServingSignature(SERVING_DEFAULT, PREDICT, signature.inputs, signature.outputs, None)
    return SavedModelExport(target, signature.inputs, signature.outputs, (copied,))


def _resources(model: Any) -> list[Any]:
    """Returns the lookup tables and assets of a model (those of a TextVectorization layer, say)."""
    import tensorflow as tf
    from tensorflow.python.trackable.resource import TrackableResource

    kept = (tf.saved_model.Asset, TrackableResource)
    return [part for part in tf.train.TrackableView(model).descendants() if isinstance(part, kept)]
