"""Raw texts through a bundle, without TensorFlow, give what Keras gives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.errors import BundleError, DataError, TamperedError
from seqship.models.flavour import load_flavour
from seqship.pipelines.text_vectorizer import TextVectorizer
from seqship.serving import Predictor
from tests.few_cases import few_cases

WORDS = ("", "[UNK]", "the", "film", "good", "bad")
TEXTS = ["The film: good!", "bad", "Good\tfilm never seen", "the " * 30]


@pytest.fixture(scope="module")
def model() -> Any:
    keras = load_flavour(3).keras
    layers = keras.layers
    built = keras.Sequential(
        [
            layers.Input((None,), dtype="int32", name="tokens"),
            layers.Embedding(len(WORDS), 3, mask_zero=True),
            layers.LSTM(4),
            layers.Dense(1, activation="sigmoid", name="score"),
        ]
    )
    random = np.random.default_rng(0)
    built.set_weights([random.normal(0, 0.8, weight.shape) for weight in built.get_weights()])
    return built


@pytest.fixture(scope="module")
def reviews(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from seqship.export import ship

    path = tmp_path_factory.mktemp("reviews") / "bundle"
    with few_cases((1, 3), (1, 7)):
        bundle = ship(
            model, path, name="reviews", vectorizer=TextVectorizer(WORDS, 12), classes=["negative", "positive"]
        )
    assert bundle.equivalent
    assert bundle.manifest["preprocessing"]["text"]["words"] == 6
    return path


def test_texts_are_classified_as_keras_does(model: Any, reviews: Path) -> None:
    keras = load_flavour(3).keras
    layer = keras.layers.TextVectorization(vocabulary=list(WORDS[2:]), output_sequence_length=12)
    second = np.asarray(model(np.asarray(layer(np.array(TEXTS, dtype=object)))))
    found = Predictor(reviews).predict(TEXTS)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, np.concatenate([1 - second, second], 1), atol=1e-6)
    assert found.classes == tuple("positive" if p > 0.5 else "negative" for p in second[:, 0])
    assert found.outputs["score"].shape == (4, 1)


def test_ids_are_taken_too(reviews: Path) -> None:
    predictor = Predictor(reviews)
    texts, ids = predictor.predict(["good film"]), predictor.predict([[4, 3]])
    assert np.array_equal(texts.outputs["score"], ids.outputs["score"])


def test_a_text_without_a_word_is_named(reviews: Path) -> None:
    with pytest.raises(DataError, match=r"^text 1 has no word: '\.\.\.!'; leave it out$"):
        Predictor(reviews).predict(["good", "...!"])


def test_an_onnx_file_alone_has_no_vocabulary(reviews: Path) -> None:
    predictor = Predictor(reviews / "model.onnx")
    with pytest.raises(
        DataError, match=r"^sequence 0 is a text, and there is no vocabulary here; give numbers, or the b"
    ):
        predictor.predict(["good"])


def test_a_changed_vocabulary_is_refused(reviews: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(reviews, tmp_path / "copy"))
    file = copy / "preprocessing" / "vocabulary.txt"
    file.write_text(file.read_text().replace("good", "evil"))
    with pytest.raises(TamperedError, match=r"preprocessing/vocabulary\.txt has changed"):
        Predictor(copy)


def test_a_manifest_with_a_broken_vocabulary_is_refused(reviews: Path, tmp_path: Path) -> None:
    import json

    copy = Path(shutil.copytree(reviews, tmp_path / "copy"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["preprocessing"]["text"]["truncate"] = "middle"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="holds a vocabulary that cannot be read: truncate must be 'pre'"):
        Predictor(copy)
