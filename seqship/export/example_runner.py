"""Runs the signature of a SavedModel that takes `tf.Example` messages on the arrays that the model itself takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import ModelError
from seqship.export.runner_failures import failures_told
from seqship.pipelines.signature_contracts import EXAMPLES, classifying, example_outputs
from seqship.pipelines.spec import Field
from seqship.wire.examples import to_example
from seqship.wire.signature_names import CLASSIFY, REGRESS, TF_EXAMPLE


@dataclass(frozen=True, eq=False)
class PartialRunner:
    """A runner that takes some feeds of a model and gives some of its outputs.

    Attributes:
        run: Runs one feed.
        takes: Whether it takes a feed.
        gives: Names of the outputs that it gives.
    """

    run: Callable[[Any], dict[str, Any]]
    takes: Callable[[Any], bool]
    gives: frozenset[str]

    def __call__(self, feed: Any) -> dict[str, Any]:
        """Returns the outputs of one feed."""
        return self.run(feed)


def example_runner(loaded: Any, inputs: Sequence[Field], outputs: Sequence[Field]) -> PartialRunner:
    """Returns a runner of the signature `tf_example`.

    Each row becomes a message, but for the padding behind it: the signature is to put it there. What Classify and
    Regress are given is turned back into the outputs of the model; the names of the classes must be those of the
    contract.

    Args:
        loaded: The SavedModel.
        inputs: Contract of each input.
        outputs: Contract of each output.
    """
    import tensorflow as tf

    plain = [field for field in inputs if not field.is_state]
    outputs = [field for field in outputs if not field.is_state]
    method, _ = example_outputs(outputs)
    scores = classifying(outputs)
    names = frozenset(field.name for field in plain)

    def run(feed: Any) -> dict[str, Any]:
        rows = range(len(next(iter(feed.values()))))
        messages = [
            to_example({field.name: _of_row(feed[field.name], row, field) for field in plain}).SerializeToString()
            for row in rows
        ]
        with failures_told(f"the signature {TF_EXAMPLE}", feed):
            made = loaded.signatures[TF_EXAMPLE](**{EXAMPLES.name: tf.constant(messages, tf.string)})
            found = {name: tensor.numpy() for name, tensor in made.items()}
        if method == REGRESS:
            return {outputs[0].name: found["outputs"]}
        if method == CLASSIFY and scores is not None:
            _check_classes(found["classes"], scores)
            values = found["scores"]
            return {scores.name: values[:, 1:] if scores.shape[1] == 1 else values}
        return found

    return PartialRunner(
        run,
        takes=lambda feed: frozenset(feed) == names,
        gives=frozenset([scores.name] if method == CLASSIFY and scores is not None else [one.name for one in outputs]),
    )


def _of_row(values: NDArray[Any], row: int, field: Field) -> NDArray[Any]:
    """Returns one row without the padding behind it; the first as it is, so that they are as long as they were."""
    own = values[row]
    if row == 0 or field.pad_value is None or not field.has_time:
        return own
    valid = np.flatnonzero((own != field.pad_value).reshape(len(own), -1).any(axis=1))
    return own[: max(1, int(valid[-1]) + 1 if len(valid) else 1)]


def _check_classes(found: Any, scores: Field) -> None:
    expected = [name.encode() for name in scores.classes or ()]
    for row in found.tolist():
        if row != expected:
            raise ModelError(f"the signature {TF_EXAMPLE} names the classes {row}, expected {expected}")
