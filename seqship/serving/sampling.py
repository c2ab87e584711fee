"""Text from a character model, one character at a time, with numpy and the predictor alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.characters import Alphabet, draw
from seqship.pipelines.spec import STATE_OUT, Field
from seqship.serving.predictor import Outputs, Predictor


def sample_text(
    predictor: Predictor, prompt: str, *, length: int = 200, temperature: float = 1.0, seed: int = 0
) -> str:
    """Returns what a streaming character model writes behind a prompt.

    The prompt is read at once, then each character is drawn and read alone, with the states handed on. One number of
    NumPy's PCG64 decides each character, so that the same seed gives the same text in every runtime: runtimes differ by
    about 1e-6 in a probability, which matters where that number falls as near to a border between two characters
    (once in tens of thousands of characters), or, at temperature 0, where two are as equally likely. From there on the
    texts differ.

    Args:
        predictor: A bundle of a recipe like `chargen-gru`: one input of character ids whose contract names the
            character of each, states, and one output with the probabilities of the next character.
        prompt: What the text begins with, at least one character.
        length: Characters to write.
        temperature: 0 takes the likeliest character; 1 draws as the model says; above 1 is more daring.
        seed: Seed of the draws.

    Returns:
        The characters that were written, without the prompt.

    Raises:
        DataError: The model is no character model, the prompt is empty or has a character that the model does not
            know, or an option is out of its range.
    """
    field, alphabet = _alphabet(predictor)
    if length < 0:
        raise DataError(f"the length must be 0 or more, met {length}")
    if seed < 0:
        raise DataError(f"the seed must be 0 or more, met {seed}")
    ids = alphabet.ids(prompt)
    if not len(ids):
        raise DataError("the prompt is empty; begin with at least one character")
    if not ids.all():
        raise DataError(f"the model does not know the character {prompt[int(np.argmin(ids))]!r}; leave it out")
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(length)
    written: list[int] = []
    # Handed in even at first: a SavedModel that is given no states gives none back.
    states: dict[str, NDArray[np.floating]] = {
        one.name: np.zeros((1, int(one.shape[1])), np.dtype(one.dtype)) for one in predictor.inputs if one.is_state
    }
    read = ids
    for uniform in uniforms:
        outputs = predictor.predict_batch({field.name: read[None].astype(field.dtype), **states}).outputs
        written.append(draw(_last(outputs, predictor), temperature=temperature, uniform=float(uniform)))
        read = np.array(written[-1:], np.int32)
        states = {one.name: outputs[one.name + STATE_OUT] for one in predictor.inputs if one.is_state}
    return alphabet.text(written)


def _alphabet(predictor: Predictor) -> tuple[Field, Alphabet]:
    """Returns the one input that is no state, and the characters of its ids."""
    inputs = [field for field in predictor.inputs if not field.is_state]
    outputs = [field for field in predictor.outputs if not field.is_state]
    if len(inputs) != 1 or not inputs[0].classes or len(outputs) != 1 or len(inputs) == len(predictor.inputs):
        raise DataError(
            "the model is no streaming character model: it needs one input whose contract names its characters, "
            "states, and one output; ship chargen-gru for one"
        )
    return inputs[0], Alphabet(tuple(inputs[0].classes))


def _last(outputs: Outputs, predictor: Predictor) -> NDArray[np.floating]:
    """Returns the probabilities behind the last character, (alphabet,)."""
    name = next(field.name for field in predictor.outputs if not field.is_state)
    return outputs[name][0, -1]
