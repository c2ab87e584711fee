"""The architectures that are measured, with the length that each is called with.

They are the recipes' own, untrained: weights come from a seed, for they do not change the time. Which of them stock
tf2onnx turns into a Loop is counted in the file it writes, and stands in the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Version = Literal[2, 3]
SEED = 0
WORDS, TOKENS = 20_000, 200


@dataclass(frozen=True)
class Architecture:
    """One model and what it is fed with.

    Attributes:
        name: Name of the recipe.
        build: Takes the package, `tf_keras` or `keras`, and returns the untrained model.
        shape: Steps of a typical batch, and features; no features where the input is token ids.
        flavours: The Kerases it is measured in.
        pad: What fills the steps behind the data; None where nothing is masked.
        slow_in_tensorflow: Whether it is of the kind that is to be ten times as fast: masked, GRU or SimpleRNN.
    """

    name: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...]
    flavours: tuple[Version, ...] = (2,)
    pad: float | None = None
    slow_in_tensorflow: bool = True

    @property
    def steps(self) -> int:
        """Length of every batch."""
        return self.shape[0]

    def inputs(self, batch: int) -> NDArray[Any]:
        """Returns one batch; where there is a mask, rows end within their second half, but for the first."""
        generator = np.random.default_rng([SEED, batch])
        if len(self.shape) == 1:
            values: NDArray[Any] = generator.integers(1, WORDS, (batch, *self.shape), np.int32)
        else:
            values = generator.random((batch, *self.shape), np.float32)
        if self.pad is not None:
            lengths = generator.integers(self.steps // 2, self.steps + 1, batch)
            lengths[0] = self.steps
            values[np.arange(self.steps) >= lengths[:, None]] = self.pad
        return values


def build(architecture: Architecture, version: Version) -> Any:
    """Returns the model in one Keras, its weights always the same."""
    from seqship.models.flavour import load_flavour

    keras = load_flavour(version).keras
    keras.utils.set_random_seed(SEED)
    return architecture.build(keras)


def ecg_gru(keras: Any) -> Any:
    """Heartbeats; 111 samples is the median length of real ones."""
    make = keras.layers
    return keras.Sequential(
        [
            make.Input((None, 1)),
            make.Masking(-1.0),
            make.GRU(20, return_sequences=True),
            make.GRU(20),
            make.Dense(50, activation="relu"),
            make.Dropout(0.2),
            make.Dense(5, activation="softmax"),
        ]
    )


def imdb_lstm(keras: Any) -> Any:
    """Reviews, token by token."""
    make = keras.layers
    return _imdb(keras, make.LSTM(256, return_sequences=True), make.LSTM(64))


def imdb_bilstm(keras: Any) -> Any:
    """Reviews, read in both directions."""
    make = keras.layers
    return _imdb(keras, make.Bidirectional(make.LSTM(256, return_sequences=True)), make.Bidirectional(make.LSTM(64)))


def _imdb(keras: Any, *recurrent: Any) -> Any:
    make = keras.layers
    embedding = make.Embedding(WORDS, 128, mask_zero=True)
    return keras.Sequential(
        [make.Input((None,), dtype="int32"), embedding, *recurrent, make.Dense(1, activation="sigmoid")]
    )


def mnist_rows(keras: Any) -> Any:
    """Images, row by row."""
    make = keras.layers
    return keras.Sequential(
        [make.Input((28, 28)), make.SimpleRNN(16, activation="relu"), make.Dense(10, activation="softmax")]
    )


def sine_rnn(keras: Any) -> Any:
    """A window of four samples, fed as one step."""
    make = keras.layers
    head = [make.Dense(8, activation="relu"), make.Dense(1)]
    return keras.Sequential([make.Input((1, 4)), make.SimpleRNN(32, activation="relu"), *head])


def series_deep_rnn(keras: Any) -> Any:
    """Fifty steps of a series; the next one."""
    make = keras.layers
    return _series(keras, make.SimpleRNN, make.Dense(1))


def series_lstm(keras: Any) -> Any:
    """Fifty steps of a series; the next ten."""
    make = keras.layers
    return _series(keras, make.LSTM, make.Dense(10))


def series_gru(keras: Any) -> Any:
    """The twin of `series_lstm`."""
    make = keras.layers
    return _series(keras, make.GRU, make.Dense(10))


def _series(keras: Any, layer: Any, head: Any) -> Any:
    return keras.Sequential([keras.layers.Input((None, 1)), layer(20, return_sequences=True), layer(20), head])


def airline_lstm(keras: Any) -> Any:
    """The next month of a series from the last: one step."""
    make = keras.layers
    return keras.Sequential([make.Input((1, 1)), make.LSTM(64), make.Dense(1)])


def bidirectional(keras: Any) -> Any:
    """Two layers that read in both directions."""
    make = keras.layers
    both = [make.Bidirectional(make.LSTM(10, return_sequences=True)), make.Bidirectional(make.LSTM(10))]
    return keras.Sequential([make.Input((5, 10)), *both, make.Dense(5)])


def bidirectional_custom(keras: Any) -> Any:
    """Directions of unequal activations."""
    make = keras.layers
    backward = make.LSTM(10, activation="relu", go_backwards=True)
    both = make.Bidirectional(make.LSTM(10), backward_layer=backward)
    return keras.Sequential([make.Input((5, 10)), both, make.Dense(5)])


def stacked_mixed(keras: Any) -> Any:
    """One layer of each kind."""
    make = keras.layers
    stack = [make.GRU(10, return_sequences=True), make.LSTM(10, return_sequences=True), make.SimpleRNN(10)]
    return keras.Sequential([make.Input((5, 10)), *stack, make.Dense(5)])


def salary_lstm(keras: Any) -> Any:
    """Ten years of three figures, scaled within the model."""
    make = keras.layers
    scale = make.Normalization(mean=[0.5, 0.4, 0.6], variance=[0.1, 0.2, 0.1])
    return keras.Sequential([make.Input((10, 3)), scale, make.LSTM(20), make.Dense(10), make.Dense(1)])


def cells(keras: Any) -> Any:
    """Cells of two kinds, stacked within one layer."""
    make = keras.layers
    stacked = make.RNN([make.LSTMCell(20), make.GRUCell(20)])
    return keras.Sequential([make.Input((None, 1)), stacked, make.Dense(10)])


BOTH: tuple[Version, ...] = (2, 3)

ARCHITECTURES = (
    Architecture("ecg-gru", ecg_gru, (111, 1), BOTH, pad=-1),
    Architecture("imdb-lstm", imdb_lstm, (TOKENS,), pad=0),
    Architecture("imdb-bilstm", imdb_bilstm, (TOKENS,), BOTH, pad=0),
    Architecture("mnist-rows", mnist_rows, (28, 28), BOTH),
    Architecture("sine-rnn", sine_rnn, (1, 4)),
    Architecture("series-deep-rnn", series_deep_rnn, (50, 1)),
    Architecture("series-lstm", series_lstm, (50, 1), slow_in_tensorflow=False),
    Architecture("series-gru", series_gru, (50, 1), BOTH),
    Architecture("airline-lstm", airline_lstm, (1, 1), slow_in_tensorflow=False),
    Architecture("bidirectional", bidirectional, (5, 10), slow_in_tensorflow=False),
    Architecture("bidirectional-custom", bidirectional_custom, (5, 10), slow_in_tensorflow=False),
    Architecture("stacked-mixed", stacked_mixed, (5, 10)),
    Architecture("salary-lstm", salary_lstm, (10, 3), slow_in_tensorflow=False),
    Architecture("cells", cells, (50, 1)),
)


def by_name(name: str) -> Architecture:
    """Returns the architecture of a recipe.

    Raises:
        KeyError: There is none of that name.
    """
    return {architecture.name: architecture for architecture in ARCHITECTURES}[name]
