"""The lengths that real data brings into the proof."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seqship.export.case_lengths import BUCKETS, boundary_times, typical_times
from seqship.pipelines.boundaries import choose_boundaries


def test_the_typical_length_and_twice_that() -> None:
    assert typical_times(np.array([3, 5, 900])) == (5, 10)
    assert typical_times(np.array([1])) == (1, 2)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_each_boundary_and_its_neighbours(lengths: list[int]) -> None:
    times = boundary_times(np.array(lengths))
    bounds = choose_boundaries(np.array(lengths), BUCKETS)
    assert max(lengths) in bounds
    assert {time for bound in bounds for time in (bound - 1, bound, bound + 1)} - {0} == set(times)
    assert list(times) == sorted(set(times))
