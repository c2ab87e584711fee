"""The recipes `imdb-lstm` and `imdb-bilstm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.models import cudnn_eligibility
from seqship.models.flavour import Flavour
from seqship.models.recipe import LoadOptions
from seqship.models.training import train
from seqship.models.zoo import imdb
from seqship.pipelines.texts import Texts

LSTM, BILSTM = imdb.RECIPES


def weights(words: int, *, both: bool) -> int:
    ways = 2 if both else 1
    first = ways * 4 * 256 * (128 + 256 + 1)
    second = ways * 4 * 64 * (ways * 256 + 64 + 1)
    return words * 128 + first + second + ways * 64 + 1


@pytest.mark.parametrize("recipe", imdb.RECIPES, ids=lambda recipe: recipe.name)
def test_the_default_is_the_model_that_is_promised(flavour: Flavour, recipe: imdb.Recipe) -> None:
    data: Any = recipe.load(LoadOptions())
    assert data.options["words"] == imdb.EMBEDDED_WORDS
    assert max(len(ids) for part in (data.train, data.test) for ids in part.sequences.values) <= imdb.SHORT
    model = recipe.model(flavour, **data.options)
    both = recipe is BILSTM
    assert model.count_params() == recipe.parameters == weights(imdb.EMBEDDED_WORDS, both=both)
    assert recipe.model(flavour, words=20_000).count_params() == weights(20_000, both=both)
    assert all(row.eligible for row in cudnn_eligibility(model))


def test_padding_changes_nothing(flavour: Flavour) -> None:
    model = LSTM.model(flavour)
    tokens = np.array([[5, 9, 3]], np.int32)
    longer = np.concatenate([tokens, np.zeros((1, 6), np.int32)], axis=1)
    assert np.allclose(model(tokens), model(longer), atol=1e-6)


def write(folder: Path) -> Path:
    """Reviews of which one is in both files, and one is long."""
    rows = [("good " * 3 + f"a{index}", 1) for index in range(20)] + [
        ("bad " * 3 + f"b{index}", 0) for index in range(20)
    ]
    tested = [("good only tested", 1), ("bad bad bad b3", 0), ("first " + "bad " * 250 + "last", 0)]
    for name, lines in (("train", rows), ("test", tested)):
        (folder / f"{name}.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in lines))
    return folder


def test_the_vocabulary_is_that_of_the_training_reviews(tmp_path: Path) -> None:
    data: Any = LSTM.load(LoadOptions(write(tmp_path)))
    vectorizer = data.vectorizer
    assert vectorizer is not None
    words = set(vectorizer.vocabulary)
    assert "tested" not in words
    assert "b3" not in words  # A review that is tested is not trained on.
    assert len(data.train) + len(data.validation) == 39
    held = {vectorizer.vocabulary[ids[-1]] for ids in data.validation.sequences.values}
    assert held == {"[UNK]"}
    assert data.options == {"words": len(vectorizer.vocabulary)}
    assert data.inputs is not None
    assert data.inputs[0].maximum == len(vectorizer.vocabulary) - 1


def test_a_long_review_loses_its_head(tmp_path: Path) -> None:
    data: Any = LSTM.load(LoadOptions(write(tmp_path)))
    longest = data.test.sequences.values[2]
    assert (len(longest), longest.dtype) == (imdb.TOKENS, np.int32)
    assert longest[-1] == 1
    assert len(set(longest[:-1].tolist())) == 1


def test_a_split_of_texts_keeps_the_shares() -> None:
    texts = Texts(tuple(f"t{index}" for index in range(40)), np.arange(40) % 4 // 3, ("no", "yes"))
    rest, part = imdb.split_texts(texts, fraction=0.2, seed=1)
    assert (rest.class_counts.tolist(), part.class_counts.tolist()) == ([24, 8], [6, 2])
    assert set(rest.texts) | set(part.texts) == set(texts.texts)
    assert all(int(text[1:]) % 4 // 3 == label for text, label in zip(part.texts, part.labels, strict=True))


def test_labels_without_an_axis_are_learned(flavour: Flavour, tmp_path: Path) -> None:
    """Labels are (batch,) and scores (batch, 1): a loss that paired each with each would not learn these."""
    from dataclasses import replace

    data: Any = LSTM.load(LoadOptions(write(tmp_path)))

    def build(flavour: Flavour, *, words: int) -> Any:
        layers = flavour.keras.layers
        return flavour.keras.Sequential(
            [
                layers.Input((None,), dtype="int32", name="tokens"),
                layers.Embedding(words, 4, mask_zero=True),
                layers.LSTM(4),
                layers.Dense(1, activation="sigmoid"),
            ]
        )

    small = replace(LSTM, build=build)
    training = replace(LSTM.training, epochs=15, batch_size=8, learning_rate=0.05, patience=15)
    trained = train(small, flavour, data, training=training, seed=1)
    assert trained.history["val_loss"][-1] < 0.2
    assert trained.history["accuracy"][-1] > 0.9
