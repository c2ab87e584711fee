"""Recipes `series-...`: 10,000 short series, two sines and noise each, one or ten steps ahead.

The seed document's models, from the last value to two layers of LSTM. Three things differ: its linear model and its
RNN of one unit are told apart by a figure (it shows none), the ten steps ahead are also reached by feeding a one-step
model its own output (it leaves that out), and the learning rate falls to zero, without which the order of the models
depends on the epoch in which training happens to end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.forecasting import forecast, tested_arrays
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training, as_trained
from seqship.models.zoo.generated import generated_alone
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, TIME, Field

COUNT, TRAIN, VALIDATION = 10_000, 7_000, 2_000
LENGTH, HORIZON = 50, 10
UNITS = 20
NOISE = 0.1
NOISE_MSE = NOISE**2 / 12
"""Mean square of the noise, uniform over an interval of that width: no forecast of one value can be better."""
SAME = 0.01
"""Two errors are said to be equal if they are no further apart than this share."""
Targets = Literal["next", "ahead", "every", "fed back"]
"""The next value; the next ten; the next ten of every step; the next in training and the next ten in the test."""
Build = Callable[..., Any]

TRAINING = Training(epochs=18, batch_size=128, learning_rate=1.5e-2)


def generate_series(count: int, steps: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Returns series of two sines and uniform noise, (count, steps) float32.

    Frequencies and offsets are drawn for each; the first sine has the amplitude 0.5, the second 0.2, noise +-0.05.
    """
    slow, fast, offset, other = generator.random((4, count, 1))
    time = np.linspace(0, 1, steps)
    values = 0.5 * np.sin((time - offset) * (slow * 10 + 10))
    values += 0.2 * np.sin((time - other) * (fast * 20 + 20))
    values += NOISE * (generator.random((count, steps)) - 0.5)
    return values.astype(np.float32)


def framed(series: NDArray[np.float32], *, every: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Splits series into inputs and what comes next.

    Args:
        series: (n, LENGTH + horizon) float32.
        every: Whether each step has targets of its own.

    Returns:
        Inputs (n, LENGTH, 1), and targets (n, horizon), or with `every` (n, LENGTH, horizon): those of step t are the
        steps from t + 1 on.
    """
    inputs = series[:, :LENGTH, None]
    if not every:
        return inputs, series[:, LENGTH:]
    horizon = series.shape[1] - LENGTH
    following = np.lib.stride_tricks.sliding_window_view(series[:, 1:], horizon, axis=1)
    return inputs, np.ascontiguousarray(following)


def loader(targets: Targets) -> Callable[[LoadOptions], RecipeData]:
    """Returns what makes the data of a recipe; its context is the next values of the training series."""

    def load(options: LoadOptions) -> RecipeData:
        generated_alone(options, "series")
        horizon = 1 if targets == "next" else HORIZON
        series = generate_series(COUNT, LENGTH + horizon, np.random.default_rng([options.seed, 50]))
        source = f"{COUNT:,} generated series of {LENGTH} + {horizon} steps, seed {options.seed}"
        parts = np.split(series, [TRAIN, TRAIN + VALIDATION])

        def examples(part: NDArray[np.float32], *, tested: bool) -> ArrayExamples:
            # What is fed back learns one step, and is tested on ten.
            known = part[:, : LENGTH + 1] if targets == "fed back" and not tested else part
            inputs, following = framed(known, every=targets == "every")
            return ArrayExamples({INPUT.name: inputs}, following, source)

        train, validation, test = (examples(part, tested=part is parts[-1]) for part in parts)
        return RecipeData(train, validation, test, context=parts[0][:, LENGTH:])

    return load


LARGEST = 0.75
"""Both amplitudes and half of the noise."""
INPUT = Field("series", "float32", (BATCH, TIME, 1), unit="no unit", minimum=-LARGEST, maximum=LARGEST)
WHOLE = replace(INPUT, shape=(BATCH, LENGTH, 1))
NEXT = Field("forecast", "float32", (BATCH, 1), unit="as the input")
AHEAD = replace(NEXT, shape=(BATCH, HORIZON))
EVERY = replace(NEXT, shape=(BATCH, TIME, HORIZON))


def build_naive(flavour: Flavour, *, cudnn: bool = True) -> Any:  # noqa: ARG001  (no layer is recurrent)
    """Returns the model without weights that gives the last value back: (batch, 50, 1) in, (batch, 1) out."""
    layers = flavour.keras.layers
    stack = [layers.Input((LENGTH, 1), name=INPUT.name), layers.Cropping1D((LENGTH - 1, 0), name="last_step")]
    return flavour.keras.Sequential([*stack, layers.Flatten(name=NEXT.name)], name="series_naive")


def build_linear(flavour: Flavour, *, cudnn: bool = True) -> Any:  # noqa: ARG001  (no layer is recurrent)
    """Returns the linear model: (batch, 50, 1) float32 in, (batch, 1) float32 out."""
    layers = flavour.keras.layers
    stack = [layers.Input((LENGTH, 1), name=INPUT.name), layers.Flatten(name="values")]
    return flavour.keras.Sequential([*stack, layers.Dense(1, name=NEXT.name)], name="series_linear")


def build_rnn1(flavour: Flavour) -> Any:
    """Returns the RNN of one unit, whose state is the forecast: (batch, time, 1) float32 in, (batch, 1) float32 out."""
    layers = flavour.keras.layers
    stack = [layers.Input((None, 1), name=INPUT.name), layers.SimpleRNN(1, name=NEXT.name)]
    return flavour.keras.Sequential(stack, name="series_rnn1")


def build_deep(flavour: Flavour, *, units: int = UNITS, dense_head: bool = False) -> Any:
    """Returns three layers of SimpleRNN: (batch, time, 1) float32 in, (batch, 1) float32 out.

    `dense_head` has a Dense layer in place of the third, whose only unit is a state and bounded by its tanh.
    """
    layers = flavour.keras.layers
    memories = [
        layers.SimpleRNN(units, return_sequences=True, name="memory_1"),
        layers.SimpleRNN(units, return_sequences=not dense_head, name="memory_2"),
    ]
    last = layers.Dense(1, name=NEXT.name) if dense_head else layers.SimpleRNN(1, name=NEXT.name)
    return flavour.keras.Sequential([layers.Input((None, 1), name=INPUT.name), *memories, last], name="series_deep_rnn")


def stack_builder(kind: str, name: str, *, outputs: int = HORIZON, every: bool = False) -> Build:
    """Returns the builder of two layers of one kind and a Dense layer.

    It takes (batch, time, 1) float32 and gives (batch, outputs) float32, for `every` step (batch, time, outputs).
    """

    def build(flavour: Flavour, *, units: int = UNITS, cudnn: bool = True) -> Any:
        layers = flavour.keras.layers
        gates = {} if kind == "SimpleRNN" else gate_options(cudnn=cudnn)
        layer = getattr(layers, kind)
        return flavour.keras.Sequential(
            [
                layers.Input((None, 1), name=INPUT.name),
                layer(units, return_sequences=True, name="memory_1", **gates),
                layer(units, return_sequences=every, name="memory_2", **gates),
                layers.Dense(outputs, name=NEXT.name),
            ],
            name=name,
        )

    return build


def fed_back(model: Any, flavour: Flavour, data: RecipeData) -> Any:  # noqa: ARG001
    """Returns the model that feeds a one-step model its own forecasts, ten times: (batch, time, 1) in, (batch, 10) out.

    The layers hand their states on, so that a forecast costs one step and not the whole series once more; the answers
    are the same. Written out ten times it has no loop, and each call of a layer becomes one ONNX operator.
    """
    layers, units = flavour.keras.layers, model.get_layer("memory_1").units
    first = layers.SimpleRNN(units, return_sequences=True, return_state=True, name="memory_1")
    second = layers.SimpleRNN(units, return_state=True, name="memory_2")
    head, as_step = layers.Dense(1, name="next_value"), layers.Reshape((1, 1), name="as_step")
    series = step = layers.Input((None, 1), name=INPUT.name)
    states: tuple[Any, Any] = (None, None)
    answers: list[Any] = []
    for _ in range(HORIZON):
        sequence, one = first(step, initial_state=states[0])
        last, other = second(sequence, initial_state=states[1])
        states = one, other
        answers.append(head(last))
        step = as_step(answers[-1])
    whole = flavour.keras.Model(series, layers.Concatenate(name=AHEAD.name)(answers), name="series_autoregressive")
    for name, source in (("memory_1", "memory_1"), ("memory_2", "memory_2"), ("next_value", NEXT.name)):
        whole.get_layer(name).set_weights(model.get_layer(source).get_weights())
    return whole


def linear_mse(data: RecipeData) -> float:
    """Returns the test error of the best linear model of the training series, by least squares."""
    train: Any = data.train
    inputs, targets = tested_arrays(data)
    wanted = targets[:, -1] if targets.ndim == 3 else targets
    weights, *_ = np.linalg.lstsq(_with_one(train.inputs[INPUT.name]), np.asarray(data.context, np.float64))
    return float(np.mean((_with_one(inputs) @ weights - wanted) ** 2))


def _with_one(inputs: NDArray[Any]) -> NDArray[np.float64]:
    flat = inputs[..., 0].astype(np.float64)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Compares with the last value, and with the best linear model; of every step's answers, the last step's count."""
    found = forecast(recipe, data, outputs, seed)
    mse, linear = found.metrics["test_mse"], linear_mse(data)
    better = bool(mse < (1 - SAME) * linear)
    verb = "beats" if better else "equals" if mse < (1 + SAME) * linear else "does NOT beat"
    text = f"mse {linear:.4g} by least squares: the forecast {verb} it; the noise alone is {NOISE_MSE:.2g}"
    metrics = {**found.metrics, "linear_mse": linear, "beats_linear": better, "noise_mse": NOISE_MSE}
    return replace(found, metrics=metrics, lines=(*found.lines, ("linear", text)))


def evaluate_naive(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Says what the yardstick itself reaches."""
    found = evaluate(recipe, data, outputs, seed)
    yardstick = ("naive", "this model is the last value, which every other is held against")
    return replace(found, lines=(found.lines[0], yardstick, *found.lines[2:]))


def evaluate_fed_back(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Compares with direct forecasts too, and says how the error grows with the step."""
    found = evaluate(recipe, data, outputs, seed)
    _, wanted = tested_arrays(data)
    errors = np.mean((outputs[AHEAD.name].astype(np.float64) - wanted) ** 2, axis=0)
    direct = found.metrics["linear_mse"]
    better = bool(found.metrics["test_mse"] < direct)
    verdict = "fed back is better" if better else "fed back is worse"
    lines = (
        ("by step", f"mse {errors[0]:.4g} one step ahead, {errors[-1]:.4g} {HORIZON} steps ahead"),
        ("direct", f"all {HORIZON} at once by least squares: mse {direct:.4g}, {verdict}"),
    )
    metrics = {**found.metrics, "mse_by_step": errors.tolist(), "direct_mse": direct, "beats_direct": better}
    return replace(found, metrics=metrics, lines=(*found.lines, *lines))


def _recipe(
    short: str,
    task: str,
    targets: Targets,
    build: Build,
    parameters: int,
    output: Field,
    training: Training = TRAINING,
    *,
    window: Field = INPUT,
    cudnn: bool = False,
    evaluation: Callable[..., Evaluation] = evaluate,
    finish: Callable[[Any, Flavour, RecipeData], Any] = as_trained,
) -> Recipe:
    return Recipe(
        name=f"series-{short}",
        task=task,
        seed_document="001",
        data=f"{COUNT:,} generated series, two sines and noise",
        inputs=(window,),
        outputs=(output,),
        parameters=parameters,
        cudnn_eligible=cudnn,
        load=loader(targets),
        build=build,
        training=training,
        quick=training,
        evaluate=evaluation,
        finish=finish,
    )


_LINEAR = replace(TRAINING, epochs=30, batch_size=64, learning_rate=2e-2)
# Close to the best linear model, which half as many steps do not reach.
_DEEP = replace(TRAINING, batch_size=64, learning_rate=1e-2)
_UNTRAINED = replace(TRAINING, epochs=0)
RECIPES = (
    _recipe(
        "naive",
        "forecast the next value as the last one; nothing is trained",
        "next",
        build_naive,
        0,
        NEXT,
        _UNTRAINED,
        window=WHOLE,
        cudnn=True,
        evaluation=evaluate_naive,
    ),
    _recipe(
        "linear", "forecast the next value, linear", "next", build_linear, 51, NEXT, _LINEAR, window=WHOLE, cudnn=True
    ),
    _recipe("rnn1", "forecast the next value with an RNN of one unit", "next", build_rnn1, 3, NEXT),
    _recipe("deep-rnn", "forecast the next value with three SimpleRNN layers", "next", build_deep, 1_282, NEXT, _DEEP),
    _recipe(
        "10-ahead",
        "forecast the next ten values at once",
        "ahead",
        stack_builder("SimpleRNN", "series_10_ahead"),
        1_470,
        AHEAD,
    ),
    _recipe(
        "seq2seq",
        "forecast the next ten values after every step",
        "every",
        stack_builder("SimpleRNN", "series_seq2seq", every=True),
        1_470,
        EVERY,
    ),
    _recipe(
        "lstm",
        "forecast the next ten values with two LSTM layers",
        "ahead",
        stack_builder("LSTM", "series_lstm"),
        5_250,
        AHEAD,
        cudnn=True,
    ),
    _recipe(
        "gru",
        "forecast the next ten values with two GRU layers",
        "ahead",
        stack_builder("GRU", "series_gru"),
        4_110,
        AHEAD,
        cudnn=True,
    ),
    _recipe(
        "autoregressive",
        "forecast the next ten values one by one, each fed back",
        "fed back",
        stack_builder("SimpleRNN", "series_one_step", outputs=1),
        1_281,
        AHEAD,
        evaluation=evaluate_fed_back,
        finish=fed_back,
    ),
)
