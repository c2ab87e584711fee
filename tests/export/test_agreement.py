"""Two arrays agree where every element does; nothing hides behind a NaN, a shape or an empty array."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seqship.export.agreement import Agreement, compare
from seqship.export.tolerance import FLOAT32, Tolerance

RULE = Tolerance(atol=1e-3, rtol=1e-2, why="test")


def check(actual: Any, expected: Any) -> Agreement:
    got = None if actual is None else np.asarray(actual, np.float32)
    return compare(got, np.asarray(expected, np.float32), RULE, runner="onnx", case="batch=1", output="y")


def test_equal_arrays_agree() -> None:
    found = check([[1.0, 2.0]], [[1.0, 2.0]])
    assert found.passed
    assert (found.max_abs, found.max_rel, found.severity, found.note) == (0, 0, 0, "")


def test_the_tolerance_grows_with_the_expected_value() -> None:
    assert check([100.9], [100.0]).passed  # 1e-3 + 1 are allowed
    assert not check([101.1], [100.0]).passed
    assert check([0.0009], [0.0]).passed
    assert not check([0.0011], [0.0]).passed


def test_the_worst_element_is_that_which_is_furthest_beyond_its_limit() -> None:
    # The second differs by more, the third is further beyond what is allowed there.
    found = check([[0.0, 100.5], [0.01, 0.0]], [[0.0, 100.0], [0.0, 0.0]])
    assert not found.passed
    assert found.worst_index == (1, 0)
    assert found.max_abs == pytest.approx(0.5)
    assert found.severity == pytest.approx(10, rel=1e-5)
    assert (found.expected, found.actual) == (0, pytest.approx(0.01))
    assert found.sentence() == (
        "onnx differs from Keras at batch=1: y[1, 0] is 0.00999999978, expected 0, 10 times what is allowed"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_agrees_with_itself_alone(value: float) -> None:
    assert check([value, 1.0], [value, 1.0]).passed
    for actual, expected in (([0.0, value], [0.0, 1.0]), ([0.0, 1.0], [0.0, value])):
        found = check(actual, expected)
        assert not found.passed
        assert found.severity == math.inf
        assert found.worst_index == (1,)


def test_infinities_of_two_signs_differ() -> None:
    assert not check([math.inf], [-math.inf]).passed
    assert not check([math.nan], [math.inf]).passed


def test_a_nan_does_not_hide_among_numbers() -> None:
    actual = np.zeros((50, 20))
    actual[31, 7] = math.nan
    assert check(actual, np.zeros((50, 20))).worst_index == (31, 7)


def test_another_shape_or_no_output() -> None:
    found = check([[1.0]], [1.0])
    assert not found.passed
    assert found.note == "output has shape (1, 1), expected (1,)"
    assert found.sentence() == "onnx differs from Keras at batch=1: y: output has shape (1, 1), expected (1,)"
    found = check(None, [1.0])
    assert (found.passed, found.note, found.severity) == (False, "output is missing", math.inf)


def test_empty_arrays_agree() -> None:
    assert check(np.zeros((0, 3)), np.zeros((0, 3))).passed


def test_whole_numbers_and_flags_are_compared_too() -> None:
    for dtype in (np.int64, np.bool_):
        one = np.array([1, 0], dtype)
        assert compare(one, one, RULE, runner="r", case="c", output="o").passed
        assert not compare(one, one[::-1].copy(), RULE, runner="r", case="c", output="o").passed


def test_the_json_form_has_no_nan() -> None:
    found = check([math.nan], [1.0]).to_json()
    assert found["actual"] == "NaN"
    assert found["severity"] == "Infinity"
    assert found["worst_index"] == [0]
    json.dumps(found, allow_nan=False)
    assert check([-math.inf], [1.0]).to_json()["actual"] == "-Infinity"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    pair=hnp.array_shapes(max_dims=3, max_side=4).flatmap(
        lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=st.floats(width=32))] * 2)
    )
)
def test_the_rule_is_that_of_numpy(pair: tuple[Any, Any]) -> None:
    actual, expected = pair
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = np.isclose(
            actual.astype(np.float64), expected.astype(np.float64), rtol=RULE.rtol, atol=RULE.atol, equal_nan=True
        )
    found = check(actual, expected)
    assert found.passed == bool(wanted.all())
    if not found.passed:
        assert not wanted[found.worst_index]


def test_the_shipped_tolerance_tells_its_measurement() -> None:
    assert (FLOAT32.atol, FLOAT32.rtol) == (1e-5, 1e-4)
    assert set(FLOAT32.to_json()) == {"atol", "rtol", "why"}
    assert "measured" in FLOAT32.why or "differed" in FLOAT32.why


def test_words_are_the_same_or_not() -> None:
    words, other = (np.array([[b"good", last]], object) for last in (b"bad", b"film"))
    same = compare(words.copy(), words, RULE, runner="saved_model", case="batch=1", output="word")
    assert (same.passed, same.severity) == (True, 0)
    found = compare(other, words, RULE, runner="saved_model", case="batch=1", output="word")
    assert (found.passed, found.severity) == (False, math.inf)
    assert found.sentence() == "saved_model differs from Keras at batch=1: word: [0, 1] is b'film', expected b'bad'"
    assert json.loads(json.dumps(found.to_json()))["expected"] == "NaN"
