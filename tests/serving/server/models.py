"""The models that the tests of the server ship."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seqship.models.flavour import load_flavour
from seqship.pipelines.text_vectorizer import TextVectorizer

WORDS = ("", "[UNK]", "the", "film", "good", "bad", "ça")


def weighted(model: Any) -> Any:
    random = np.random.default_rng(7)
    model.set_weights([random.normal(0, 0.6, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


def classifier() -> Any:
    layers = load_flavour(3).keras.layers
    return [
        layers.Input((None, 2), name="signal"),
        layers.Masking(-1.0),
        layers.Bidirectional(layers.GRU(4)),
        layers.Dense(3, activation="softmax", name="scores"),
    ]


def stepwise() -> Any:
    layers = load_flavour(3).keras.layers
    return [
        layers.Input((None, 2), name="signal"),
        layers.Masking(-1.0),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.Dense(2, name="steps"),
    ]


def unmasked() -> Any:
    layers = load_flavour(3).keras.layers
    return [layers.Input((None, 2), name="signal"), layers.GRU(3), layers.Dense(1, name="value")]


def texts() -> Any:
    layers = load_flavour(3).keras.layers
    return [
        layers.Input((None,), dtype="int32", name="tokens"),
        layers.Embedding(len(WORDS), 3, mask_zero=True),
        layers.LSTM(4),
        layers.Dense(1, activation="sigmoid", name="score"),
    ]


def stateful() -> Any:
    layers = load_flavour(3).keras.layers
    return [layers.Input(batch_shape=(1, None, 2), name="signal"), layers.LSTM(3, stateful=True, name="memory")]


def two_inputs() -> Any:
    """Token ids and which of them count; two outputs, one of each step."""
    keras = load_flavour(3).keras
    layers = keras.layers
    tokens = layers.Input((None,), dtype="int32", name="tokens")
    valid = layers.Input((None,), dtype="bool", name="valid")
    steps = layers.GRU(3, return_sequences=True, name="steps")(layers.Embedding(9, 2)(tokens), mask=valid)
    return keras.Model([tokens, valid], {"steps": steps, "last": layers.LSTM(2, name="last")(steps)})


MODELS: Mapping[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "classifier": (classifier, {"classes": ["calm", "fast", "slow"]}),
    "stepwise": (stepwise, {}),
    "unmasked": (unmasked, {}),
    "texts": (texts, {"classes": ["negative", "positive"], "vectorizer": TextVectorizer(WORDS, 6)}),
    "stateful": (stateful, {}),
    "two_inputs": (two_inputs, {}),
}
