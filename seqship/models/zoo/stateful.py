"""Recipe `stateful`: three layers that keep their state between the chunks of one series.

The seed document shows `stateful=True` in a sentence: the batch size is fixed then, and whoever forgets
`reset_states()` between two series reads the second with the memory of the first. Here a series is smoothed, which
needs what came many steps ago: the model is trained on whole series without a state of its own, and exported with its
states coming in and going out, so that nothing has to be reset and any batch size is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.recipe import Evaluation, Figure, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.series import Series
from seqship.pipelines.spec import BATCH, TIME, Field

STEPS, CHUNK = 120, 30
"""Steps of a series, and of one of the chunks that it comes in."""
SERIES = (400, 60, 100)
"""Series to train on, to validate on and to test on."""
KEPT = 0.95
"""Share of the level that the next step keeps: half of it is forgotten in 14 steps."""

INPUT = Field("signal", "float32", (BATCH, TIME, 1))
OUTPUT = Field("level", "float32", (BATCH, TIME, 1))
TRAINING = Training(epochs=15, batch_size=32, learning_rate=1e-2, patience=10)


@dataclass(frozen=True, eq=False)
class Chunked:
    """What was found when the exported model read the test series chunk by chunk.

    Attributes:
        carried: The answers with the states handed on, (n, steps, 1); empty before that was done.
    """

    carried: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])


def smoothed(signal: NDArray[np.floating], *, kept: float = KEPT) -> NDArray[np.float32]:
    """Returns the level after each step, which begins at 0: kept * level + (1 - kept) * signal.

    Args:
        signal: (n, steps, 1).
        kept: Share of the level that stays.
    """
    level = np.zeros(signal.shape, np.float64)
    last = np.zeros(signal[:, 0].shape, np.float64)
    for step in range(signal.shape[1]):
        last = kept * last + (1 - kept) * signal[:, step]
        level[:, step] = last
    return level.astype(np.float32)


def signals(n: int, *, seed: int) -> NDArray[np.float32]:
    """Returns made-up series (n, 120, 1): a wave around a level that jumps now and then, and noise."""
    rng = np.random.default_rng(seed)
    jumps = rng.normal(0, 1, (n, STEPS)) * (rng.random((n, STEPS)) < 0.03)
    level = rng.normal(0, 0.7, (n, 1)) + jumps.cumsum(axis=1)
    period, phase = rng.uniform(8, 40, (n, 1)), rng.uniform(0, 2 * np.pi, (n, 1))
    wave = 0.5 * np.sin(2 * np.pi * np.arange(STEPS) / period + phase)
    return (level + wave + rng.normal(0, 0.2, (n, STEPS)))[..., None].astype(np.float32)


def load(options: LoadOptions) -> RecipeData:
    """Makes the series; a CSV file is cut into series of 120 steps, in time: the last quarter of them is the test."""
    if options.path is None:
        whole, sizes, source = signals(sum(SERIES), seed=options.seed), SERIES, f"generated series, seed {options.seed}"
    else:
        from seqship.pipelines.series_csv import read_series

        series = read_series(options.path, columns=list(options.columns) or None)
        whole, source = cut(series), series.source
        test = max(len(whole) // 4, 1)
        validation = max(len(whole) // 10, 1)
        sizes = (len(whole) - test - validation, validation, test)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    train, validation_part, test_part = (ArrayExamples({INPUT.name: part}, smoothed(part), source) for part in parts)
    # Keras 3 traces a stateful model with the batch size that it was built with; the export takes any.
    given = (replace(INPUT, shape=(1, *INPUT.shape[1:])),)
    return RecipeData(train, validation_part, test_part, inputs=given, context=Chunked())


def cut(series: Series) -> NDArray[np.float32]:
    """Returns the first column in pieces (n, 120, 1), less its mean and by its deviation over the first three fifths.

    Raises:
        DataError: The series is too short, or a value is missing.
    """
    from seqship.errors import DataError

    values = np.asarray(series.values[:, 0], np.float64)
    count = len(values) // STEPS
    if count < 4:
        raise DataError(f"{series.source} has {len(values)} steps, 4 series of {STEPS} need {4 * STEPS}; give more")
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{series.source}, column {series.columns[0]!r}: step {step} is missing; fill it first")
    known = values[: max(int(0.6 * len(values)), 1)]
    scaled = (values - known.mean()) / max(known.std(), 1e-9)
    return scaled[: count * STEPS].reshape(count, STEPS, 1).astype(np.float32)


def build(flavour: Flavour, *, units: int = 16, stateful: bool = False, batch: int = 1, cudnn: bool = True) -> Any:
    """Returns the untrained model: (batch, time, 1) float32 in and out.

    Args:
        flavour: The Keras.
        units: Units of each layer.
        stateful: Whether the layers keep their states.
        batch: The batch size that Keras wants to know of a stateful model; its export takes any.
        cudnn: Whether cuDNN can run the LSTM and the GRU.
    """
    layers = flavour.keras.layers
    gates = gate_options(cudnn=cudnn)
    keeps: dict[str, Any] = {"return_sequences": True, "stateful": stateful}
    shape: dict[str, Any] = {"batch_shape": (batch, None, 1)} if stateful else {"shape": (None, 1)}
    return flavour.keras.Sequential(
        [
            layers.Input(**shape, name=INPUT.name),
            layers.LSTM(units, name="lstm", **keeps, **gates),
            layers.GRU(units, name="gru", **keeps, **gates),
            layers.SimpleRNN(units, name="rnn", **keeps),
            layers.Dense(1, name=OUTPUT.name),
        ],
        name="stateful",
    )


def finish(model: Any, flavour: Flavour, data: RecipeData) -> Any:
    """Returns the model whose layers keep their states, with the same weights, and reads the test series in chunks."""
    test = data.test
    if isinstance(test, ArrayExamples) and isinstance(data.context, Chunked):
        reader = build(flavour, stateful=True, batch=len(test), units=model.get_layer("lstm").units)
        reader.set_weights(model.get_weights())
        signal = test.inputs[INPUT.name]
        parts = [reader.predict_on_batch(signal[:, start : start + CHUNK]) for start in range(0, STEPS, CHUNK)]
        data.context.carried[:] = [np.concatenate(parts, axis=1)]
    streaming = build(flavour, stateful=True, units=model.get_layer("lstm").units)
    streaming.set_weights(model.get_weights())
    return streaming


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
    """Compares chunks with whole series, and with chunks that begin with no memory."""
    test, context = data.test, data.context
    if not isinstance(test, ArrayExamples) or not isinstance(context, Chunked):
        raise TypeError("the recipe reads series in chunks")
    whole, wanted = outputs[recipe.outputs[0].name], test.targets
    carried = context.carried[0] if context.carried else whole
    forgetful = np.concatenate(
        [smoothed(test.inputs[INPUT.name][:, start : start + CHUNK]) for start in range(0, STEPS, CHUNK)], axis=1
    )
    difference = float(np.max(np.abs(carried - whole)))
    metrics = {
        "test_mse": float(np.mean((whole - wanted) ** 2)),
        "signal_mse": float(np.mean((test.inputs[INPUT.name] - wanted) ** 2)),
        "forgetful_mse": float(np.mean((forgetful - wanted) ** 2)),
        "chunked_difference": difference,
        "test_rows": len(test),
    }
    metrics["beats_forgetful"] = metrics["test_mse"] < metrics["forgetful_mse"]
    lines = (
        ("smoothing", f"mse {metrics['test_mse']:.2g} on {len(test)} series of {STEPS} steps"),
        ("no memory", f"mse {metrics['forgetful_mse']:.2g}: exact smoothing that begins anew every {CHUNK} steps"),
        ("chunks", f"{STEPS // CHUNK} chunks of {CHUNK} steps, states handed on: {difference:.1g} from the whole"),
    )
    return Evaluation(metrics, lines, figures=(_figure(test, whole, forgetful),))


def _figure(test: ArrayExamples, whole: NDArray[Any], forgetful: NDArray[Any]) -> Figure:
    def listed(values: NDArray[Any]) -> list[float]:
        return [float(f"{value:.5g}") for value in values[0, :, 0]]

    lines = {
        "signal": listed(test.inputs[INPUT.name]),
        "smoothed by the model": listed(whole),
        "without memory": listed(forgetful),
    }
    marks = {f"chunk {start // CHUNK + 1}": float(start) for start in range(CHUNK, STEPS, CHUNK)}
    content = {"x": list(range(STEPS)), "lines": lines, "marks": marks, "x_label": "step", "y_label": ""}
    return Figure("lines", "A series in chunks", content)


STATEFUL = Recipe(
    name="stateful",
    task="smooth a series that comes in chunks, with layers that keep their state",
    seed_document="003",
    data="generated series; --data takes a CSV file, --column its column",
    inputs=(INPUT,),
    outputs=(OUTPUT,),
    parameters=3_329,
    cudnn_eligible=False,
    load=load,
    build=build,
    training=TRAINING,
    quick=TRAINING,
    evaluate=evaluate,
    finish=finish,
)

RECIPES = (STATEFUL,)
