"""The right models that wrong exports are made of: small, and between them with all that can be got wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seqship.export.falsification.right_export import RightExport, export_right
from seqship.export.falsification.weights import draw_weights
from seqship.models.flavour import Version, load_flavour
from seqship.pipelines.text_vectorizer import TextVectorizer

FEATURES = 6
PAD = -1.0

WORDS = ("the", "a", "good", "bad", "film", "ç", "plot", "actor", "scene", "music", "ending", "dull", "fine", "long")
"""Most of those that the cases of raw text draw from (`cases.make_feed`)."""


@dataclass(frozen=True)
class Subject:
    """A right model.

    Attributes:
        name: Its name.
        keras: 2 for tf-keras, 3 for Keras 3.
        build: Builds it, given the package.
        vocabulary: Words of a text model, those for padding and unknown words left out.
        int8: Whether it is exported with int8 weights, too.
    """

    name: str
    keras: Version
    build: Callable[[Any], Any]
    vocabulary: tuple[str, ...] = ()
    int8: bool = False

    def export(self, folder: Path, *, seed: int = 0) -> RightExport:
        """Builds the model with weights of a usual size, exports it, and records its cases.

        Args:
            folder: Directory for the exports.
            seed: Seed of the weights and of the cases.
        """
        model = self.build(load_flavour(self.keras).keras)
        draw_weights(model, np.random.default_rng([seed, *self.name.encode()]))
        vectorizer = TextVectorizer(("", "[UNK]", *self.vocabulary)) if self.vocabulary else None
        return export_right(model, folder, vectorizer=vectorizer, int8=self.int8, seed=seed)


def _masked(k: Any, *layers: Any) -> Any:
    return k.Sequential([k.layers.Input((None, FEATURES), name="signal"), k.layers.Masking(PAD), *layers])


def _gru(k: Any) -> Any:
    return _masked(k, k.layers.GRU(16), k.layers.Dense(5, activation="softmax", name="scores"))


def _lstm(k: Any) -> Any:
    n = k.layers
    return _masked(k, n.LSTM(16, return_sequences=True), n.LSTM(12), n.Dense(5, activation="softmax", name="scores"))


def _series(k: Any) -> Any:
    n = k.layers
    source = n.Input((None, FEATURES), name="signal")
    layers = [n.SimpleRNN(14, return_sequences=True), n.SimpleRNN(10, return_sequences=True), n.Dense(3, name="next")]
    return k.Sequential([source, *layers])


def _steps(k: Any) -> Any:
    n = k.layers
    return _masked(k, n.GRU(12, return_sequences=True, name="steps"), n.Dense(4, activation="softmax", name="scores"))


def _sequence(k: Any) -> Any:
    n = k.layers
    return _masked(k, n.Bidirectional(n.LSTM(7, return_sequences=True), merge_mode="concat", name="sequence"))


def _bidirectional(k: Any) -> Any:
    n = k.layers
    both = n.Bidirectional(n.GRU(10, return_sequences=True), merge_mode="concat", name="both")
    summed = n.Bidirectional(n.LSTM(8), merge_mode="sum", name="summed")
    return _masked(k, both, summed, n.Dense(4, name="scores"))


def _backwards(k: Any) -> Any:
    n = k.layers
    return _masked(k, n.LSTM(12, go_backwards=True, return_sequences=True), n.Dense(3, name="scores"))


def _hard_sigmoid(k: Any) -> Any:
    n = k.layers
    first = n.LSTM(12, recurrent_activation="hard_sigmoid", return_sequences=True)
    second = n.GRU(10, recurrent_activation="hard_sigmoid", reset_after=False)
    return _masked(k, first, second, n.Dense(4, name="scores"))


def _stateful(k: Any) -> Any:
    n = k.layers
    source = n.Input(batch_shape=(4, None, FEATURES), name="signal")
    return k.Sequential([source, n.LSTM(12, stateful=True, return_sequences=True, name="memory"), n.Dense(3)])


def _text(k: Any) -> Any:
    n = k.layers
    tokens = n.Input((None,), dtype="int32", name="tokens")
    embedding = n.Embedding(len(WORDS) + 2, 8, mask_zero=True, name="embedding")
    return k.Sequential([tokens, embedding, n.GRU(12), n.Dense(1, activation="sigmoid", name="score")])


def _quantized(k: Any) -> Any:
    n = k.layers
    # The table and the wide matrix have the weights that int8 asks for: `quantization.LEAST_WEIGHTS`.
    return k.Sequential(
        [
            n.Input((None,), dtype="int32", name="tokens"),
            n.Embedding(64, 16, mask_zero=True, name="table"),
            n.LSTM(12, return_sequences=True, name="reading"),
            n.LSTM(16, name="summary"),
            n.Dense(64, activation="relu", name="wide"),
            n.Dense(3, activation="softmax", name="scores"),
        ]
    )


def _normalized(k: Any) -> Any:
    n = k.layers
    mean, variance = [0.4, -0.3, 0.2, 1.0, -0.8, 0.1], [0.5, 2.0, 1.5, 0.7, 3.0, 1.2]
    return k.Sequential(
        [
            n.Input((None, FEATURES), name="signal"),
            n.Normalization(mean=mean, variance=variance, name="scaling"),
            n.LayerNormalization(name="layer_norm"),
            n.GRU(12, name="memory"),
            n.BatchNormalization(name="batch_norm"),
            n.Dropout(0.3, name="dropout"),
            n.Dense(3, name="scores"),
        ]
    )


def _heads(k: Any) -> Any:
    n = k.layers
    source = n.Input((None, FEATURES), name="signal")
    both = n.LSTM(12)(n.Masking(PAD)(source))
    return k.Model(source, [n.Dense(3, name="first")(both), n.Dense(3, name="second")(both)])


SUBJECTS: tuple[Subject, ...] = (
    Subject("tf-keras-gru", 2, _gru),
    Subject("tf-keras-hard-sigmoid", 2, _hard_sigmoid),
    Subject("hard-sigmoid", 3, _hard_sigmoid),
    Subject("lstm", 3, _lstm),
    Subject("series", 3, _series),
    Subject("steps", 3, _steps),
    Subject("sequence", 3, _sequence),
    Subject("bidirectional", 3, _bidirectional),
    Subject("backwards", 3, _backwards),
    Subject("stateful", 3, _stateful),
    Subject("text", 3, _text, WORDS),
    Subject("quantized", 3, _quantized, int8=True),
    Subject("normalized", 3, _normalized),
    Subject("heads", 3, _heads),
)
