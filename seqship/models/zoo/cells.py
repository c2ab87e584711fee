"""Recipes `cells`, `cells-peephole` and `cells-residual`: the cells of TensorFlow 1, as Keras has them today.

The seed document lists cell classes and wrappers of `tf.nn.rnn_cell`, all of them gone, and runs none. Here each
remembers something: the first value of a sequence, after so many steps of noise. `cells` holds those that ONNX has an
operator for, side by side. Peepholes are in tf-keras alone, and native there; for Keras 3 the same cell is written
here, and no operator is known for it. A residual wrapper around a cell within a stack is no operator in either.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from seqship.models.flavour import Flavour
from seqship.models.recipe import Evaluation, LoadOptions, Outputs, Recipe, RecipeData, Training
from seqship.models.zoo.generated import generated_alone
from seqship.pipelines.examples import ArrayExamples
from seqship.pipelines.spec import BATCH, Field

COUNT, TRAIN, VALIDATION, STEPS = 3_000, 2_000, 400, 10
UNITS = 8
INPUT = Field("values", "float32", (BATCH, STEPS, 1), unit="no unit", minimum=-1.0, maximum=1.0)
TRAINING = Training(epochs=12, batch_size=64, learning_rate=1.5e-2)
_PACKAGE = "seqship"


def load(options: LoadOptions, answers: int) -> RecipeData:
    """Makes sequences of noise; each of the answers is to be the first value."""
    generated_alone(options, "cells")
    values = np.random.default_rng([options.seed, 8]).uniform(-1, 1, (COUNT, STEPS, 1)).astype(np.float32)
    source = f"{COUNT:,} generated sequences of {STEPS} steps, seed {options.seed}"
    train, validation, test = (
        ArrayExamples({INPUT.name: part}, np.repeat(part[:, 0], answers, axis=1), source)
        for part in np.split(values, [TRAIN, TRAIN + VALIDATION])
    )
    return RecipeData(train, validation, test)


def native_cells(flavour: Flavour, units: int) -> Mapping[str, Any]:
    """Returns the cells, or stacks of them, that ONNX has operators for, by name."""
    layers = flavour.keras.layers
    return {
        "basic": layers.SimpleRNNCell(units),
        "lstm": layers.LSTMCell(units),
        "gru_reset_after": layers.GRUCell(units),
        "gru_reset_before": layers.GRUCell(units, reset_after=False),
        "stacked": [layers.GRUCell(units), layers.LSTMCell(units)],
        "dropout": layers.LSTMCell(units, dropout=0.1, recurrent_dropout=0.1),
    }


def peephole_cells(flavour: Flavour, units: int) -> Mapping[str, Any]:
    """Returns an LSTM cell without and one with peepholes: tf-keras' own, or for Keras 3 one that computes the same."""
    plain = flavour.keras.layers.LSTMCell(units)
    if flavour.version == 3:
        return {"plain": plain, "peephole": _peephole_class(flavour)(units)}
    from tf_keras.src.layers.rnn import legacy_cells

    with warnings.catch_warnings():
        # It points to the cell of today, which has no peepholes.
        warnings.filterwarnings("ignore", message=".*LSTMCell.*deprecated", category=UserWarning)
        return {"plain": plain, "peephole": legacy_cells.LSTMCell(units, use_peepholes=True)}


def residual_cells(flavour: Flavour, units: int) -> Mapping[str, Any]:
    """Returns a stack of an LSTM cell and a GRU cell, and one whose GRU cell adds its input to its output."""
    layers = flavour.keras.layers
    wrapped = _residual_class(flavour)(layers.GRUCell(units))
    return {
        "plain": [layers.LSTMCell(units), layers.GRUCell(units)],
        "residual": [layers.LSTMCell(units), wrapped],
    }


def builder(cells: Callable[[Flavour, int], Mapping[str, Any]], name: str) -> Callable[..., Any]:
    """Returns the builder: (batch, 10, 1) float32 in; (batch, cells) float32 out, one column a cell.

    The number of steps is fixed: what was trained to hold on to a value for ten steps may be chaotic over hundreds, and
    then amplifies the rounding in which runtimes differ.
    """

    def build(flavour: Flavour, *, units: int = UNITS) -> Any:
        layers = flavour.keras.layers
        values = layers.Input((STEPS, 1), name=INPUT.name)
        found = cells(flavour, units)
        heads = [layers.Dense(1, name=f"{key}_answer") for key in found]
        answers = [
            head(layers.RNN(cell, name=key)(values)) for head, (key, cell) in zip(heads, found.items(), strict=True)
        ]
        return flavour.keras.Model(values, layers.Concatenate(name="answers")(answers), name=name)

    return build


@lru_cache
def _residual_class(flavour: Flavour) -> type:
    """Returns the wrapper that adds what goes into a cell to what comes out; the states are the cell's."""
    keras: Any = flavour.keras

    @keras.saving.register_keras_serializable(package=_PACKAGE)
    class ResidualCell(keras.layers.Layer):
        def __init__(self, cell: Any, **options: Any) -> None:
            super().__init__(**options)
            self.cell = keras.saving.deserialize_keras_object(cell) if isinstance(cell, dict) else cell
            self.state_size, self.output_size = self.cell.state_size, self.cell.output_size
            self.units = self.cell.units

        def build(self, input_shape: Any) -> None:
            if not self.cell.built:  # A model that is loaded has built it.
                self.cell.build(input_shape)
            self.built = True

        def call(self, inputs: Any, states: Any, training: Any = None) -> tuple[Any, Any]:
            output, following = self.cell(inputs, states, training=training)
            return output + inputs, following

        def get_initial_state(self, *arguments: Any, **options: Any) -> Any:
            return self.cell.get_initial_state(*arguments, **options)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "cell": keras.saving.serialize_keras_object(self.cell)}

    return ResidualCell


@lru_cache
def _peephole_class(flavour: Flavour) -> type:
    """Returns an LSTM cell whose gates see the cell state (Gers, Schraudolph and Schmidhuber, 2002)."""
    keras: Any = flavour.keras

    @keras.saving.register_keras_serializable(package=_PACKAGE)
    class PeepholeCell(keras.layers.Layer):
        def __init__(self, units: int, **options: Any) -> None:
            super().__init__(**options)
            self.units, self.state_size, self.output_size = units, [units, units], units

        def build(self, input_shape: Any) -> None:
            units, glorot = self.units, "glorot_uniform"
            self.kernel = self.add_weight(shape=(input_shape[-1], 4 * units), initializer=glorot, name="kernel")
            self.recurrent = self.add_weight(shape=(units, 4 * units), initializer="orthogonal", name="recurrent")
            self.bias = self.add_weight(shape=(4 * units,), initializer="zeros", name="bias")
            self.peepholes = self.add_weight(shape=(3, units), initializer=glorot, name="peepholes")

        def call(self, inputs: Any, states: Any, training: Any = None) -> tuple[Any, list[Any]]:  # noqa: ARG002
            ops: Any = keras.ops
            hidden, memory = states
            mixed = ops.matmul(inputs, self.kernel) + ops.matmul(hidden, self.recurrent) + self.bias
            i, f, c, o = ops.split(mixed, 4, axis=-1)
            # Forgetting begins at sigmoid(1), as in tf-keras' cell (Gers, Schmidhuber and Cummins, 2000).
            kept = ops.sigmoid(f + 1 + self.peepholes[1] * memory) * memory
            memory = kept + ops.sigmoid(i + self.peepholes[0] * memory) * ops.tanh(c)
            hidden = ops.sigmoid(o + self.peepholes[2] * memory) * ops.tanh(memory)
            return hidden, [hidden, memory]

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    return PeepholeCell


def evaluator(names: tuple[str, ...]) -> Callable[[Recipe, RecipeData, Outputs, int], Evaluation]:
    """Returns what says how well each cell remembers, against the mean of the training targets."""

    def evaluate(recipe: Recipe, data: RecipeData, outputs: Outputs, seed: int) -> Evaluation:  # noqa: ARG001
        train: Any = data.train
        test: Any = data.test
        errors = np.asarray(outputs["answers"], np.float64) - test.targets
        mean = float(np.mean((train.targets.mean(axis=0) - test.targets) ** 2))
        by_cell = dict(zip(names, np.mean(errors**2, axis=0).tolist(), strict=True))
        words = ", ".join(f"{name} {mse:.2g}" for name, mse in by_cell.items())
        failed = [name for name, mse in by_cell.items() if mse >= mean]
        better = f"NOT beaten by {', '.join(failed)}" if failed else "beaten by every cell"
        lines = (
            ("recall", f"mse of the first of {STEPS} values: {words}"),
            ("mean", f"mse {mean:.2g}: {better}"),
        )
        metrics = {"mse": by_cell, "mean_mse": mean, "beats_mean": not failed, "test_rows": len(test)}
        return Evaluation({"test_mse": float(np.mean(errors**2)), **metrics}, lines)

    return evaluate


def _recipe(
    name: str,
    task: str,
    cells: Callable[[Flavour, int], Mapping[str, Any]],
    names: tuple[str, ...],
    parameters: int,
    loops: str = "",
) -> Recipe:
    def load_answers(options: LoadOptions) -> RecipeData:
        return load(options, len(names))

    return Recipe(
        name=name,
        task=task,
        seed_document="003",
        data=f"{COUNT:,} generated sequences of {STEPS} values",
        inputs=(INPUT,),
        outputs=(Field("answers", "float32", (BATCH, len(names)), unit=f"as the input; by {', '.join(names)}"),),
        parameters=parameters,
        cudnn_eligible=False,
        load=load_answers,
        build=builder(cells, name.replace("-", "_")),
        training=TRAINING,
        quick=TRAINING,
        evaluate=evaluator(names),
        loops=loops,
    )


RECIPES = (
    _recipe(
        "cells",
        "recall the first value with each cell that ONNX has an operator for",
        native_cells,
        ("basic", "lstm", "gru_reset_after", "gru_reset_before", "stacked", "dropout"),
        2_086,
    ),
    _recipe(
        "cells-peephole",
        "recall the first value with an LSTM cell without and with peepholes",
        peephole_cells,
        ("plain", "peephole"),
        682,
        loops="Keras 3 has no cell with peepholes, and what a cell of one's own computes is not known; tf-keras' cell "
        "becomes one LSTM",
    ),
    _recipe(
        "cells-residual",
        "recall the first value with a stack of cells, without and with a residual wrapper",
        residual_cells,
        ("plain", "residual"),
        1_522,
        loops="what a wrapper of one's own does within a stack of cells is not known; as an Add around an RNN layer of "
        "its own it needs no Loop",
    ),
)
