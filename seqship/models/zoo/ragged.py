"""Recipe `ragged-padding`: cities with unequal numbers of days, padded behind the data and masked.

The seed document's rules: pad with a value that cannot occur, pad behind the data, and mask it. Zero would not do: a
deviation of zero is real weather. That padding then changes nothing is measured on every test sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.flavour import Flavour
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training, histogram
from seqship.models.zoo.generated import generated_alone
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, TIME, Field
from seqship.pipelines.synthetic_cities import CITY_COLUMNS, CITY_DEVIATIONS, CITY_MEANS, synthetic_cities

PAD_VALUE = -1_000.0
COUNT, TRAIN, VALIDATION = 3_000, 2_100, 300
SHORTEST, LONGEST = 2, 9
MORE = 7
"""Steps of padding that are appended to every test sequence, beyond what its batch needs."""
INPUT = Field(
    "days",
    "float32",
    (BATCH, TIME, len(CITY_COLUMNS)),
    unit="pollution, temperature, wind: deviations from what is usual; one a day",
    pad_value=PAD_VALUE,
)
OUTPUT = Field("next_pollution", "float32", (BATCH, 1), unit="deviation from the usual pollution")
TRAINING = Training(epochs=30, batch_size=32, learning_rate=1e-2, optimizer="rmsprop")


@dataclass(frozen=True, eq=False)
class PaddedTwice(ArrayExamples):
    """Padded sequences that a model is to answer twice: as they are, then with more padding appended."""

    def __len__(self) -> int:
        return 2 * len(self.targets)

    def feeds(self, batch_size: int) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
        """Yields the sequences, and once more with `MORE` steps behind each; their rows count on."""
        (padded,) = self.inputs.values()
        tail = np.full((len(padded), MORE, padded.shape[2]), PAD_VALUE, padded.dtype)
        for first, array in ((0, padded), (len(padded), np.concatenate([padded, tail], axis=1))):
            for start in range(0, len(array), batch_size):
                part = array[start : start + batch_size]
                yield first + start + np.arange(len(part)), {INPUT.name: part}


def load(options: LoadOptions) -> RecipeData:
    """Makes cities of 2 to 9 days, in deviations from what is usual, padded to the longest."""
    generated_alone(options, "ragged")
    table = synthetic_cities(COUNT, LONGEST + 1, seed=options.seed)
    values = ((table - CITY_MEANS) / CITY_DEVIATIONS).astype(np.float32)
    lengths = np.random.default_rng([options.seed, 1_000]).integers(SHORTEST, LONGEST + 1, COUNT)
    targets = values[np.arange(COUNT), lengths, :1]
    padded = np.where(np.arange(LONGEST)[None, :, None] < lengths[:, None, None], values[:, :LONGEST], PAD_VALUE)
    source = f"{COUNT:,} generated cities of {SHORTEST} to {LONGEST} days, seed {options.seed}"
    parts = np.split(np.arange(COUNT), [TRAIN, TRAIN + VALIDATION])
    train, validation = (
        ArrayExamples({INPUT.name: padded[rows].astype(np.float32)}, targets[rows], source) for rows in parts[:2]
    )
    test = PaddedTwice({INPUT.name: padded[parts[2]].astype(np.float32)}, targets[parts[2]], source)
    return RecipeData(train, validation, test)


def build(flavour: Flavour, *, units: int = 2, dense: int = 10) -> Any:
    """Returns the untrained model: (batch, time, 3) float32 in, (batch, 1) float32 out."""
    layers = flavour.keras.layers
    return flavour.keras.Sequential(
        [
            layers.Input((None, len(CITY_COLUMNS)), name=INPUT.name),
            layers.Masking(PAD_VALUE, name="masking"),
            layers.SimpleRNN(units, name="memory"),
            layers.Dense(dense, activation="relu", name="dense"),
            layers.Dense(1, name=OUTPUT.name),
        ],
        name="ragged_padding",
    )


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
    """Compares with today's pollution, and what is said of a sequence with what is said of it with more padding."""
    test: Any = data.test
    wanted = test.targets.astype(np.float64)[:, 0]
    first, second = np.split(np.asarray(outputs[OUTPUT.name], np.float64)[:, 0], 2)
    padded: NDArray[Any] = test.inputs[INPUT.name]
    lengths = np.sum((padded != PAD_VALUE).any(axis=2), axis=1)
    last = padded[np.arange(len(padded)), lengths - 1, 0].astype(np.float64)
    mse, naive = float(np.mean((first - wanted) ** 2)), float(np.mean((last - wanted) ** 2))
    change = float(np.max(np.abs(first - second)))
    better = "beats" if mse < naive else "does NOT beat"
    short = lengths <= np.median(lengths)
    parts = [float(np.mean((first - wanted)[rows] ** 2)) for rows in (short, ~short)]
    lines = (
        (
            "forecast",
            f"mse {mse:.4g} on {len(wanted):,} test sequences; shorter ones {parts[0]:.4g}, longer {parts[1]:.4g}",
        ),
        ("naive", f"mse {naive:.4g}: the forecast {better} the last value"),
        ("padding", f"{MORE} more steps of {PAD_VALUE:g} change the answers by at most {change:.2g}"),
    )
    metrics = {"test_mse": mse, "naive_mse": naive, "beats_naive": mse < naive, "padding_change": change}
    figures = (histogram(first - wanted, title="Errors", x_label=OUTPUT.unit),)
    return Evaluation({**metrics, "test_rows": len(wanted)}, lines, figures=figures)


RAGGED = Recipe(
    name="ragged-padding",
    task="forecast tomorrow's pollution from as many days as there are",
    seed_document="004",
    data=f"{COUNT:,} generated cities of {SHORTEST} to {LONGEST} days",
    inputs=(INPUT,),
    outputs=(OUTPUT,),
    parameters=53,
    cudnn_eligible=False,
    load=load,
    build=build,
    training=TRAINING,
    quick=TRAINING,
    evaluate=evaluate,
)

RECIPES = (RAGGED,)
