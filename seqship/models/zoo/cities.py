"""Recipes `cities-rnn` and `cities-rnn-daily`: tomorrow's pollution from four days of weather, city by city.

The seed document trains on three cities for ten epochs, on raw numbers up to 125 that saturate a tanh, and its variant
for every day ends in a relu, which has no gradient where it starts below zero. Here there are more cities, scaled by
the training cities and exported with the scaling inside, and both heads are linear. The target comes first among the
features, as in all recipes that forecast one of their inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from seqship.models.flavour import Flavour
from seqship.models.forecasting import forecast, tested_arrays
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.models.units import in_units
from seqship.models.zoo.generated import generated_alone
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.scaling import Scaling, fit_scaling
from seqship.pipelines.spec import BATCH, Field
from seqship.pipelines.synthetic_cities import CITY_COLUMNS, synthetic_cities

COUNT, TRAIN, VALIDATION, DAYS = 3_000, 2_100, 300, 4
INPUT = Field("days", "float32", (BATCH, DAYS, 3), unit="pollution (index), temperature (degC), wind (km/h); one a day")
NEXT = Field("next_pollution", "float32", (BATCH, 1), unit="pollution index")
EVERY = replace(NEXT, shape=(BATCH, DAYS, 1))
TRAINING = Training(epochs=30, batch_size=32, learning_rate=1e-2, optimizer="rmsprop")


def loader(*, every: bool) -> Callable[[LoadOptions], RecipeData]:
    """Returns what makes the cities: trained on scaled, tested raw; the context is the scaling."""

    def load(options: LoadOptions) -> RecipeData:
        generated_alone(options, "cities")
        table = synthetic_cities(COUNT, DAYS + 1, seed=options.seed)
        scaling = fit_scaling(table[:TRAIN, :DAYS].reshape(-1, len(CITY_COLUMNS)), "standard", CITY_COLUMNS)
        source = f"{COUNT:,} generated cities of {DAYS} + 1 days, seed {options.seed}"
        scaled = scaling.apply(table)

        def examples(cities: Any) -> ArrayExamples:
            targets = cities[:, 1:, :1] if every else cities[:, DAYS, :1]
            return ArrayExamples({INPUT.name: cities[:, :DAYS].copy()}, targets.copy(), source)

        train, validation = examples(scaled[:TRAIN]), examples(scaled[TRAIN : TRAIN + VALIDATION])
        return RecipeData(train, validation, examples(table[TRAIN + VALIDATION :]), context=scaling)

    return load


def builder(*, every: bool) -> Callable[..., Any]:
    """Returns the builder: (batch, 4, 3) float32 in; (batch, 1) out, or for `every` day (batch, 4, 1)."""

    def build(flavour: Flavour, *, units: int = 2) -> Any:
        layers = flavour.keras.layers
        return flavour.keras.Sequential(
            [
                layers.Input((DAYS, len(CITY_COLUMNS)), name=INPUT.name),
                layers.SimpleRNN(units, return_sequences=every, name="memory"),
                layers.Dense(1, name=NEXT.name),
            ],
            name="cities_rnn",
        )

    return build


def finish(model: Any, flavour: Flavour, data: RecipeData) -> Any:
    """Puts the scaling into the model."""
    scaling: Scaling = data.context
    return in_units(
        model,
        flavour,
        scaling,
        name=INPUT.name,
        input_columns=CITY_COLUMNS,
        target_column=CITY_COLUMNS[0],
        output=NEXT.name,
    )


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Compares with today's pollution; where every day is answered, says how each does."""
    found = forecast(recipe, data, outputs, seed)
    _, targets = tested_arrays(data)
    if targets.ndim != 3:
        return found
    errors = np.mean((outputs[NEXT.name].astype(np.float64) - targets) ** 2, axis=(0, 2)).tolist()
    text = "mse " + ", ".join(f"{error:.4g}" for error in errors) + ": the first day has seen no other"
    metrics = {**found.metrics, "mse_by_day": errors}
    return replace(found, metrics=metrics, lines=(*found.lines, ("by day", text)))


def _recipe(name: str, task: str, output: Field, *, every: bool) -> Recipe:
    return Recipe(
        name=name,
        task=task,
        seed_document="004",
        data=f"{COUNT:,} generated cities of {DAYS} days",
        inputs=(INPUT,),
        outputs=(output,),
        parameters=15,
        cudnn_eligible=False,
        load=loader(every=every),
        build=builder(every=every),
        training=TRAINING,
        quick=TRAINING,
        evaluate=evaluate,
        finish=finish,
    )


RECIPES = (
    _recipe("cities-rnn", "forecast tomorrow's pollution from four days of weather", NEXT, every=False),
    _recipe("cities-rnn-daily", "forecast each next day's pollution, day by day", EVERY, every=True),
)
