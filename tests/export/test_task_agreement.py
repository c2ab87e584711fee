"""What a difference does to decisions and measures, by hand and against scikit-learn."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, roc_auc_score, root_mean_squared_error

from seqship.errors import DataError
from seqship.export.task_agreement import ChangedClass, Measure, compare_classes, compare_values

REFERENCE = np.array([[0.7, 0.2, 0.1], [0.35, 0.4, 0.25], [0.1, 0.3, 0.6]], np.float32)


def softmax(values: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_the_same_scores_change_nothing() -> None:
    found = compare_classes(REFERENCE, REFERENCE.copy(), [0, 1, 2])
    assert found.changed == ()
    assert found.top_k == {1: 1.0}
    assert found.largest_difference == 0
    assert found.margin_times == math.inf
    assert found.measures == {name: Measure(1.0, 1.0) for name in ("accuracy", "auc", "f1")}


def test_a_changed_class_is_told_with_the_margin_it_had() -> None:
    other = REFERENCE.copy()
    other[1] = [0.41, 0.34, 0.25]
    found = compare_classes(REFERENCE, other, [0, 1, 2])
    (changed,) = found.changed
    assert (changed.row, changed.reference, changed.other) == (1, 1, 0)
    assert changed.margin == pytest.approx(0.05, rel=1e-5)
    assert found.top_k == {1: pytest.approx(2 / 3)}
    assert (found.smallest_margin_row, found.smallest_margin) == (1, pytest.approx(0.05, rel=1e-5))
    assert found.largest_difference == pytest.approx(0.06, rel=1e-5)
    assert found.margin_times == pytest.approx(0.05 / 0.06, rel=1e-4)
    assert found.measures["accuracy"] == Measure(1.0, 2 / 3)


def test_the_best_three_may_agree_where_the_best_does_not() -> None:
    one = np.array([[6.0, 5, 4, 3, 2, 1], [6.0, 5, 4, 3, 2, 1]])
    two = np.array([[5.0, 6, 4, 3, 2, 1], [6.0, 5, 3, 4, 2, 1]])
    assert compare_classes(one, two).top_k == {1: 0.5, 3: 0.5, 5: 1.0}
    assert compare_classes(one[:, :4], two[:, :4]).top_k == {1: 0.5, 3: 0.5}


def test_without_labels_nothing_is_measured() -> None:
    assert compare_classes(REFERENCE, REFERENCE).measures == {}


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_single_score_decides_at_the_threshold(shape: tuple[int, ...]) -> None:
    one = np.array([0.2, 0.49, 0.51, 0.9]).reshape(shape)
    two = np.array([0.2, 0.52, 0.51, 0.9]).reshape(shape)
    found = compare_classes(one, two, [0, 0, 1, 1])
    assert found.changed == (ChangedClass(1, 0, 1, 0.5 - 0.49),)
    assert found.measures["accuracy"] == Measure(1.0, 0.75)
    assert found.measures["auc"] == Measure(1.0, 0.75)
    assert found.measures["f1"] == Measure(1.0, 0.8)
    logits = compare_classes(np.log(one / (1 - one)), np.log(two / (1 - two)), [0, 0, 1, 1], threshold=0.0)
    assert [row.row for row in logits.changed] == [1]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_measures_are_those_of_scikit_learn(classes: int) -> None:
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, 200)
    one, two = (softmax(random.normal(0, 1, (200, classes)) + np.eye(classes)[labels]) for _ in range(2))
    found = compare_classes(one, two, labels)
    options: dict[str, Any] = {} if classes == 2 else {"multi_class": "ovr", "average": "macro"}
    for scores, side in ((one, "reference"), (two, "other")):
        decided = scores.argmax(axis=1)
        wanted = {
            "accuracy": accuracy_score(labels, decided),
            "auc": roc_auc_score(labels, scores[:, 1] if classes == 2 else scores, **options),
            "f1": f1_score(labels, decided, average="binary" if classes == 2 else "macro"),
        }
        assert {name: getattr(measure, side) for name, measure in found.measures.items()} == pytest.approx(wanted)


def test_auc_is_not_defined_for_one_class_or_scores_that_are_no_numbers() -> None:
    assert compare_classes(REFERENCE, REFERENCE, [1, 1, 1]).measures["auc"] == Measure(None, None)
    broken = REFERENCE.copy()
    broken[2, 0] = np.nan
    assert compare_classes(REFERENCE, broken, [0, 1, 2]).measures["auc"] == Measure(1.0, None)


def test_a_nan_is_a_change_of_class_and_an_infinite_difference() -> None:
    broken = REFERENCE.copy()
    broken[2, 0] = np.nan
    found = compare_classes(REFERENCE, broken, [0, 1, 2])
    assert [(row.row, row.reference, row.other) for row in found.changed] == [(2, 2, -1)]
    assert found.largest_difference == math.inf
    assert found.margin_times == 0
    both = compare_classes(broken, broken.copy(), [0, 1, 2])
    assert both.changed == ()
    assert both.largest_difference == 0


def test_a_tie_leaves_no_margin() -> None:
    found = compare_classes([[0.5, 0.5]], [[0.5, 0.5]])
    assert (found.smallest_margin, found.changed) == (0.0, ())


def test_no_rows_are_no_difference() -> None:
    found = compare_classes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int64))
    assert (found.rows, found.changed, found.top_k, found.smallest_margin) == (0, (), {1: 1.0}, None)
    assert found.measures["f1"] == Measure(None, None)
    assert compare_values(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0)).measures["mae"] == Measure(None, None)


def test_a_regression_has_errors_and_no_classes() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=50)
    one, two = (truth[:, None] + random.normal(0, 0.1, (50, 1)) for _ in range(2))
    found = compare_values(one, two, truth)
    assert found.measures["mae"].reference == pytest.approx(mean_absolute_error(truth, one[:, 0]))
    assert found.measures["mae"].other == pytest.approx(mean_absolute_error(truth, two[:, 0]))
    assert found.measures["rmse"].other == pytest.approx(root_mean_squared_error(truth, two[:, 0]))
    assert found.largest_difference == pytest.approx(abs(one - two).max())
    assert (found.changed, found.top_k, found.margin_times) == ((), {}, None)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: compare_classes(REFERENCE, REFERENCE[:2]),
            "both runtimes must give one shape, (rows, ...), got [3, 3] and [2, 3]; run them on the same rows",
        ),
        (
            lambda: compare_classes(REFERENCE[None], REFERENCE[None]),
            "class scores are shaped (rows, classes), got [1, 3, 3]; give one row for each label",
        ),
        (
            lambda: compare_classes(REFERENCE, REFERENCE, [0, 3, 1]),
            "labels are 0 to 2, got 3 in row 1",
        ),
        (
            lambda: compare_classes(REFERENCE, REFERENCE, [0, 1]),
            "labels are one class for each of 3 rows, got the shape [2]",
        ),
        (
            lambda: compare_values(REFERENCE, REFERENCE, [0, 1, 2]),
            "labels are shaped as the values [3, 3], got [3]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, text: str) -> None:
    with pytest.raises(DataError) as raised:
        call()
    assert str(raised.value) == text


def test_the_json_form_has_no_nan() -> None:
    broken = REFERENCE.copy()
    broken[0] = np.nan
    document = compare_classes(broken, REFERENCE, [0, 1, 2]).to_json()
    json.dumps(document, allow_nan=False)
    assert document["changed"] == [{"row": 0, "reference": -1, "other": 0, "margin": "NaN"}]
    assert document["largest_difference"] == "Infinity"
    assert document["top_k"] == {"1": pytest.approx(2 / 3)}
    assert document["measures"]["accuracy"] == {"reference": pytest.approx(2 / 3), "other": 1.0}


scores = hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 6)), elements=st.floats(-4, 4, width=16))


@settings(max_examples=200)
@given(one=scores, share=st.floats(0, 0.499), seed=st.integers(0, 99))
def test_no_decision_turns_that_has_room_for_two_differences(one: NDArray[Any], share: float, seed: int) -> None:
    margin = compare_classes(one, one).smallest_margin
    assert margin is not None
    other = one + share * margin * np.random.default_rng(seed).uniform(-1, 1, one.shape)
    found = compare_classes(one, other)
    assert found.margin_times is not None
    if found.margin_times > 2:
        assert found.changed == ()
