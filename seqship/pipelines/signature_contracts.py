"""Which signatures a model has beside its own inputs and outputs: one rule for the SavedModel and for the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.spec import BATCH, STATE_PREFIX, Field
from seqship.wire.signature_names import CLASSIFY, PREDICT, REGRESS, SERVING_DEFAULT, SERVING_TEXT, STREAM

EXAMPLES = Field("inputs", "string", (BATCH,), unit="serialized tf.Example")
"""TF-Serving's Classify and Regress feed the input of this name (`servables/tensorflow/classifier.cc`)."""
TEXT = Field("text", "string", (BATCH,), unit="raw text, UTF-8")


def signature_for(feed: Mapping[str, NDArray[Any]], inputs: Sequence[Field]) -> str:
    """Returns the signature that takes a feed of the model's inputs, of its states too, or of raw text.

    Args:
        feed: Arrays by name.
        inputs: Contract of each input of the model.
    """
    own = any(field.name == TEXT.name and field.dtype == "string" for field in inputs)
    if not own and set(feed) == {TEXT.name} and feed[TEXT.name].dtype.kind in "SUO":
        return SERVING_TEXT
    return STREAM if any(name.startswith(STATE_PREFIX) for name in feed) else SERVING_DEFAULT


def is_feature(field: Field) -> bool:
    """Whether a feature of a `tf.Example` can be an input: one row of it has one free size at most, that of time."""
    return field.rank > 0 and field.shape[0] == BATCH and not any(isinstance(size, str) for size in field.shape[2:])


def classifying(outputs: Sequence[Field]) -> Field | None:
    """Returns the output that has the scores of classes, None where there is none."""
    return next((field for field in outputs if field.classes and field.rank == 2 and field.dtype == "float32"), None)


def example_outputs(outputs: Sequence[Field]) -> tuple[str, tuple[Field, ...]]:
    """Returns the method of TF-Serving that a signature of `tf.Example` is for, and the contract of what it gives.

    `classes` and `scores` (batch, classes), for Classify, where an output has the names of classes; `outputs` (batch,)
    or (batch, 1), for Regress, where one number is all that the model gives; else the model's own, for Predict.
    """
    if (scores := classifying(outputs)) is not None:
        shape = (BATCH, len(scores.classes or ()))
        return CLASSIFY, (Field("classes", "string", shape), replace(scores, name="scores", shape=shape))
    only = outputs[0]
    if len(outputs) == 1 and only.dtype == "float32" and only.shape in ((BATCH,), (BATCH, 1)):
        return REGRESS, (replace(only, name="outputs"),)
    return PREDICT, tuple(outputs)


def score_of_each_class(scores: NDArray[Any]) -> NDArray[Any]:
    """Returns scores (n, classes); a single one, (n, 1), is the probability of the second of two classes."""
    return np.concatenate([1 - scores, scores], axis=1) if scores.shape[1:] == (1,) else scores
