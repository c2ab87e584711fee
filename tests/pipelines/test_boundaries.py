"""Boundaries that pad least."""

from __future__ import annotations

from itertools import accumulate, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqship.pipelines.boundaries import choose_boundaries
from seqship.pipelines.plan import plan_batches

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def padded_steps(lengths: list[int], boundaries: list[int]) -> int:
    return sum(min(bound for bound in boundaries if bound >= length) for length in lengths)


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=30), buckets=st.integers(1, 6))
def test_no_other_boundaries_pad_less(lengths: list[int], buckets: int) -> None:
    chosen = choose_boundaries(np.array(lengths), buckets)
    values = sorted(set(lengths))
    assert chosen == sorted(set(chosen))
    assert chosen[-1] == max(lengths)
    assert len(chosen) == min(buckets, len(values))
    best = min(
        padded_steps(lengths, [*inner, values[-1]])
        for size in range(min(buckets, len(values)))
        for inner in combinations(values[:-1], size)
    )
    assert padded_steps(lengths, chosen) == best


def least_padded_steps(counts: dict[int, int], buckets: int) -> int:
    """The plain dynamic program, which tries every place for the last bucket."""
    values = sorted(counts)
    before = [0, *accumulate(counts[value] for value in values)]
    costs = [0, *(value * sequences for value, sequences in zip(values, before[1:], strict=True))]
    for _ in range(buckets - 1):
        costs = [0] + [
            min(costs[j] + values[i] * (before[i + 1] - before[j]) for j in range(i + 1)) for i in range(len(values))
        ]
    return costs[-1]


@given(
    counts=st.dictionaries(st.integers(1, 3000), st.sampled_from([1, 2, 9, 50, 400]), min_size=1, max_size=40),
    buckets=st.integers(1, 9),
)
def test_heaps_of_any_size_are_padded_least(counts: dict[int, int], buckets: int) -> None:
    lengths = np.repeat(list(counts), list(counts.values()))
    chosen = choose_boundaries(lengths, buckets)
    assert padded_steps(lengths.tolist(), chosen) == least_padded_steps(counts, buckets)


@given(lengths=LENGTHS, buckets=st.integers(1, 9))
def test_more_buckets_never_pad_more(lengths: list[int], buckets: int) -> None:
    fewer, more = (choose_boundaries(np.array(lengths), count) for count in (buckets, buckets + 1))
    assert padded_steps(lengths, more) <= padded_steps(lengths, fewer)


def test_lengths_in_heaps_are_told_apart() -> None:
    lengths = np.repeat([3, 4, 50, 52, 900], [100, 100, 30, 30, 2])
    assert choose_boundaries(lengths, 3) == [4, 52, 900]
    assert choose_boundaries(lengths, 1) == [900]
    assert choose_boundaries(lengths, 99) == [3, 4, 50, 52, 900]
    assert choose_boundaries(np.zeros(0, np.int64), 3) == []


def test_long_lengths_do_not_overflow() -> None:
    lengths = np.array([2**40, 2**40 + 1, 2**60, 2**61])
    assert choose_boundaries(lengths, 3) == [2**40 + 1, 2**60, 2**61]


def test_auto_takes_eight() -> None:
    lengths = np.random.default_rng(0).integers(1, 300, 500)
    auto, chosen = (
        plan_batches(lengths, epoch=0, seed=0, batch_size=8, boundaries=boundaries, pad_to_boundary=True)
        for boundaries in ("auto", choose_boundaries(lengths, 8))
    )
    np.testing.assert_array_equal(auto.rows, chosen.rows)
    np.testing.assert_array_equal(auto.steps, chosen.steps)
    assert set(auto.steps.tolist()) == set(choose_boundaries(lengths, 8))


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^buckets must be 1 or more, met 0; 8 is a common one$"):
        choose_boundaries(np.array([1]), 0)
    with pytest.raises(ValueError, match=r"^lengths must be 1 or more, met 0; leave empty sequences out$"):
        choose_boundaries(np.array([1, 0]), 2)
