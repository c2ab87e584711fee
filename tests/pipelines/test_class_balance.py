"""Weights of classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from seqship.errors import DataError
from seqship.pipelines.class_balance import class_weights


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=80), power=st.floats(0, 2))
def test_the_mean_over_the_labels_is_one_and_the_rare_weigh_more(labels: list[int], power: float) -> None:
    examples = np.array(labels)
    weights = class_weights(examples, classes=5, power=power)
    assert weights.dtype == np.float32
    assert np.mean(weights[examples], dtype=np.float64) == pytest.approx(1, rel=1e-5)
    counts = np.bincount(examples, minlength=5)
    assert ((weights == 0) == (counts == 0)).all()
    present = np.flatnonzero(counts)
    by_count = weights[present][np.argsort(counts[present], kind="stable")]
    assert (np.diff(by_count) <= 1e-6 * by_count.max()).all()


def test_power_one_is_the_balanced_formula_of_scikit_learn() -> None:
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(class_weights(labels, classes=3), expected, rtol=1e-6)


def test_power_half_takes_the_root_of_the_ratio() -> None:
    weights = class_weights(np.repeat([0, 1], [90, 10]), classes=2, power=0.5)
    assert weights[1] / weights[0] == pytest.approx(3)


def test_power_zero_weighs_all_alike() -> None:
    np.testing.assert_array_equal(class_weights(np.array([0, 0, 1]), classes=3, power=0), [1, 1, 0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"^there are no labels to weigh; give at least one$"),
        ([0, 5], r"^label 1 is 5, outside 0\.\.4; correct it or raise classes$"),
        ([-1], r"^label 0 is -1, outside 0\.\.4; correct it or raise classes$"),
    ],
)
def test_labels_outside_are_refused(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        class_weights(np.array(labels, dtype=np.int64), classes=5)


@pytest.mark.parametrize("power", [-1.0, np.inf, np.nan])
def test_powers_without_meaning_are_refused(power: float) -> None:
    with pytest.raises(ValueError, match=rf"^power must be finite and 0 or more, met {power}; 1 balances"):
        class_weights(np.array([0]), classes=1, power=power)


def test_no_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^classes must be 1 or more, met 0; give the number of classes$"):
        class_weights(np.array([0]), classes=0)
