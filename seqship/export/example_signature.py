"""The signature that takes `tf.Example` messages: TF-Serving's Classify and Regress send no other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from seqship.export.serving_signature import ServingSignature
from seqship.pipelines.signature_contracts import EXAMPLES, classifying, example_outputs, is_feature
from seqship.pipelines.spec import Field
from seqship.wire.signature_names import REGRESS, TF_EXAMPLE


def example_signature(plain: ServingSignature) -> ServingSignature | None:
    """Returns the signature `tf_example` of a model; None where a `tf.Example` cannot hold one of its inputs.

    Each input is a feature of its own name: the numbers of a sequence, step by step; `tf.Example` has float32, int64
    and bytes, which are cast. Sequences of unequal length are padded behind the data with the input's pad value.

    What it gives depends on the model: `classes` and `scores` (batch, classes), for Classify, where an output has the
    names of classes; `outputs` (batch,) or (batch, 1), for Regress, where one number is all that it gives; else the
    model's own outputs, for Predict.

    Args:
        plain: The signature `serving_default`.
    """
    import tensorflow as tf

    if not all(is_feature(field) for field in plain.inputs):
        return None
    names = [field.name for field in plain.inputs]
    method, outputs = example_outputs(plain.outputs)

    def serving(inputs: Any) -> dict[str, Any]:
        with tf.name_scope(TF_EXAMPLE):
            parsed = tf.io.parse_example(inputs, {field.name: _feature(field) for field in plain.inputs})
            made = plain.function(
                *(_tensor(parsed[name], field) for name, field in zip(names, plain.inputs, strict=True))
            )
            return _results(method, plain.outputs, made)

    specs = [tf.TensorSpec([None], tf.string, name=EXAMPLES.name)]
    concrete = tf.function(serving, input_signature=specs, autograph=False).get_concrete_function()
    return ServingSignature(TF_EXAMPLE, method, (EXAMPLES,), outputs, concrete)


def _results(method: str, fields: Sequence[Field], made: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    if method == REGRESS:
        return {"outputs": made[fields[0].name]}
    scores = classifying(fields)
    if scores is None:
        return made
    values = made[scores.name]
    if scores.shape[1] == 1:
        values = tf.concat([1 - values, values], 1)  # One score is the probability of the second class.
    names: Any = tf.constant([list(scores.classes or ())])
    return {"classes": tf.repeat(names, tf.shape(values)[0], axis=0), "scores": values}


def _feature(field: Field) -> Any:
    import tensorflow as tf

    dtype = _kind(field)
    return tf.io.RaggedFeature(dtype) if field.has_time else tf.io.FixedLenFeature(field.shape[1:], dtype)


def _kind(field: Field) -> Any:
    """Returns the type of `tf.Example` that holds an input's."""
    import tensorflow as tf

    if field.dtype == "string":
        return tf.string
    return tf.float32 if field.dtype.startswith("float") else tf.int64


def _tensor(parsed: Any, field: Field) -> Any:
    import tensorflow as tf

    if not field.has_time:
        return tf.cast(parsed, tf.as_dtype(field.dtype)) if field.dtype != "string" else parsed
    size = math.prod(int(size) for size in field.shape[2:])
    lengths = parsed.row_lengths()
    a_step = f"{size} values a step" if size > 1 else "one value a step"
    checks = [
        tf.debugging.assert_positive(lengths, f"feature {field.name!r} needs at least one step"),
        tf.debugging.assert_equal(lengths % size, tf.zeros_like(lengths), f"feature {field.name!r} needs {a_step}"),
    ]
    if field.pad_value is None:
        first = tf.fill(tf.shape(lengths), tf.reduce_max(lengths))
        text = f"feature {field.name!r} has no pad value: the examples of one request need the same number of steps"
        checks.append(tf.debugging.assert_equal(lengths, first, text))
    with tf.control_dependencies([check for check in checks if check is not None]):
        padding = (
            None if field.pad_value is None or parsed.dtype == tf.string else tf.cast(field.pad_value, parsed.dtype)
        )
        dense = parsed.to_tensor(default_value=padding)
    steps = tf.shape(dense)[1] // size
    shaped = tf.reshape(dense, [-1, steps, *field.shape[2:]])
    return shaped if field.dtype == "string" else tf.cast(shaped, tf.as_dtype(field.dtype))
