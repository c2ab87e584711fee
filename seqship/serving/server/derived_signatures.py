"""The signatures that the SavedModel of a bundle has, on top of the one that its ONNX file has.

The names, types and results are those of `seqship.export`'s signatures; what TensorFlow's parsing operators do there,
NumPy does here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.signature_contracts import (
    EXAMPLES,
    TEXT,
    classifying,
    example_outputs,
    is_feature,
    score_of_each_class,
)
from seqship.pipelines.spec import STATE_PREFIX, Field
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.serving.server.signatures import Feed, Outputs, Run, Signature
from seqship.serving.server.status import invalid_argument
from seqship.wire.examples import from_examples
from seqship.wire.messages import Example, Proto
from seqship.wire.signature_names import PREDICT, REGRESS, SERVING_DEFAULT, SERVING_TEXT, STREAM, TF_EXAMPLE
from seqship.wire.tensors import MAX_BYTES


def derive_signatures(
    inputs: Sequence[Field],
    outputs: Sequence[Field],
    run: Run,
    *,
    vectorizer: TextVectorizer | None = None,
    only: Collection[str] = (),
) -> tuple[Signature, ...]:
    """Returns the signatures of a model.

    Args:
        inputs: Contract of each input of the model, states included.
        outputs: Contract of each output.
        run: Runs the model; it begins with zeros where the states are left out.
        vectorizer: What makes token ids of texts, for a text model.
        only: Names of those that the bundle's SavedModel has; all that can be derived if empty.
    """
    plain_inputs = tuple(one for one in inputs if not one.is_state)
    plain_outputs = tuple(one for one in outputs if not one.is_state)

    def plain_run(feed: Feed, deadline: float | None) -> Outputs:
        made = run(feed, deadline)
        return {name: value for name, value in made.items() if not name.startswith(STATE_PREFIX)}

    plain = Signature(SERVING_DEFAULT, PREDICT, plain_inputs, plain_outputs, plain_run)
    found = [plain]
    if all(is_feature(one) for one in plain_inputs):
        found.append(_example_signature(plain))
    if vectorizer is not None and len(plain_inputs) == 1 and plain_inputs[0].rank == 2:
        found.append(_text_signature(plain, vectorizer))
    if len(plain_inputs) < len(inputs):
        found.append(Signature(STREAM, PREDICT, tuple(inputs), tuple(outputs), run))
    return tuple(one for one in found if not only or one.name in only)


def _example_signature(plain: Signature) -> Signature:
    method, outputs = example_outputs(plain.outputs)
    scores = classifying(plain.outputs)

    def parsed(feed: Feed, deadline: float | None) -> Outputs:
        made = plain.run(_parse(feed[EXAMPLES.name], plain.inputs), deadline)
        if scores is not None:
            values = score_of_each_class(made[scores.name])
            return {"classes": np.repeat(names[None], len(values), axis=0), "scores": values}
        return {"outputs": made[plain.outputs[0].name]} if method == REGRESS else made

    names = np.array([label.encode() for label in (scores and scores.classes) or ()], object)
    return Signature(TF_EXAMPLE, method, (EXAMPLES,), outputs, parsed)


def _text_signature(plain: Signature, vectorizer: TextVectorizer) -> Signature:
    field = plain.inputs[0]
    length = None if field.has_time else int(field.shape[1])

    def run(feed: Feed, deadline: float | None) -> Outputs:
        rows = [vectorizer.ids(text)[:length] for text in feed[TEXT.name].tolist()]
        # A text without a word is one step of padding.
        longest = length or max([1, *map(len, rows)])
        size = len(rows) * longest * np.dtype(field.dtype).itemsize
        if size > MAX_BYTES:
            raise invalid_argument(
                f"{len(rows)} texts padded to {longest} words take {size} bytes; up to {MAX_BYTES} are padded"
            )
        ids = np.zeros((len(rows), longest), field.dtype)
        for target, row in zip(ids, rows, strict=True):
            target[: len(row)] = row
        return plain.run({field.name: ids}, deadline)

    return Signature(SERVING_TEXT, PREDICT, (TEXT,), plain.outputs, run)


def _parse(serialized: NDArray[Any], fields: Sequence[Field]) -> Feed:
    try:
        examples = [Example.FromString(data) for data in serialized.tolist()]
    except Exception as error:  # protobuf has a type of its own for each of its implementations.
        raise invalid_argument("Could not parse example input; it is no serialized tf.Example") from error
    for field in fields:
        if field.has_time and not all(_has_step(example, field.name) for example in examples):
            raise invalid_argument(f"feature {field.name!r} needs at least one step")
    try:
        return from_examples(examples, fields)
    except DataError as error:
        raise invalid_argument(str(error)) from error


def _has_step(example: Proto, name: str) -> bool:
    features = example.features.feature
    kind = features[name].WhichOneof("kind") if name in features else None
    return kind is not None and len(getattr(features[name], kind).value) > 0
