"""Recipes `salary-rnn` and `salary-lstm`: next year's salary from ten years of employment.

As in the seed document, the normalisation is a layer of the model, so that who serves it sends salaries as they are.
Its statistics come from the training employees. The document compares its baseline over all employees with its models
over the test employees; here both are over the test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.forecasting import forecast
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.models.zoo.generated import generated_alone
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, Field

COUNT, TRAIN, VALIDATION, YEARS = 4_000, 2_560, 640, 10
FEATURES = ("salary", "reports", "company_size")
MEANS, VARIANCES = (3.5, 1.6, 450.0), (1.9, 6.6, 430_000.0)
"""About what the generated employees have; a recipe's data gives its own."""
UNITS = 20
INPUT = Field(
    "years", "float32", (BATCH, YEARS, 3), unit="salary (thousand euros a month), reports, company size; one a year"
)
OUTPUT = Field("next_salary", "float32", (BATCH, 1), unit="thousand euros a month")
TRAINING = Training(epochs=50, batch_size=32, learning_rate=5e-3, optimizer="rmsprop", metrics=("mae",), patience=8)


def employees(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns made-up employees: (count, 10, 3) float32 in the order of `FEATURES`, and (count, 1) next salaries.

    Salaries grow by a talent that shows in past raises, and jump the year after one is given people to lead; larger
    companies raise more.
    """
    generator = np.random.default_rng([seed, 10])
    table = np.empty((count, YEARS + 1, len(FEATURES)))
    salary = np.exp(generator.normal(0.95, 0.25, count))
    talent = np.clip(generator.normal(0.045, 0.03, count), 0, None)
    size = np.exp(generator.normal(5.5, 1.0, count))
    reports, promoted = np.zeros(count), np.zeros(count, bool)
    for year in range(YEARS + 1):
        if year:
            raised = talent + 0.12 * promoted + 0.008 * np.log(size / 245) + generator.normal(0, 0.025, count)
            salary = salary * (1 + raised)
            promoted = generator.random(count) < 0.04 + 1.6 * talent
            reports = reports + promoted * generator.integers(1, 6, count)
            size = size * np.exp(generator.normal(0.02, 0.08, count))
        table[:, year] = np.stack([salary, reports, size.round()], axis=1)
    return table[:, :YEARS].astype(np.float32), table[:, YEARS, :1].astype(np.float32)


def load(options: LoadOptions) -> RecipeData:
    """Makes employees; the model is to be built with the statistics of those it is trained on."""
    generated_alone(options, "salary")
    years, salaries = employees(COUNT, options.seed)
    source = f"{COUNT:,} generated employees of {YEARS} years, seed {options.seed}"
    parts = np.split(np.arange(COUNT), [TRAIN, TRAIN + VALIDATION])
    train, validation, test = (ArrayExamples({INPUT.name: years[rows]}, salaries[rows], source) for rows in parts)
    known = years[:TRAIN].astype(np.float64)
    statistics = {"mean": known.mean(axis=(0, 1)).tolist(), "variance": known.var(axis=(0, 1)).tolist()}
    return RecipeData(train, validation, test, options=statistics)


def builder(kind: str) -> Callable[..., Any]:
    """Returns the builder of one kind of layer: (batch, 10, 3) float32 in, (batch, 1) float32 out."""

    def build(
        flavour: Flavour,
        *,
        units: int = UNITS,
        mean: Sequence[float] = MEANS,
        variance: Sequence[float] = VARIANCES,
        cudnn: bool = True,
    ) -> Any:
        layers = flavour.keras.layers
        gates = {} if kind == "SimpleRNN" else gate_options(cudnn=cudnn)
        return flavour.keras.Sequential(
            [
                layers.Input((YEARS, len(FEATURES)), name=INPUT.name),
                layers.Normalization(mean=list(mean), variance=list(variance), name="normalization"),
                getattr(layers, kind)(units, name="memory", **gates),
                layers.Dense(10, activation="relu", name="dense"),
                layers.Dense(1, name=OUTPUT.name),
            ],
            name=f"salary_{kind.lower()}",
        )

    return build


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:
    """Compares the mean absolute error with that of the last salary."""
    found = forecast(recipe, data, outputs, seed)
    mae, naive = found.metrics["test_mae"], found.metrics["naive_mae"]
    better = bool(mae < naive)
    text = f"mae {mae:.3f}; the last salary: {naive:.3f}; the model {'beats' if better else 'does NOT beat'} it"
    metrics = {**found.metrics, "beats_last_salary": better}
    return replace(found, metrics=metrics, lines=(("salary", f"{text} ({OUTPUT.unit})"), *found.lines))


def _recipe(kind: str, short: str, parameters: int, *, cudnn: bool) -> Recipe:
    return Recipe(
        name=f"salary-{short}",
        task=f"forecast next year's salary, with a {kind} layer",
        seed_document="004",
        data=f"{COUNT:,} generated employees of {YEARS} years",
        inputs=(INPUT,),
        outputs=(OUTPUT,),
        parameters=parameters,
        cudnn_eligible=cudnn,
        load=load,
        build=builder(kind),
        training=TRAINING,
        quick=replace(TRAINING, epochs=30),
        evaluate=evaluate,
    )


RECIPES = (_recipe("SimpleRNN", "rnn", 701, cudnn=False), _recipe("LSTM", "lstm", 2_141, cudnn=True))
