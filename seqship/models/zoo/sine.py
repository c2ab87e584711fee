"""Recipe `sine-rnn`: a noisy sine, one step ahead.

The model and its shapes are those of the seed document: a window of four samples is *one* time step of four features,
(n, 1, 4), so that the recurrent weights never meet a state other than zero, and 1,024 of the layer's 1,184 weights do
nothing. Two things differ. The document has as many windows as samples, so that the last four targets of each span are
made up; here windows of the test read the last training samples instead. And it calls a forecast "pretty close" whose
error can hardly be less than the noise, a third.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.flavour import Flavour
from seqship.models.recipe import Evaluation, Figure, LoadOptions, Outputs, Recipe, RecipeData, Training, histogram
from seqship.models.zoo.generated import generated_alone
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, Field

SAMPLES, TRAIN_SAMPLES, VALIDATION_SAMPLES = 1_000, 800, 100
WINDOW = 4
NOISE = 2.0
NOISE_MSE = NOISE**2 / 12
"""Variance of the noise, which no forecast can know."""

INPUT = Field("samples", "float32", (BATCH, 1, WINDOW), unit="no unit, -1 to 3, the oldest sample first")
OUTPUT = Field("forecast", "float32", (BATCH, 1), unit="as the input")
TRAINING = Training(epochs=60, batch_size=16, learning_rate=1e-3, optimizer="rmsprop", patience=20)


def noisy_sine(seed: int) -> NDArray[np.float32]:
    """Returns sin(0.02 t) and noise from 0 to 2, uniform; (1,000,) float32."""
    generator = np.random.default_rng([seed, 20])
    values = np.sin(0.02 * np.arange(SAMPLES)) + NOISE * generator.random(SAMPLES)
    return values.astype(np.float32)


def load(options: LoadOptions) -> RecipeData:
    """Makes the sine; the context is the sine itself. All windows are looked at, those of the training first."""
    generated_alone(options, "sine")
    series = noisy_sine(options.seed)
    source = f"a generated noisy sine of {SAMPLES:,} samples, seed {options.seed}"
    windows = np.lib.stride_tricks.sliding_window_view(series[:-1], WINDOW)[:, None, :].copy()
    targets = series[WINDOW:, None].copy()

    def examples(start: int, stop: int) -> ArrayExamples:
        """The windows whose targets are these samples."""
        rows = slice(start - WINDOW, stop - WINDOW)
        return ArrayExamples({INPUT.name: windows[rows]}, targets[rows], source)

    border = TRAIN_SAMPLES - VALIDATION_SAMPLES
    train, validation = examples(WINDOW, border), examples(border, TRAIN_SAMPLES)
    return RecipeData(train, validation, examples(WINDOW, SAMPLES), context=series)


def build(flavour: Flavour, *, units: int = 32, dense: int = 8) -> Any:
    """Returns the untrained model: (batch, 1, 4) float32 in, (batch, 1) float32 out."""
    layers = flavour.keras.layers
    return flavour.keras.Sequential(
        [
            layers.Input((1, WINDOW), name=INPUT.name),
            layers.SimpleRNN(units, activation="relu", name="memory"),
            layers.Dense(dense, activation="relu", name="dense"),
            layers.Dense(1, name=OUTPUT.name),
        ],
        name="sine_rnn",
    )


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
    """Gives the errors of training and test apart, beside the noise, the naive forecast and the sine itself."""
    series: NDArray[np.float64] = np.asarray(data.context, np.float64)
    predicted = np.asarray(outputs[OUTPUT.name], np.float64)[:, 0]
    wanted = series[WINDOW:]
    tested = TRAIN_SAMPLES - WINDOW
    squared = (predicted - wanted) ** 2
    naive = float(np.mean((series[WINDOW - 1 : -1] - wanted)[tested:] ** 2))
    mean = float(np.mean((series[:TRAIN_SAMPLES].mean() - wanted[tested:]) ** 2))
    metrics: dict[str, Any] = {
        "train_mse": float(squared[:tested].mean()),
        "test_mse": float(squared[tested:].mean()),
        "naive_mse": naive,
        "mean_mse": mean,
        "noise_mse": NOISE_MSE,
        "train_rows": tested,
        "test_rows": len(squared) - tested,
    }
    metrics["beats_naive"] = metrics["test_mse"] < naive
    verb = "beats" if metrics["beats_naive"] else "does NOT beat"
    rows = (
        f"on {metrics['train_rows']:,} training windows, {metrics['test_mse']:.4g} on {metrics['test_rows']:,} of test"
    )
    lines = (
        ("forecast", f"mse {metrics['train_mse']:.4g} {rows}; the noise alone is {NOISE_MSE:.2g}"),
        ("naive", f"mse {naive:.4g}: the forecast {verb} the last value; always the training mean: {mean:.4g}"),
    )
    figures = (_figure(series, predicted), histogram((predicted - wanted)[tested:], title="Errors", x_label="error"))
    return Evaluation(metrics, lines, figures=figures)


def _figure(series: NDArray[np.float64], predicted: NDArray[np.float64]) -> Figure:
    """Returns the whole series, the forecast of each sample and where the test begins."""
    lines = {
        "series": [float(f"{value:.5g}") for value in series],
        "forecast": [None] * WINDOW + [float(f"{value:.5g}") for value in predicted],
    }
    content = {"x": list(range(len(series))), "lines": lines, "marks": {"test begins": float(TRAIN_SAMPLES)}}
    return Figure("lines", "Series and forecast", {**content, "x_label": "sample", "y_label": "value"})


SINE_RNN = Recipe(
    name="sine-rnn",
    task="forecast a noisy sine one step ahead",
    seed_document="000",
    data=f"a generated sine of {SAMPLES:,} samples, with noise",
    inputs=(INPUT,),
    outputs=(OUTPUT,),
    parameters=1_457,
    cudnn_eligible=False,
    load=load,
    build=build,
    training=TRAINING,
    quick=replace(TRAINING),
    evaluate=evaluate,
)

RECIPES = (SINE_RNN,)
