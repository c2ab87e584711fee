"""Scores of a classifier, against counts made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.models.evaluation import classification

CLASSES = ("a", "b", "c", "d")


def test_a_small_example_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    scores = np.eye(4)[[0, 0, 1, 1, 2, 2]]
    result = classification(labels, scores, CLASSES, np.array([1, 9, 3, 2]))
    assert result.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert result.accuracy == pytest.approx(4 / 6)
    assert result.support == (3, 2, 1, 0)
    assert result.recall == (pytest.approx(2 / 3), 0.5, 1.0, None)
    # "b" is most frequent in training, though not in the test.
    assert result.majority == pytest.approx(2 / 6)


def test_the_json_form_can_be_written() -> None:
    result = classification(np.array([1]), np.eye(4)[[1]], CLASSES, np.ones(4, np.int64))
    assert json.loads(json.dumps(result.to_json())) == {
        "classes": ["a", "b", "c", "d"],
        "confusion": [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        "recall": [None, 1.0, None, None],
        "support": [0, 1, 0, 0],
    }


@settings(max_examples=50, deadline=None, derandomize=True)
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_confusion_counts_every_sequence_once(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    result = classification(labels, np.eye(4)[predicted], CLASSES, np.ones(4, np.int64))
    for true in range(4):
        for said in range(4):
            assert result.confusion[true, said] == pairs.count((true, said))
    assert result.accuracy == pytest.approx(np.mean(labels == predicted))
