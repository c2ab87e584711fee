"""Recipes `bidirectional`, `bidirectional-custom` and `stacked-mixed`: what went before, less what is to come.

The seed document shows the three stacks and their parameter counts, and gives them nothing to learn. Here five
mixtures of ten signals are summed over the steps before a step, and over those behind it; the target is the difference.
At each step only a net that reads both ways can know it. In the document, the backward layer with relu has no bound:
its states grow with the sequence, and training needs its gradients clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.models.cudnn import gate_options
from seqship.models.flavour import Flavour
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training, histogram
from seqship.models.zoo.generated import generated_alone
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, Field

STEPS, SIGNALS, MIXTURES = 5, 10, 5
COUNT, TRAIN, VALIDATION = 5_000, 3_500, 500
UNITS = 10
INPUT = Field("signals", "float32", (BATCH, STEPS, SIGNALS), unit="no unit, mean 0 and deviation 1")
MIDDLE = Field("balance", "float32", (BATCH, MIXTURES), unit="no unit: before less behind, at the middle step")
EVERY = replace(MIDDLE, shape=(BATCH, STEPS, MIXTURES), unit="no unit: before less behind, at each step")
TRAINING = Training(epochs=15, batch_size=128, learning_rate=1.5e-2)


def balance(signals: NDArray[np.float64], mixing: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns what went before each step and what is behind it, both (n, steps, mixtures), without the step itself.

    Args:
        signals: (n, steps, signals).
        mixing: Weights of the mixtures, (signals, mixtures).
    """
    mixed = signals @ mixing
    before = np.cumsum(mixed, axis=1) - mixed
    return before, mixed.sum(axis=1, keepdims=True) - before - mixed


def loader(*, every: bool) -> Callable[[LoadOptions], RecipeData]:
    """Returns what makes the data, with targets at every step or at the middle one; the context is its causal error."""

    def load(options: LoadOptions) -> RecipeData:
        generated_alone(options, "bidirectional")
        generator = np.random.default_rng([options.seed, 510])
        mixing = generator.normal(0, 1 / np.sqrt(SIGNALS * (STEPS - 1)), (SIGNALS, MIXTURES))
        signals = generator.normal(0, 1, (COUNT, STEPS, SIGNALS))
        before, behind = balance(signals, mixing)
        targets = before - behind if every else (before - behind)[:, STEPS // 2]
        source = f"{COUNT:,} generated sequences of {STEPS} steps, seed {options.seed}"
        parts = np.split(np.arange(COUNT), [TRAIN, TRAIN + VALIDATION])
        train, validation, test = (
            ArrayExamples({INPUT.name: signals[rows].astype(np.float32)}, targets[rows].astype(np.float32), source)
            for rows in parts
        )
        # Who has not seen what is behind can at best say its mean, zero.
        causal = float(np.mean(behind[parts[2]] ** 2)) if every else None
        return RecipeData(train, validation, test, context=causal)

    return load


def build_bidirectional(flavour: Flavour, *, units: int = UNITS, cudnn: bool = True) -> Any:
    """Returns two bidirectional layers: (batch, 5, 10) float32 in, (batch, 5) float32 out."""
    layers = flavour.keras.layers
    gates = gate_options(cudnn=cudnn)
    inner = (
        layers.LSTM(units, return_sequences=True, name="lstm_1", **gates),
        layers.LSTM(units, name="lstm_2", **gates),
    )
    return flavour.keras.Sequential(
        [
            layers.Input((STEPS, SIGNALS), name=INPUT.name),
            *(layers.Bidirectional(layer, name=f"both_ways_{i}") for i, layer in enumerate(inner, start=1)),
            layers.Dense(MIXTURES, name=MIDDLE.name),
        ],
        name="bidirectional",
    )


def build_custom(flavour: Flavour, *, units: int = UNITS) -> Any:
    """Returns an LSTM forward and one with relu backward: (batch, 5, 10) float32 in, (batch, 5, 5) float32 out."""
    layers = flavour.keras.layers
    forward = layers.LSTM(units, return_sequences=True, name="forward")
    backward = layers.LSTM(units, activation="relu", return_sequences=True, go_backwards=True, name="backward")
    return flavour.keras.Sequential(
        [
            layers.Input((STEPS, SIGNALS), name=INPUT.name),
            layers.Bidirectional(forward, backward_layer=backward, name="both_ways"),
            layers.Dense(MIXTURES, name=EVERY.name),
        ],
        name="bidirectional_custom",
    )


def build_mixed(flavour: Flavour, *, units: int = 16) -> Any:
    """Returns a GRU, an LSTM and a SimpleRNN: (batch, 5, 10) float32 in, (batch, 5) float32 out."""
    layers = flavour.keras.layers
    return flavour.keras.Sequential(
        [
            layers.Input((STEPS, SIGNALS), name=INPUT.name),
            layers.GRU(units, return_sequences=True, name="gru"),
            layers.LSTM(units, return_sequences=True, name="lstm"),
            layers.SimpleRNN(units, name="simple_rnn"),
            layers.Dense(MIXTURES, name=MIDDLE.name),
        ],
        name="stacked_mixed",
    )


def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
    """Compares with the mean of the training targets, and at every step with the best that the past alone allows."""
    train: Any = data.train
    test: Any = data.test
    wanted = test.targets.astype(np.float64)
    errors = np.asarray(outputs[recipe.outputs[0].name], np.float64) - wanted
    mse = float(np.mean(errors**2))
    mean = float(np.mean((train.targets.mean(axis=0) - wanted) ** 2))
    metrics: dict[str, Any] = {"test_mse": mse, "mean_mse": mean, "test_rows": len(test), "beats_mean": mse < mean}
    lines = [
        ("error", f"mse {mse:.4g} on {len(test):,} test sequences"),
        ("mean", f"mse {mean:.4g}: the model {'beats' if mse < mean else 'does NOT beat'} the training mean"),
    ]
    if data.context is not None:
        causal: float = data.context
        metrics |= {"causal_mse": causal, "beats_causal": mse < causal}
        verb = "beats" if mse < causal else "does NOT beat"
        lines.append(("one way", f"mse {causal:.4g} at best, from the past alone: the model {verb} it"))
    figures = (histogram(errors, title="Errors", x_label="error"),)
    return Evaluation(metrics, tuple(lines), figures=figures)


def _recipe(name: str, task: str, build: Callable[..., Any], parameters: int, *, every: bool, cudnn: bool) -> Recipe:
    return Recipe(
        name=name,
        task=task,
        seed_document="002",
        data=f"{COUNT:,} generated sequences of {STEPS} steps and {SIGNALS} signals",
        inputs=(INPUT,),
        outputs=(EVERY if every else MIDDLE,),
        parameters=parameters,
        cudnn_eligible=cudnn,
        load=loader(every=every),
        build=build,
        training=TRAINING,
        quick=TRAINING,
        evaluate=evaluate,
    )


RECIPES = (
    _recipe(
        "bidirectional",
        "weigh what is before the middle step against what is behind it, with bidirectional LSTM layers",
        build_bidirectional,
        4_265,
        every=False,
        cudnn=True,
    ),
    _recipe(
        "bidirectional-custom",
        "the same at every step, with a backward layer of its own",
        build_custom,
        1_785,
        every=True,
        cudnn=False,
    ),
    _recipe(
        "stacked-mixed",
        "the same at the middle step, with a GRU, an LSTM and a SimpleRNN on top of each other",
        build_mixed,
        4_069,
        every=False,
        cudnn=False,
    ),
)
