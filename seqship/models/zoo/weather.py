"""Recipes `weather-gru` and `weather-gru-day`: an hourly level by what went with it, one hour or a day ahead.

Missing inputs carry the last measured value forward, within the window's own past; missing targets are never made up:
windows that would need one are left out, in training and in the test. A column of text (a wind direction) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seqship.errors import DataError
from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.forecasting import forecast, tested_arrays
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.models.zoo.relative import MEMORY, relative_forecaster, relative_in_units
from seqship.pipelines.series import Series
from seqship.pipelines.spec import BATCH, Field
from seqship.pipelines.synthetic_weather import COLUMNS, HOURS_A_DAY, synthetic_weather
from seqship.pipelines.window_examples import SplitSeries, split_windows

HOURS, LENGTH, UNITS = 6_000, 48, 32
TARGETS = ("pm2.5", "OT")
"""Columns that are the target where a file has them and none is asked for; else the first is."""
INPUT = Field("hours", "float32", (BATCH, LENGTH, len(COLUMNS)), unit="as in the data, the target first, one an hour")
TRAINING = Training(epochs=12, batch_size=256, learning_rate=3e-3, patience=4)


def load_ahead(options: LoadOptions, horizon: int) -> RecipeData:
    """Reads the hours of a CSV file, or makes some up; the last fifth is the test.

    Args:
        options: The columns are the target and the other inputs, in this order; none are all columns of numbers.
        horizon: Hours ahead.

    Raises:
        DataError: As for `read_series` and `split_windows`.
    """
    from seqship.pipelines.series_csv import read_series

    whole = synthetic_weather(HOURS, seed=options.seed) if options.path is None else read_series(options.path)
    series = _ordered(whole, options.columns)
    columns = series.columns
    split = split_windows(
        series,
        name=INPUT.name,
        scaling="standard",
        length=LENGTH,
        horizon=horizon,
        target_columns=columns[:1],
        missing="forward",
        inputs_reach_back=True,
    )
    unit = f"{', '.join(columns)}: as in the data, one step an hour"
    return RecipeData(
        split.train,
        split.validation,
        split.test,
        options={"features": len(columns)},
        inputs=(replace(INPUT, shape=(BATCH, LENGTH, len(columns)), unit=unit),),
        context=split,
    )


def _ordered(series: Series, columns: Sequence[str]) -> Series:
    """Returns the series with its target first."""
    names = tuple(columns)
    if not names:
        target = next((name for name in TARGETS if name in series.columns), series.columns[0])
        names = (target, *(name for name in series.columns if name != target))
    missing = [name for name in names if name not in series.columns]
    if missing:
        raise DataError(f"{series.source} has no column of numbers {missing[0]!r}; it has {', '.join(series.columns)}")
    return replace(series, values=series.values[:, list(series.column_indices(names))], columns=names)


def builder(horizon: int) -> Callable[..., Any]:
    """Returns the builder for so many hours ahead: (batch, 48, features) in, (batch, horizon) out, both float32."""

    def build(flavour: Flavour, *, features: int = len(COLUMNS), units: int = UNITS, cudnn: bool = True) -> Any:
        return relative_forecaster(
            flavour,
            length=LENGTH,
            features=features,
            horizon=horizon,
            memory=flavour.keras.layers.GRU(units, name=MEMORY, **gate_options(cudnn=cudnn)),
            input_name=INPUT.name,
            output_name="forecast",
            name=f"weather_gru_{horizon}",
            levels=True,
        )

    return build


def finish(model: Any, flavour: Flavour, data: RecipeData) -> Any:
    """Puts the scaling into the model."""
    split: SplitSeries = data.context
    if split.scaling is None:
        return model
    return relative_in_units(model, flavour, split.scaling, input_name=INPUT.name, output_name="forecast")


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Compares with the last value, and with the same hours of the day before."""
    found = forecast(recipe, data, outputs, seed)
    inputs, targets = tested_arrays(data)
    horizon = targets.shape[1]
    yesterday = inputs[:, LENGTH - HOURS_A_DAY : LENGTH - HOURS_A_DAY + horizon, 0].astype(np.float64)
    mse = float(np.mean((yesterday - targets) ** 2))
    better = bool(found.metrics["test_mse"] < mse)
    split: SplitSeries = data.context
    series, span = split.test.series, split.test.span
    lacking = int(np.isnan(span.values_of(series)[:, 0]).sum())
    text = f"mse {mse:.4g}: the forecast {'beats' if better else 'does NOT beat'} the same hours of yesterday"
    lines = [*found.lines, ("yesterday", text)]
    if lacking:
        lines.append(("missing", f"{lacking:,} of the {span.steps:,} test hours lack {series.columns[0]}: no targets"))
    metrics = {**found.metrics, "yesterday_mse": mse, "beats_yesterday": better, "missing_test_targets": lacking}
    return replace(found, metrics=metrics, lines=tuple(lines))


def _recipe(name: str, ahead: str, horizon: int, parameters: int) -> Recipe:
    def load(options: LoadOptions) -> RecipeData:
        return load_ahead(options, horizon)

    return Recipe(
        name=name,
        task=f"forecast an hourly level {ahead} ahead, from two days of it and of the weather",
        seed_document="000",
        data=f"{HOURS:,} generated hours of pollution and weather; --data takes an hourly CSV file, its target first "
        "in --column",
        inputs=(INPUT,),
        outputs=(Field("forecast", "float32", (BATCH, horizon), unit="as the target"),),
        parameters=parameters,
        cudnn_eligible=True,
        load=load,
        build=builder(horizon),
        training=TRAINING,
        quick=replace(TRAINING, epochs=10, batch_size=128),
        evaluate=evaluate,
        finish=finish,
    )


RECIPES = (
    _recipe("weather-gru", "one hour", 1, 4_065),
    _recipe("weather-gru-day", "a day", HOURS_A_DAY, 4_824),
)
