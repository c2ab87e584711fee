"""Recipe `stock-lstm`: daily closing prices, one trading day ahead.

The split is in time and the scaling is fitted on the training span alone: fitted on everything, as is often seen, it
tells the training how far the price will rise. A price is close to a random walk, whose best forecast is its last
value; the model begins there and learns a change, and the evaluation says plainly whether that change is worth
anything.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.forecasting import forecast, tested_arrays
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.models.zoo.relative import MEMORY, relative_forecaster, relative_in_units
from seqship.pipelines.series import Series, as_series
from seqship.pipelines.spec import BATCH, Field
from seqship.pipelines.window_examples import SplitSeries, split_windows

COLUMN = "Close"
DAYS, LENGTH, UNITS = 1_500, 20, 32
DRIFT, VOLATILITY = 4e-4, 0.015
INPUT = Field("close", "float32", (BATCH, LENGTH, 1), unit="price, as in the data, one a trading day")
OUTPUT = Field("forecast", "float32", (BATCH, 1), unit="price")
TRAINING = Training(epochs=40, batch_size=32, learning_rate=2e-3, patience=10)


def random_walk(seed: int) -> Series:
    """Returns a made-up share: a geometric random walk from 100, with weekends left out."""
    generator = np.random.default_rng([seed, 1_900])
    values = 100 * np.exp(np.cumsum(generator.normal(DRIFT, VOLATILITY, DAYS)))
    times = np.busday_offset("2015-01-01", np.arange(DAYS), roll="forward").astype("datetime64[us]")
    source = f"a generated random walk of {DAYS:,} days, seed {seed}"
    return as_series(values.astype(np.float32)[:, None], columns=[COLUMN], times=times, source=source)


def load(options: LoadOptions) -> RecipeData:
    """Reads the prices of a CSV file, or makes some up; the last fifth is the test."""
    from seqship.pipelines.series_csv import read_series

    column = options.columns[0] if options.columns else COLUMN
    series = random_walk(options.seed) if options.path is None else read_series(options.path, columns=[column])
    split = split_windows(
        series, name=INPUT.name, scaling="standard", train=0.7, validation=0.1, length=LENGTH, inputs_reach_back=True
    )
    return RecipeData(split.train, split.validation, split.test, context=split)


def build(flavour: Flavour, *, units: int = UNITS, cudnn: bool = True) -> Any:
    """Returns the untrained model: (batch, 20, 1) float32 in, (batch, 1) float32 out."""
    return relative_forecaster(
        flavour,
        length=LENGTH,
        features=1,
        horizon=1,
        memory=flavour.keras.layers.LSTM(units, name=MEMORY, **gate_options(cudnn=cudnn)),
        input_name=INPUT.name,
        output_name=OUTPUT.name,
        name="stock_lstm",
        levels=False,
    )


def finish(model: Any, flavour: Flavour, data: RecipeData) -> Any:
    """Puts the scaling into the model."""
    split: SplitSeries = data.context
    if split.scaling is None:
        return model
    return relative_in_units(model, flavour, split.scaling, input_name=INPUT.name, output_name=OUTPUT.name)


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Compares with the last price, and asks how often the direction is right."""
    found = forecast(recipe, data, outputs, seed)
    inputs, targets = tested_arrays(data)
    last = inputs[:, -1, 0].astype(np.float64)
    moved, foreseen = targets[:, 0] - last, outputs[OUTPUT.name][:, 0] - last
    told = moved != 0
    right = float(np.mean(np.sign(foreseen[told]) == np.sign(moved[told]))) if told.any() else 0.0
    rose = float(np.mean(moved[told] > 0)) if told.any() else 0.0
    text = f"right on {right:.1%} of {int(told.sum()):,} days; always up: {rose:.1%}"
    metrics = {**found.metrics, "direction_accuracy": right, "share_of_rises": rose}
    return replace(found, metrics=metrics, lines=(*found.lines, ("direction", text)))


STOCK_LSTM = Recipe(
    name="stock-lstm",
    task="forecast a closing price one trading day ahead",
    seed_document="000",
    data=f"a generated random walk of {DAYS:,} days; --data takes a CSV file with a date column and Close",
    inputs=(INPUT,),
    outputs=(OUTPUT,),
    parameters=4_385,
    cudnn_eligible=True,
    load=load,
    build=build,
    training=TRAINING,
    quick=replace(TRAINING, epochs=15),
    evaluate=evaluate,
    finish=finish,
)

RECIPES = (STOCK_LSTM,)
