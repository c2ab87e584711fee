"""The signature of a stateful model: its states come in and go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seqship.errors import ModelError
from seqship.export.graph_signature import graph_signature
from seqship.export.interception import intercept_calls
from seqship.export.signature import ModelSignature, argument_names, model_signature
from seqship.export.states import StatefulLayer, run_from_states, stateful_layers
from seqship.models.flavour import flavour_of
from seqship.models.saved import SavedGraph
from seqship.pipelines.spec import BATCH, STATE_OUT, Field


def export_signature(
    model: Any, *, inputs: Sequence[Field] | None = None, outputs: Sequence[Field] | None = None
) -> ModelSignature:
    """Reads the signature of a model, that of a stateful one with its states.

    Args:
        model: A tf-keras or Keras 3 model, or a `SavedGraph`.
        inputs: As for `model_signature`.
        outputs: As for `model_signature`.

    Raises:
        ModelError: As for `model_signature`; or a layer is stateful whose state cannot be made an input.
    """
    if isinstance(model, SavedGraph):
        return graph_signature(model, inputs=inputs, outputs=outputs)
    import tensorflow as tf

    if not tf.executing_eagerly():
        raise ModelError("a model is exported eagerly, and this is within a tf.function or tf.Graph; export it outside")
    signature = model_signature(model, inputs=inputs, outputs=outputs)
    layers = stateful_layers(model)  # After the model was traced: a model that was never called has no layers before.
    if not layers:
        return signature
    intercept_calls(flavour_of(model))
    return streaming_signature(signature, layers)


def streaming_signature(plain: ModelSignature, layers: Sequence[StatefulLayer]) -> ModelSignature:
    """Adds the states of stateful layers to a signature.

    A state that is handed in has as many rows as the batch: the batch size that Keras wants to know binds no more.

    Args:
        plain: Signature of the model, whose layers keep their states to themselves.
        layers: The stateful layers.

    Returns:
        Takes the model's inputs, then the states (batch, units) or (1, units); gives the outputs, then the states.
    """
    import tensorflow as tf

    states = [field for layer in layers for field in layer.states]
    finals = [replace(field, name=field.name + STATE_OUT) for field in states]
    inputs = tuple(_any_batch(field) for field in plain.inputs)
    outputs = tuple(_any_batch(field) for field in plain.outputs)
    arguments = {name: field.name for field, name in zip(states, argument_names([s.name for s in states]), strict=True)}
    if taken := [field.name for field in inputs if field.name in arguments]:
        raise ModelError(f"input {taken[0]!r} is called as the state {arguments[taken[0]]!r} is; give it another name")
    axis = 1 if any(layer.time_major for layer in layers) else 0

    def run(*tensors: Any) -> tuple[dict[str, Any], list[Any]]:
        sequences, given = tensors[: len(inputs)], tensors[len(inputs) :]
        given = given or [tf.zeros([1, field.shape[1]], field.dtype) for field in states]
        return run_from_states(layers, lambda: plain.function(*sequences), given, tf.shape(sequences[0])[axis])

    def streamed(*tensors: Any) -> dict[str, Any]:
        made, last = run(*tensors)
        return made | dict(zip([field.name for field in finals], last, strict=True))

    stateless = ModelSignature(inputs, outputs, lambda *tensors: run(*tensors)[0])
    signature = ModelSignature((*inputs, *states), (*outputs, *finals), streamed, stateless)
    try:
        signature.traced()
    except (ValueError, TypeError) as error:
        names = ", ".join(repr(str(layer.layer.name)) for layer in layers)
        text = " ".join(str(error).split())
        raise ModelError(
            f"the stateful layers {names} cannot be run from a given state with any batch size: {text[:300]}; "
            "build the model with stateful=False, or pass the state with initial_state and return_state"
        ) from error
    return signature


def _any_batch(field: Field) -> Field:
    return replace(field, shape=(BATCH, *field.shape[1:])) if field.rank else field
