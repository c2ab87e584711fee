"""The signature `serving_text`: raw text gives what Keras' own TextVectorization and the model give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import ModelError
from seqship.export import to_saved_model
from seqship.models.flavour import Flavour
from seqship.pipelines.text_vectorizer import TextVectorizer

VOCABULARY = ("", "[UNK]", "the", "film", "good", "ça", "語", "dont")
TEXTS = [
    "The FILM, the film!",
    "",
    "... ?!",
    "Good\u00a0film good\tfilm\nthe ça Ça 語 don't",
    "unknown words only",
    "the " * 40 + "good",
    "emoji \U0001f600 good \x00 film",
]


def classifier(flavour: Flavour, *, time: int | None = None, dtype: str = "int32") -> Any:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential(
        [
            layers.Input((time,), dtype=dtype, name="tokens"),
            layers.Embedding(len(VOCABULARY), 3, mask_zero=True),
            layers.Bidirectional(layers.LSTM(4)),
            layers.Dense(1, activation="sigmoid", name="score"),
        ]
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.8, weight.shape) for weight in model.get_weights()])
    return model


def texts_through_keras(flavour: Flavour, model: Any, length: int) -> Any:
    """Keras' own layer, then the model; it cuts the tail."""
    layer = flavour.keras.layers.TextVectorization(vocabulary=list(VOCABULARY[2:]), output_sequence_length=length)
    return np.asarray(model(np.asarray(layer(np.array(TEXTS, dtype=object))), training=False))


@pytest.mark.parametrize(("time", "dtype"), [(None, "int32"), (12, "int32"), (None, "int64")])
def test_raw_text_gives_what_keras_gives(flavour: Flavour, tmp_path: Path, time: int | None, dtype: str) -> None:
    import tensorflow as tf

    model = classifier(flavour, time=time, dtype=dtype)
    export = to_saved_model(model, tmp_path / "saved", vectorizer=TextVectorizer(VOCABULARY, 12))
    loaded: Any = tf.saved_model.load(str(export.path))
    got = loaded.signatures["serving_text"](text=tf.constant(TEXTS))["score"].numpy()
    assert got == pytest.approx(texts_through_keras(flavour, model, 12), abs=1e-6)


def test_the_head_of_a_long_text_is_cut_where_it_is_asked_for(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    model = classifier(flavour)
    vectorizer = TextVectorizer(VOCABULARY, 4, "pre")
    export = to_saved_model(model, tmp_path / "saved", vectorizer=vectorizer)
    loaded: Any = tf.saved_model.load(str(export.path))
    got = loaded.signatures["serving_text"](text=tf.constant(TEXTS))["score"].numpy()
    ids = vectorizer.batch(TEXTS)
    assert ids[5].tolist() == [2, 2, 2, 4]
    assert got == pytest.approx(np.asarray(model(ids.astype(np.int32), training=False)), abs=1e-6)


def test_texts_without_a_word_are_one_step_of_padding(flavour: Flavour, tmp_path: Path) -> None:
    import tensorflow as tf

    model = classifier(flavour)
    export = to_saved_model(model, tmp_path / "saved", vectorizer=TextVectorizer(VOCABULARY))
    loaded: Any = tf.saved_model.load(str(export.path))
    got = loaded.signatures["serving_text"](text=tf.constant(["", "!"]))["score"].numpy()
    assert got == pytest.approx(np.asarray(model(np.zeros((2, 1), np.int32), training=False)), abs=1e-6)


def test_the_vocabulary_is_an_asset_of_the_file(flavour: Flavour, tmp_path: Path) -> None:
    """A SavedModel is copied to a server, where nothing else of this machine is."""
    import tensorflow as tf

    export = to_saved_model(classifier(flavour), tmp_path / "saved", vectorizer=TextVectorizer(VOCABULARY))
    asset = export.path / "assets" / "vocabulary.txt"
    assert asset.read_text(encoding="utf-8").splitlines() == list(VOCABULARY[2:])
    moved = export.path.rename(tmp_path / "moved")
    loaded: Any = tf.saved_model.load(str(moved))
    assert loaded.signatures["serving_text"](text=tf.constant(["good film"]))["score"].shape == (1, 1)


def test_a_vocabulary_needs_a_model_of_token_ids(flavour: Flavour, tmp_path: Path) -> None:
    layers = flavour.keras.layers
    model = flavour.keras.Sequential([layers.Input((None, 2), name="signal"), layers.GRU(3, name="scores")])
    with pytest.raises(ModelError) as caught:
        to_saved_model(model, tmp_path / "saved", vectorizer=TextVectorizer(VOCABULARY))
    assert str(caught.value) == (
        "a vocabulary is for a model of one input (batch, time) of token ids; "
        "this one takes signal float32 ['batch', 'time', 2]"
    )
    assert not (tmp_path / "saved").exists()
