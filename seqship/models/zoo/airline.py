"""Recipes `airline-rnn`, `airline-lstm` and `airline-gru`: monthly passengers of an airline, one month ahead.

The seed document puts a softmax on the single output unit, which is 1 whatever the input (a share of one): its forecast
is a constant, the largest number of passengers in training. Here the output is linear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.forecasting import forecast, tested_arrays
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.models.units import in_units
from seqship.pipelines.series import Series, as_series
from seqship.pipelines.spec import BATCH, TIME, Field
from seqship.pipelines.window_examples import SplitSeries, split_windows

COLUMN = "Passengers"
UNITS = 64
MONTHS = 144
INPUT = Field("passengers", "float32", (BATCH, TIME, 1), unit="thousand passengers a month", sampling_hz=None)
OUTPUT = Field("forecast", "float32", (BATCH, 1), unit="thousand passengers")
TRAINING = Training(epochs=300, batch_size=16, learning_rate=5e-3, patience=60)


def passengers(seed: int) -> Series:
    """Returns a made-up airline: growth, a season that grows with it, and noise; monthly, in thousands."""
    generator = np.random.default_rng([seed, 1949])
    month = np.arange(MONTHS)
    growth = 110 * np.exp(0.0105 * month)
    season = 1 + 0.16 * np.sin(2 * np.pi * (month - 3) / 12) + 0.06 * np.sin(4 * np.pi * month / 12)
    values: NDArray[np.float64] = growth * season * np.exp(generator.normal(0, 0.02, MONTHS))
    times = np.datetime64("1949-01", "M") + month
    return as_series(
        values.round().astype(np.float32)[:, None],
        columns=[COLUMN],
        times=times,
        source=f"a generated airline of {MONTHS} months, seed {seed}",
    )


def load(options: LoadOptions) -> RecipeData:
    """Reads the CSV file, or makes passengers up; the last quarter is the test."""
    from seqship.pipelines.series_csv import read_series

    column = options.columns[0] if options.columns else COLUMN
    series = passengers(options.seed) if options.path is None else read_series(options.path, columns=[column])
    split = split_windows(
        series, name=INPUT.name, scaling="minmax", train=0.65, validation=0.1, length=1, inputs_reach_back=True
    )
    return RecipeData(split.train, split.validation, split.test, context=split)


def builder(kind: str) -> Callable[..., Any]:
    """Returns the builder of one kind of layer: (batch, time, 1) float32 in, (batch, 1) float32 out."""

    def build(flavour: Flavour, *, units: int = UNITS, cudnn: bool = True) -> Any:
        layers = flavour.keras.layers
        gates = {} if kind == "SimpleRNN" else gate_options(cudnn=cudnn)
        return flavour.keras.Sequential(
            [
                layers.Input((None, 1), name=INPUT.name),
                getattr(layers, kind)(units, name="memory", **gates),
                layers.Dense(1, name=OUTPUT.name),
            ],
            name=f"airline_{kind.lower()}",
        )

    return build


def finish(model: Any, flavour: Flavour, data: RecipeData) -> Any:
    """Puts the scaling into the model."""
    split: SplitSeries = data.context
    columns = split.train.series.columns
    return in_units(
        model,
        flavour,
        split.scaling,
        name=INPUT.name,
        input_columns=columns,
        target_column=columns[0],
        output=OUTPUT.name,
    )


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Compares with the naive forecast, and with what the seed document's softmax gives: a constant."""
    found = forecast(recipe, data, outputs, seed)
    split: SplitSeries = data.context
    constant = float(np.nanmax(split.train.span.values_of(split.train.series)))
    _, targets = tested_arrays(data)
    rmse = float(np.sqrt(np.mean((targets - constant) ** 2)))
    better = found.metrics["test_rmse"] < rmse
    text = f"rmse {found.metrics['test_rmse']:.1f}; always {constant:.0f}, as a softmax over one unit says: {rmse:.1f}"
    metrics = {**found.metrics, "constant_rmse": rmse, "beats_constant": better}
    return replace(found, metrics=metrics, lines=(*found.lines, ("constant", text)))


def _recipe(kind: str, short: str, parameters: int, *, cudnn: bool) -> Recipe:
    return Recipe(
        name=f"airline-{short}",
        task=f"forecast an airline's passengers one month ahead, with a {kind} layer",
        seed_document="002",
        data="a generated airline of 144 months; --data takes a CSV file with a date column and Passengers",
        inputs=(INPUT,),
        outputs=(OUTPUT,),
        parameters=parameters,
        cudnn_eligible=cudnn,
        load=load,
        build=builder(kind),
        training=TRAINING,
        quick=TRAINING,
        evaluate=evaluate,
        finish=finish,
    )


RECIPES = (
    _recipe("SimpleRNN", "rnn", 4_289, cudnn=False),
    _recipe("LSTM", "lstm", 16_961, cudnn=True),
    _recipe("GRU", "gru", 12_929, cudnn=True),
)
