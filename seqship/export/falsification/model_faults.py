"""Exports of another model than the one that was meant: another option, another mode, another step of training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from seqship.export.cases import Padding
from seqship.export.falsification.right_export import RightExport
from seqship.export.onnx import to_onnx
from seqship.export.signature import ModelSignature
from seqship.export.streaming import export_signature

_LEARNING_RATE = 0.001
"""Of Adam by default: its first step moves every weight by so much."""


def mask_ignored(right: RightExport) -> ModelProto:
    """The layer that makes the mask is taken for one that does nothing."""
    return _with_option(right, "Masking", mask_value=1e30)


def mask_value_zero(right: RightExport) -> ModelProto:
    """The padding is taken to be 0, Keras' default, in the place of -1."""
    return _with_option(right, "Masking", mask_value=0.0)


def mask_of_tokens_ignored(right: RightExport) -> ModelProto:
    """The embedding makes no mask of the zeros."""
    return _with_option(right, "Embedding", mask_zero=False)


def mask_taken_for_lengths(right: RightExport) -> ModelProto:
    """The mask is taken for a length: right where all padding is behind the data, wrong where it is before it."""
    return _exported(right, right.model, padding="right")


def masked_steps_zeroed(right: RightExport) -> ModelProto:
    """Masked steps of a sequence show zeros in the place of the output before them."""
    return _with_option(right, "GRU", zero_output_for_mask=True)


def directions_averaged(right: RightExport) -> ModelProto:
    """The directions are averaged in the place of being summed."""
    return _with_option(right, "Bidirectional", "summed", merge_mode="ave")


def directions_summed_for_joined(right: RightExport) -> ModelProto:
    """The directions are summed in the place of being joined: the result has half as many features."""
    return _with_option(right, "Bidirectional", merge_mode="sum")


def layer_norm_epsilon(right: RightExport) -> ModelProto:
    """The epsilon of LayerNormalization is PyTorch's and ONNX's default, 1e-5, in the place of Keras' 1e-3."""
    return _with_option(right, "LayerNormalization", epsilon=1e-5)


def batch_norm_epsilon(right: RightExport) -> ModelProto:
    """The epsilon of BatchNormalization is PyTorch's and ONNX's default, 1e-5, in the place of Keras' 1e-3."""
    return _with_option(right, "BatchNormalization", epsilon=1e-5)


def scaling_left_out(right: RightExport) -> ModelProto:
    """The mean and the standard deviation of the data are not taken out."""
    return _with_option(right, "Normalization", mean=[0.0] * 6, variance=[1.0] * 6)


def scaled_by_the_variance(right: RightExport) -> ModelProto:
    """The data are divided by their variance in the place of their standard deviation."""
    config = _layers(right.model.get_config(), "Normalization", None)[0]["config"]
    return _with_option(right, "Normalization", variance=[float(v) ** 2 for v in np.ravel(config["variance"])])


def batch_norm_in_training_mode(right: RightExport) -> ModelProto:
    """BatchNormalization takes the mean and variance of the batch."""
    import keras

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        if type(layer).__name__ == "BatchNormalization":
            axis = tuple(range(len(inputs[0].shape) - 1))
            mean = keras.ops.mean(inputs[0], axis=axis, keepdims=True)
            variance = keras.ops.var(inputs[0], axis=axis, keepdims=True)
            normal = (inputs[0] - mean) / keras.ops.sqrt(variance + layer.epsilon)
            return normal * keras.ops.convert_to_tensor(layer.gamma) + keras.ops.convert_to_tensor(layer.beta)
        return layer(*inputs, **options)

    def function(*tensors: Any) -> dict[str, Any]:
        x = tensors[0]
        for layer in right.model.layers:
            x = call(layer, x)
        return {right.signature.outputs[0].name: x}

    return _exported(right, right.model, signature=replace(right.signature, function=function))


def weights_of_the_step_before(right: RightExport) -> ModelProto:
    """The export has the weights of one step of training earlier."""
    return _exported(right, step_before(right))


def step_before(right: RightExport) -> Any:
    """Returns a copy of the model with the weights of one step of Adam earlier, were it trained to give zeros."""
    import tensorflow as tf

    model = _copy(right.model, right.model.get_config())
    feed = right.recorded[0].feed
    inputs = [tf.constant(feed[field.name]) for field in right.signature.inputs]
    with tf.GradientTape() as tape:
        outputs = tf.nest.flatten(model(inputs[0] if len(inputs) == 1 else inputs))
        loss = tf.add_n([tf.reduce_mean(tf.square(output)) for output in outputs])
    weights = [getattr(weight, "value", weight) for weight in model.trainable_weights]
    gradients = tape.gradient(loss, weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        weight.assign_add(_LEARNING_RATE * tf.sign(tf.convert_to_tensor(gradient)))
    return model


def _with_option(right: RightExport, kind: str, name: str | None = None, **options: Any) -> ModelProto:
    """Exports the model with other options of its layers of one kind, and with the weights that it has."""
    config = right.model.get_config()
    for layer in _layers(config, kind, name):
        layer["config"] |= options
    return _exported(right, _copy(right.model, config))


def _layers(config: dict[str, Any], kind: str, name: str | None) -> list[dict[str, Any]]:
    found = [
        layer
        for layer in config["layers"]
        if layer["class_name"] == kind and (name is None or layer["config"]["name"] == name)
    ]
    if not found:
        raise LookupError(f"the model has no {kind}")
    return found


def _copy(model: Any, config: dict[str, Any]) -> Any:
    made = type(model).from_config(config)
    made.set_weights(model.get_weights())
    return made


def _exported(
    right: RightExport, model: Any, *, padding: Padding = "any", signature: ModelSignature | None = None
) -> ModelProto:
    path = right.folder / "wrong.onnx"
    to_onnx(model, path, padding=padding, signature=signature or export_signature(model))
    return onnx.load(path)
