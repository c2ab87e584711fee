"""Scaling of columns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines import scaling as module
from seqship.pipelines.scaling import KINDS, Scaling, fit_scaling

TABLE = np.array([[1, 10, 7], [2, np.nan, 7], [3, 30, 7], [4, 50, 7]], np.float32)
NAMES = ("a", "b", "c")


def test_standard_is_mean_and_deviation_of_what_is_there() -> None:
    scaling = fit_scaling(TABLE, "standard", NAMES)
    assert scaling.offset == pytest.approx((2.5, 30, 7))
    assert scaling.scale == pytest.approx((np.std([1, 2, 3, 4]), np.std([10, 30, 50]), 1))
    scaled = scaling.apply(TABLE)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), [1, 1, 0], rtol=1e-6)
    assert np.isnan(scaled[1, 1])


def test_minmax_is_from_0_to_1_and_a_constant_column_becomes_0() -> None:
    scaled = fit_scaling(TABLE, "minmax", NAMES).apply(TABLE)
    np.testing.assert_array_equal(np.nanmin(scaled, axis=0), [0, 0, 0])
    np.testing.assert_array_equal(np.nanmax(scaled, axis=0), [1, 1, 0])


def test_none_leaves_the_values_as_they_are() -> None:
    np.testing.assert_array_equal(fit_scaling(TABLE, "none", NAMES).apply(TABLE), TABLE)


def test_a_constant_column_comes_back_exactly_even_where_its_mean_rounds() -> None:
    column = np.full((7, 1), 0.1, np.float32)
    for kind in KINDS:
        scaling = fit_scaling(column, kind, ["x"])
        np.testing.assert_array_equal(scaling.invert(scaling.apply(column)), column)
        assert scaling.scale == (1.0,)
        assert scaling.offset == (0.0 if kind == "none" else float(column[0, 0]),)


@given(
    table=st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=20),
    kind=st.sampled_from(KINDS),
)
def test_what_was_scaled_comes_back(table: list[tuple[float, float]], kind: Any) -> None:
    values = np.array(table, np.float32)
    scaling = fit_scaling(values, kind, ["a", "b"])
    span = np.abs(values).max() + 1
    np.testing.assert_allclose(scaling.invert(scaling.apply(values)), values, atol=span * 1e-6)
    np.testing.assert_array_equal(scaling.apply(values)[:, 1:], scaling.apply(values[:, 1:], ["b"]))
    np.testing.assert_array_equal(scaling.invert(values)[:, 1:], scaling.invert(values[:, 1:], ["b"]))


@given(
    numbers=st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(5e-324, 1.7e308)), min_size=1, max_size=5
    ),
    kind=st.sampled_from(KINDS),
)
def test_json_gives_back_the_very_same_numbers(numbers: list[tuple[float, float]], kind: Any) -> None:
    names = tuple(f"column {index}" for index in range(len(numbers)))
    offset, scale = zip(*numbers, strict=True)
    scaling = Scaling(kind, names, offset, scale)
    assert Scaling.from_json(json.loads(json.dumps(scaling.to_json()))) == scaling


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(1e4, 1, (100, 2)).astype(np.float32)
    whole = fit_scaling(values, "standard", ["a", "b"])
    monkeypatch.setattr(module, "_CHUNK", 7)
    parts = fit_scaling(values, "standard", ["a", "b"])
    np.testing.assert_allclose(parts.offset, whole.offset, rtol=1e-12)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-9)
    np.testing.assert_allclose(whole.scale, values.astype(np.float64).std(axis=0), rtol=1e-9)


def test_predictions_of_one_column_are_unscaled_whatever_their_shape() -> None:
    scaling = Scaling("standard", NAMES, (1.0, 10.0, 0.0), (2.0, 5.0, 1.0))
    predicted = np.ones((4, 6, 1), np.float32)
    np.testing.assert_array_equal(scaling.invert(predicted, ["b"]), np.full((4, 6, 1), 15))


FAULTS: list[tuple[Callable[[Scaling], object], str]] = [
    (
        lambda s: s.apply(TABLE[:, :2]),
        r"^the last axis holds the 3 columns a, b, c, met the shape \(4, 2\); name the",
    ),
    (lambda s: s.invert(TABLE, ["a", "b", "d"]), r"^column 'd' was not scaled; the scaled ones are a, b, c$"),
    (
        lambda s: fit_scaling(TABLE, "minmax", ["a"]),
        r"^values are shaped \(steps, 1\), one column for each name, met",
    ),
    (
        lambda s: fit_scaling(TABLE * np.nan, "minmax", NAMES),
        r"^column 'a' has no value to fit a scaling on; leave",
    ),
    (lambda s: fit_scaling(TABLE * np.inf, "minmax", NAMES), r"^column 'a' holds an infinite value; put NaN where"),
    (
        lambda s: Scaling("none", ("a",), (0.0,), (0.0,)),
        r"^column 'a' has the offset 0.0 and the scale 0.0; give fi",
    ),
    (
        lambda s: Scaling("none", ("a",), (np.nan,), (1.0,)),
        r"^column 'a' has the offset nan and the scale 1.0; give",
    ),
    (
        lambda s: Scaling("none", ("a",), (), (1.0,)),
        r"^each column has one offset and one scale, met 1 columns, 0 of",
    ),
    (
        lambda s: Scaling.from_json({"kind": "none"}),
        r"^a scaling has kind, columns, offset and scale, met \{\"kind\": ",
    ),
    (
        lambda s: Scaling.from_json({**s.to_json(), "kind": "x"}),
        r"^a scaling has kind, .* \(kind must be one of stan",
    ),
]


@pytest.mark.parametrize(("call", "message"), FAULTS)
def test_what_does_not_fit_is_refused(call: Callable[[Scaling], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        call(fit_scaling(TABLE, "standard", NAMES))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^kind must be one of standard, minmax, none, met 'robust'; 'standard' is a"):
        fit_scaling(TABLE, "robust", NAMES)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("scaling", "('tensorflow', 'keras', 'pandas', 'scipy', 'sklearn')"),
        ("series, seqship.pipelines.missing, seqship.pipelines.window_plan", "('tensorflow', 'keras', 'pandas')"),
        ("series_csv, seqship.pipelines.chronological", "('tensorflow', 'keras')"),
    ],
)
def test_nothing_heavy_is_imported(modules: str, heavy: str) -> None:
    code = f"import sys, seqship.pipelines.{modules}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
