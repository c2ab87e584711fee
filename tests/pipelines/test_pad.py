"""Right padding with numpy alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.pad import pad_right

FINITE = st.floats(-1e6, 1e6, width=32)


@st.composite
def ragged(draw: st.DrawFn) -> list[NDArray[np.float32]]:
    features = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(0, 7), min_size=1, max_size=6))
    return [
        np.array(draw(st.lists(FINITE, min_size=n * features, max_size=n * features)), np.float32).reshape(n, features)
        for n in lengths
    ]


@given(sequences=ragged(), extra=st.none() | st.integers(0, 3), pad_value=FINITE)
def test_values_stay_and_padding_follows(
    sequences: list[NDArray[np.float32]], extra: int | None, pad_value: float
) -> None:
    longest = max(len(sequence) for sequence in sequences)
    length = None if extra is None else longest + extra
    padded = pad_right(sequences, pad_value=pad_value, length=length)
    assert padded.dtype == np.float32
    assert padded.shape == (len(sequences), longest + (extra or 0), sequences[0].shape[1])
    for row, sequence in zip(padded, sequences, strict=True):
        np.testing.assert_array_equal(row[: len(sequence)], sequence)
        assert (row[len(sequence) :] == np.float32(pad_value)).all()


def test_a_plain_list_is_a_sequence_of_one_feature() -> None:
    padded = pad_right([[1, 2, 3], [4]], pad_value=0, dtype=np.int64)
    assert padded.dtype == np.int64
    np.testing.assert_array_equal(padded[:, :, 0], [[1, 2, 3], [4, 0, 0]])


@pytest.mark.parametrize(("length", "steps"), [(None, 0), (5, 5)])
def test_no_sequences_give_no_rows(length: int | None, steps: int) -> None:
    assert pad_right([], pad_value=0.0, length=length).shape == (0, steps, 1)


def test_an_empty_list_among_integers_is_a_row_of_padding() -> None:
    np.testing.assert_array_equal(pad_right([[], [7]], pad_value=-1, dtype=np.int32)[:, :, 0], [[-1], [7]])


def test_too_long_a_sequence_is_refused() -> None:
    with pytest.raises(DataError, match=r"^sequence 1 has 3 steps, more than the length 2; truncate it or raise the"):
        pad_right([[1.0], [1.0, 2.0, 3.0]], pad_value=0, length=2)


def test_unequal_features_are_refused() -> None:
    with pytest.raises(DataError, match=r"^sequence 1 has 2 features a step, sequence 0 has 1; make them the same$"):
        pad_right([np.zeros((2, 1)), np.zeros((2, 2))], pad_value=0)


def test_a_third_axis_is_refused() -> None:
    with pytest.raises(DataError, match=r"^sequence 0 has the shape \(2, 1, 1\); make it \(time,\) or"):
        pad_right([np.zeros((2, 1, 1))], pad_value=0)


def test_fractions_are_not_cut_to_integers() -> None:
    with pytest.raises(DataError, match=r"^sequence 0 is float64, which int64 cannot hold; convert it first$"):
        pad_right([[0.5]], pad_value=0, dtype=np.int64)


@pytest.mark.parametrize("pad_value", [-1.5, -1.0, 256.0])
def test_padding_that_the_type_cannot_hold_is_refused(pad_value: float) -> None:
    with pytest.raises(DataError, match=rf"^uint8 cannot hold the padding {pad_value}; take another"):
        pad_right([[1]], pad_value=pad_value, dtype=np.uint8)


def test_a_negative_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^length must be 0 or more, met -1; leave it out"):
        pad_right([], pad_value=0, length=-1)
