"""Recipes `vec2seq` and `encoder-decoder`: a vector to a sequence, and one sequence to another.

The seed documents draw both and build neither. `vec2seq` writes a number in words: its layer is given the same vector
at every step. `encoder-decoder` adds: it reads "27+85" and writes "112". It is trained with the right figures before
each one (teacher forcing), and exported as one callable that is fed what it wrote itself, the likeliest figure of each
step: a fixed number of steps, so that each is an operator of its own and nothing needs a Loop. Its two halves are
exported beside it, for whoever wants to choose the next figure otherwise: `encoder` gives the states, `step` takes them
on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.recipe import Evaluation, Figure, LoadOptions, Outputs, Part, Recipe, RecipeData, Training
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, TIME, TOKEN_ID, Field
from seqship.pipelines.written_numbers import (
    SYMBOLS,
    WORDS,
    joined,
    one_hot_figures,
    sums,
    symbol_ids,
    word_ids,
)

HELD_OUT, VALIDATION = 0.2, 0.1
SHOWN = 12

FIGURES, MOST_WORDS = 4, 7
NUMBERS = 10**FIGURES

LARGEST, READ, WRITTEN = 99, 5, 3
"""Largest number of a sum; symbols of a problem, and figures of an answer, at most."""
START = SYMBOLS.index("+")
"""What stands before the first figure of an answer: a symbol that no answer holds."""

PROBLEM = Field(
    "problem", "int32", (BATCH, TIME), unit=TOKEN_ID, pad_value=0, minimum=0, maximum=len(SYMBOLS) - 1, classes=SYMBOLS
)
ANSWER = Field("answer", "int32", (BATCH, WRITTEN), unit=TOKEN_ID)
SCORES = Field("scores", "float32", (BATCH, WRITTEN, len(SYMBOLS)), unit="probability", minimum=0.0, maximum=1.0)
BEFORE = Field("before", "int32", (BATCH, WRITTEN), unit=TOKEN_ID)
NUMBER = Field(
    "number", "float32", (BATCH, 10 * FIGURES), unit="1 at the value of each figure", minimum=0.0, maximum=1.0
)
SPELLING = Field("words", "float32", (BATCH, MOST_WORDS, len(WORDS)), unit="probability", minimum=0.0, maximum=1.0)


def load_numbers(options: LoadOptions) -> RecipeData:
    """Makes the numbers up to 9,999, a fifth of them held out."""
    _no_path(options, "vec2seq")
    order = np.random.default_rng([options.seed, NUMBERS]).permutation(NUMBERS)
    source = f"numbers below {NUMBERS:,}, seed {options.seed}"

    def examples(numbers: NDArray[np.int64]) -> ArrayExamples:
        vectors = one_hot_figures(numbers, figures=FIGURES)
        return ArrayExamples({NUMBER.name: vectors}, word_ids(numbers, length=MOST_WORDS), source)

    test, validation, train = np.split(order, [int(HELD_OUT * NUMBERS), int((HELD_OUT + VALIDATION) * NUMBERS)])
    return RecipeData(examples(train), examples(validation), examples(test))


def build_vec2seq(flavour: Flavour, *, units: int = 96, cudnn: bool = True) -> Any:
    """Returns the untrained model: (batch, 40) float32 in, (batch, 7, words) float32 out."""
    layers = flavour.keras.layers
    return flavour.keras.Sequential(
        [
            layers.Input((10 * FIGURES,), name=NUMBER.name),
            layers.RepeatVector(MOST_WORDS, name="at_every_step"),
            layers.GRU(units, return_sequences=True, name="speaking", **gate_options(cudnn=cudnn)),
            layers.Dense(len(WORDS), activation="softmax", name=SPELLING.name),
        ],
        name="vec2seq",
    )


def load_sums(options: LoadOptions) -> RecipeData:
    """Makes all sums of two numbers up to 99; a fifth of the pairs is held out, in either order."""
    _no_path(options, "encoder-decoder")
    known, test = sums(largest=LARGEST, held_out=HELD_OUT, seed=options.seed)
    held = round(VALIDATION * len(known))
    source = f"sums of numbers up to {LARGEST}, seed {options.seed}"

    def examples(pairs: NDArray[np.int64], *, taught: bool = True) -> ArrayExamples:
        problems = symbol_ids([f"{one}+{other}" for one, other in pairs], length=READ)
        answers = symbol_ids([str(one + other) for one, other in pairs], length=WRITTEN)
        before = np.concatenate([np.full((len(pairs), 1), START, np.int32), answers[:, :-1]], axis=1)
        inputs = {PROBLEM.name: problems} | ({BEFORE.name: before} if taught else {})
        return ArrayExamples(inputs, answers, source)

    return RecipeData(examples(known[held:]), examples(known[:held]), examples(test, taught=False))


def build_encoder_decoder(flavour: Flavour, *, units: int = 128, cudnn: bool = True) -> Any:
    """Returns the untrained model, which is told the right figure before each one.

    Takes `problem` (batch, time) and `before` (batch, 3), int32; gives (batch, 3, symbols) float32.
    """
    layers = flavour.keras.layers
    gates = gate_options(cudnn=cudnn)
    problem = layers.Input((None,), dtype="int32", name=PROBLEM.name)
    before = layers.Input((WRITTEN,), dtype="int32", name=BEFORE.name)
    read = layers.Embedding(len(SYMBOLS), 16, mask_zero=True, name="problem_symbols")(problem)
    _, hidden, cell = layers.LSTM(units, return_state=True, name="encoder", **gates)(read)
    # No mask: a blank is an answer's end, which is to be learned too.
    symbols = layers.Embedding(len(SYMBOLS), 16, name="answer_symbols")(before)
    decoder = layers.LSTM(units, return_sequences=True, return_state=True, name="decoder", **gates)
    written, _, _ = decoder(symbols, initial_state=[hidden, cell])
    scores = layers.Dense(len(SYMBOLS), activation="softmax", name=SCORES.name)(written)
    return flavour.keras.Model([problem, before], scores, name="encoder_decoder")


def greedy(model: Any, flavour: Flavour, data: RecipeData) -> Any:  # noqa: ARG001
    """Returns a model of the same layers that is fed what it wrote: `problem` in, `answer` and `scores` out."""
    layers = flavour.keras.layers
    symbols, decoder, dense = (model.get_layer(name) for name in ("answer_symbols", "decoder", SCORES.name))
    problem = layers.Input((None,), dtype="int32", name=PROBLEM.name)
    states = _encoded(model, problem)
    # The first symbol is the same for every row, of which there are as many as problems.
    token = problem[:, :1] * 0 + START
    tokens: list[Any] = []
    scores: list[Any] = []
    for _ in range(WRITTEN):
        made, *states = decoder(symbols(token), initial_state=list(states))
        scores.append(dense(made))
        token = _likeliest(flavour, scores[-1])
        tokens.append(token)
    answer = layers.Concatenate(axis=1, name=ANSWER.name)(tokens)
    every = layers.Concatenate(axis=1, name="all_scores")(scores)
    return flavour.keras.Model(problem, [answer, every], name="encoder_decoder_greedy")


def halves(model: Any, flavour: Flavour, data: RecipeData) -> Mapping[str, Part]:  # noqa: ARG001
    """Returns the encoder, which gives the states, and one step of the decoder, which takes them on."""
    layers = flavour.keras.layers
    symbols, decoder, dense = (model.get_layer(name) for name in ("answer_symbols", "decoder", SCORES.name))
    units = decoder.units
    problem = layers.Input((None,), dtype="int32", name=PROBLEM.name)
    encoder = flavour.keras.Model(problem, list(_encoded(model, problem)), name="encoder_states")
    state = {name: Field(name, "float32", (BATCH, units)) for name in ("hidden", "cell", "next_hidden", "next_cell")}
    token = layers.Input((1,), dtype="int32", name="symbol")
    hidden, cell = (layers.Input((units,), name=name) for name in ("hidden", "cell"))
    written, *after = decoder(symbols(token), initial_state=[hidden, cell])
    scores = layers.Reshape((len(SYMBOLS),), name="symbol_scores")(dense(written))
    step = flavour.keras.Model([token, hidden, cell], [scores, *after], name="decoder_step")
    symbol = Field("symbol", "int32", (BATCH, 1), unit=TOKEN_ID, minimum=0, maximum=len(SYMBOLS) - 1, classes=SYMBOLS)
    chosen = Field(SCORES.name, "float32", (BATCH, len(SYMBOLS)), unit="probability", minimum=0.0, maximum=1.0)
    return {
        "encoder": Part(encoder, (PROBLEM,), (state["hidden"], state["cell"])),
        "step": Part(
            step, (symbol, state["hidden"], state["cell"]), (chosen, state["next_hidden"], state["next_cell"])
        ),
    }


def _encoded(model: Any, problem: Any) -> tuple[Any, Any]:
    """Returns the states after a problem was read."""
    _, hidden, cell = model.get_layer("encoder")(model.get_layer("problem_symbols")(problem))
    return hidden, cell


def _likeliest(flavour: Flavour, scores: Any) -> Any:
    """Returns the id of the largest of (batch, 1, symbols), the first of equal ones, int32 (batch, 1)."""
    import tensorflow as tf

    # Keras 3 takes none of TensorFlow's operations, and its own argmax casts bits, for which ONNX has no operator.
    top_k = tf.math.top_k if flavour.version == 2 else flavour.keras.ops.top_k
    _, largest = top_k(scores, k=1)
    return largest[..., 0]


def exact_match(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
    """Says how many held-out sequences are written right to the last symbol."""
    test = data.test
    if not isinstance(test, ArrayExamples):
        raise TypeError("the recipe writes sequences of fixed length")
    given = outputs[recipe.outputs[0].name]
    written = given if given.dtype.kind in "iu" else given.argmax(axis=-1)
    right = (written == test.targets).all(axis=1)
    metrics = {
        "exact_match": float(right.mean()),
        "symbol_accuracy": float((written == test.targets).mean()),
        "test_rows": len(test),
    }
    wrong = np.flatnonzero(~right)
    shown = [*wrong[: SHOWN // 3], *np.flatnonzero(right)][:SHOWN]
    rows = [_line(test, written, int(row), recipe.name) for row in shown]
    line = (
        f"{metrics['exact_match']:.4f} of {len(test):,} held-out sequences are right as a whole, {len(wrong)} are not"
    )
    return Evaluation(
        metrics, (("exact match", line),), figures=(Figure("text", "What it writes", {"text": "\n".join(rows)}),)
    )


def _line(test: ArrayExamples, written: NDArray[np.integer], row: int, name: str) -> str:
    """Returns what was given, what was written, and what would have been right where that is another."""
    if name == "vec2seq":
        figures = test.inputs[NUMBER.name][row].reshape(FIGURES, 10).argmax(axis=1)
        given, names, between = "".join(map(str, figures)), WORDS, " "
    else:
        given, names, between = joined(test.inputs[PROBLEM.name][row], SYMBOLS), SYMBOLS, ""
    found, wanted = (joined(ids, names, between=between) for ids in (written[row], test.targets[row]))
    return f"{given} -> {found}" + ("" if found == wanted else f"  (right: {wanted})")


def _no_path(options: LoadOptions, name: str) -> None:
    from seqship.errors import DataError

    if options.path is not None:
        raise DataError(f"recipe {name!r} makes its own data and reads no {options.path}; leave --data out")


VEC2SEQ_TRAINING = Training(
    epochs=30, batch_size=64, learning_rate=5e-3, loss="sparse_categorical_crossentropy", patience=8
)
SUM_TRAINING = Training(
    epochs=40, batch_size=64, learning_rate=6e-3, loss="sparse_categorical_crossentropy", patience=15
)

VEC2SEQ = Recipe(
    name="vec2seq",
    task="write a number in words: a vector to a sequence",
    seed_document="001",
    data="the numbers below 10,000, a fifth held out; it reads no --data",
    inputs=(NUMBER,),
    outputs=(SPELLING,),
    parameters=42_848,
    cudnn_eligible=True,
    load=load_numbers,
    build=build_vec2seq,
    training=VEC2SEQ_TRAINING,
    quick=VEC2SEQ_TRAINING,
    evaluate=exact_match,
)
ENCODER_DECODER = Recipe(
    name="encoder-decoder",
    task="add two numbers as text: one sequence to another, by greedy decoding",
    seed_document="001",
    data="all sums of two numbers up to 99, a fifth held out; it reads no --data",
    inputs=(PROBLEM,),
    outputs=(ANSWER, SCORES),
    parameters=150_412,
    cudnn_eligible=True,
    load=load_sums,
    build=build_encoder_decoder,
    training=SUM_TRAINING,
    quick=SUM_TRAINING,
    evaluate=exact_match,
    finish=greedy,
    parts=halves,
)

RECIPES = (VEC2SEQ, ENCODER_DECODER)
