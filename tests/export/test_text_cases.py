"""Raw text: the same numbers from the SavedModel's own signature and from onnxruntime with the vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqship.export import check_equivalence, to_onnx, to_saved_model
from seqship.export.equivalence import compare_runners
from seqship.export.recording import load_recorded, save_recorded
from seqship.export.runners import onnx_runner, saved_model_runner
from seqship.export.signature import model_signature
from seqship.export.text_cases import LONG_BYTES, text_feeds, text_runner, token_ids
from seqship.models.flavour import Flavour
from seqship.pipelines.spec import TOKEN_ID, Field
from seqship.pipelines.text_vectorizer import TextVectorizer

WORDS = ("", "[UNK]", "the", "a", "good", "bad", "film", "plot", "scene", "dull", "fine", "long")
VECTORIZER = TextVectorizer(WORDS, max_length=40)
TOKENS = Field("tokens", "int32", ("batch", "time"), TOKEN_ID, 0.0, 1.0, float(len(WORDS) - 1))
KINDS = {"words", "unknown", "written", "long", "empty", "all-empty", "non-latin", "emoji", "invalid-utf8"}


@pytest.fixture(scope="module")
def reviews(flavour: Flavour) -> Any:
    """A model of token ids, with no weight at zero."""
    n = flavour.keras.layers
    layers = [
        n.Input((None,), dtype="int32", name="tokens"),
        n.Embedding(len(WORDS), 4, mask_zero=True),
        n.GRU(3),
        n.Dense(1, activation="sigmoid", name="score"),
    ]
    model = flavour.keras.Sequential(layers)
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.7, weight.shape).astype(np.float32) for weight in model.get_weights()])
    return model


def test_texts_of_every_kind() -> None:
    feeds = {case.values: (case, feed["text"]) for case, feed in text_feeds(VECTORIZER, TOKENS, seed=0)}
    assert set(feeds) == KINDS
    ids = {kind: token_ids({"text": texts}, VECTORIZER, TOKENS) for kind, (_, texts) in feeds.items()}
    assert all(case.time == ids[kind].shape[1] for kind, (case, _) in feeds.items())
    assert set(np.unique(ids["words"])) == set(range(len(WORDS))) - {1}
    assert {1} < set(np.unique(ids["unknown"]))
    assert (ids["empty"] == 0).all(axis=1).tolist() == [True, True, True, False]
    assert ids["all-empty"].shape == (2, 1)
    assert max(map(len, feeds["long"][1])) == LONG_BYTES
    assert ids["long"].shape == (2, 40)
    for text in feeds["invalid-utf8"][1][:3]:
        with pytest.raises(UnicodeDecodeError):
            text.decode()
    again = {case.values: feed["text"] for case, feed in text_feeds(VECTORIZER, TOKENS, seed=0)}
    assert all(np.array_equal(again[kind], texts) for kind, (_, texts) in feeds.items())


def test_a_long_text_that_nothing_cuts_is_shorter() -> None:
    whole = replace(VECTORIZER, max_length=None)
    texts = next(feed["text"] for case, feed in text_feeds(whole, TOKENS, seed=0) if case.values == "long")
    assert sorted(map(len, texts)) == [LONG_BYTES // 50, LONG_BYTES]


def test_token_ids_of_a_model_of_fixed_length() -> None:
    fixed = replace(TOKENS, shape=("batch", 3))
    ids = token_ids({"text": np.array([b"the good bad film", b"film", b""])}, VECTORIZER, fixed)
    assert ids.tolist() == [[2, 4, 5], [6, 0, 0], [0, 0, 0]]
    assert ids.dtype == np.int32


def test_a_right_export_answers_texts_and_another_vocabulary_is_convicted(reviews: Any, tmp_path: Path) -> None:
    signature = model_signature(reviews, inputs=[TOKENS])
    saved = to_saved_model(reviews, tmp_path / "saved", signature=signature, vectorizer=VECTORIZER).path
    onnx = to_onnx(reviews, tmp_path / "model.onnx", signature=signature).path
    proof = check_equivalence(reviews, saved_model=saved, onnx=onnx, signature=signature, vectorizer=VECTORIZER)
    assert proof, proof.failures[0].sentence()
    texts = [case for case in proof.recorded if "mask=text" in case.case]
    assert {case.case.rpartition("values=")[2] for case in texts} == KINDS
    assert {one.runner for one in proof.agreements if "mask=text" in one.case} == {
        "saved_model",
        *("onnx", "onnx_basic", "onnx_off", "onnx_1_thread"),
    }
    # Written and read again, bytes that are no UTF-8 among them.
    save_recorded(texts, tmp_path / "cases.npz")
    again = load_recorded(tmp_path / "cases.npz")
    assert [case.feed["text"].tolist() for case in again] == [case.feed["text"].tolist() for case in texts]
    right = {"saved_model": saved_model_runner(saved), "onnx": text_runner(VECTORIZER, TOKENS, onnx_runner(onnx))}
    assert compare_runners(again, right)

    swapped = replace(VECTORIZER, vocabulary=(*WORDS[:2], "a", "the", *WORDS[4:]))
    shorter = replace(VECTORIZER, max_length=30)
    head = replace(VECTORIZER, truncate="pre")
    for wrong in (swapped, shorter, head):
        found = compare_runners(again, {"onnx": text_runner(wrong, TOKENS, onnx_runner(onnx))})
        assert not found
        assert "mask=text" in found.failures[0].case
    stale = to_saved_model(reviews, tmp_path / "stale", signature=signature, vectorizer=swapped).path
    assert not compare_runners(again, {"saved_model": saved_model_runner(stale)})
