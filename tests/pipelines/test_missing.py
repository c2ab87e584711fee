"""Missing values of time series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqship.errors import DataError
from seqship.pipelines import missing as module
from seqship.pipelines.missing import first_step_of, forward_fill, mask_steps, missing_steps

NAN = np.nan
CELLS = st.tuples(*[st.sampled_from([NAN, NAN, 1.0, 2.0, 3.0])] * 2)
TABLES = st.lists(CELLS, min_size=1, max_size=30).map(lambda rows: np.array(rows, np.float32))


def naive_fill(values: Any, borders: list[int]) -> Any:
    filled = values.copy()
    for step in range(len(values)):
        for column in range(values.shape[1]):
            if np.isnan(filled[step, column]) and step not in borders:
                filled[step, column] = filled[step - 1, column]
    return filled


@given(values=TABLES, cut=st.integers(0, 30), chunk=st.integers(1, 31))
def test_values_are_carried_forward_within_a_series_only(values: Any, cut: int, chunk: int) -> None:
    borders = np.array([0, min(cut, len(values)), len(values)])
    expected = naive_fill(values, borders.tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        np.testing.assert_array_equal(forward_fill(values, borders), expected)
        np.testing.assert_array_equal(forward_fill(values), naive_fill(values, [0]))
        np.testing.assert_array_equal(missing_steps(values, (1,)), np.flatnonzero(np.isnan(values[:, 1])))
        np.testing.assert_array_equal(missing_steps(values, (0, 1)), np.flatnonzero(np.isnan(values).any(axis=1)))


@given(values=TABLES, step=st.integers(0, 29))
def test_nothing_is_filled_from_the_future(values: Any, step: int) -> None:
    changed = values.copy()
    changed[step:] = 9
    np.testing.assert_array_equal(forward_fill(changed)[:step], forward_fill(values)[:step])


def test_a_file_is_filled_in_place(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(4, 1))
    mapped[:] = np.array([[NAN], [1], [NAN], [3]])
    assert forward_fill(mapped, out=mapped) is mapped
    np.testing.assert_array_equal(np.fromfile(tmp_path / "x", np.float32), [NAN, 1, 1, 3])


def test_a_step_that_lacks_a_value_is_masked_as_a_whole() -> None:
    values = np.array([[1, 2], [NAN, 4], [5, NAN], [7, 8]], np.float32)
    masked = mask_steps(values, -1)
    assert masked.dtype == np.float32
    assert masked.tolist() == [[1, 2], [-1, -1], [-1, -1], [7, 8]]


def test_only_the_range_asked_for_is_looked_at() -> None:
    values = np.array([[NAN], [1], [NAN], [0], [NAN]], np.float32)
    assert missing_steps(values, (0,), start=1, stop=4).tolist() == [2]
    assert first_step_of(values, (0,), 0) == 3
    assert first_step_of(values, (0,), 1, start=2) is None
    assert first_step_of(np.array([[0, 1], [0, 0]], np.float32), (0, 1), 0) == 1


def test_an_infinite_value_is_refused() -> None:
    values = np.array([[1, 2], [3, -np.inf]], np.float32)
    assert missing_steps(values, (0,)).tolist() == []
    with pytest.raises(DataError, match=r"^step 1 holds -inf in column 1; put NaN where a value is missing$"):
        missing_steps(values, (1,))
