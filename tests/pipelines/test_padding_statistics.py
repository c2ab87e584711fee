"""What a plan's batches hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.padding_statistics import Bin, PaddingStatistics, padding_statistics
from seqship.pipelines.plan import BatchPlan, plan_batches
from seqship.pipelines.token_plan import plan_token_batches

LENGTHS = st.lists(st.integers(1, 300), max_size=60).map(lambda lengths: np.array(lengths, dtype=np.int64))


def test_batches_are_counted() -> None:
    lengths = np.array([2, 5, 4, 1, 5])
    plan = BatchPlan(np.array([0, 2, 1, 4, 3]), np.array([0, 2, 4, 5]), np.array([4, 5, 1]))
    statistics = padding_statistics(lengths, plan)
    assert statistics == PaddingStatistics(
        sequences=5,
        batches=3,
        tokens=17,
        padded_tokens=19,
        waste=1 - 17 / 19,
        batch_tokens_min=1,
        batch_tokens_median=8.0,
        batch_tokens_max=10,
        shapes=3,
        histogram=(Bin(1, 1, 1), Bin(2, 2, 1), Bin(3, 4, 1), Bin(5, 8, 2)),
    )
    document = json.loads(json.dumps(statistics.to_json()))
    assert document["histogram"][-1] == {"first": 5, "last": 8, "sequences": 2}
    assert document["padded_tokens"] == 19
    assert set(document) == set(PaddingStatistics.__dataclass_fields__)


@given(lengths=LENGTHS, batch_size=st.integers(1, 9), by_tokens=st.booleans())
def test_counts_are_those_of_padded_arrays(lengths: NDArray[np.int64], batch_size: int, by_tokens: bool) -> None:
    if by_tokens:
        plan = plan_token_batches(lengths, epoch=0, seed=0, max_tokens=300 * batch_size)
    else:
        plan = plan_batches(lengths, epoch=0, seed=0, batch_size=batch_size, boundaries="auto")
    statistics = padding_statistics(lengths, plan)
    shapes = [
        (int(stop - start), int(steps))
        for start, stop, steps in zip(plan.offsets[:-1], plan.offsets[1:], plan.steps, strict=True)
    ]
    sizes = [rows * steps for rows, steps in shapes]
    assert statistics.sequences == len(lengths)
    assert statistics.batches == len(sizes)
    assert statistics.tokens == lengths.sum()
    assert statistics.padded_tokens == sum(sizes)
    assert statistics.shapes == len(set(shapes))
    assert sum(one.sequences for one in statistics.histogram) == len(lengths)
    for one in statistics.histogram:
        assert one.sequences == ((lengths >= one.first) & (lengths <= one.last)).sum()
    assert [one.last + 1 for one in statistics.histogram[:-1]] == [one.first for one in statistics.histogram[1:]]
    if sizes:
        assert statistics.waste == 1 - lengths.sum() / sum(sizes)
        assert (statistics.batch_tokens_min, statistics.batch_tokens_max) == (min(sizes), max(sizes))
        assert statistics.batch_tokens_median == np.median(sizes)
    else:
        assert (statistics.waste, statistics.batch_tokens_min, statistics.batch_tokens_max) == (0, 0, 0)


def test_a_shard_counts_its_own_sequences() -> None:
    lengths = np.arange(1, 41)
    plan = plan_batches(lengths, epoch=0, seed=0, batch_size=4)
    parts = [padding_statistics(lengths, plan.shard(index, 3)) for index in range(3)]
    whole = padding_statistics(lengths, plan)
    assert sum(part.sequences for part in parts) == 40
    assert sum(part.padded_tokens for part in parts) == whole.padded_tokens
    assert sum(part.tokens for part in parts) == whole.tokens


def test_other_lengths_than_the_plan_s_are_refused() -> None:
    plan = plan_batches(np.array([3, 4]), epoch=0, seed=0, batch_size=4)
    with pytest.raises(DataError, match=r"^the plan names sequence 1, there are 1; give the lengths it was made of$"):
        padding_statistics(np.array([3]), plan)
    with pytest.raises(
        DataError, match=r"^sequence 1 has 5 steps, more than its batch; give the lengths as they are cut$"
    ):
        padding_statistics(np.array([3, 5]), plan)
