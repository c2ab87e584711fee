"""The plan of an epoch's batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqship.pipelines.plan import BatchPlan, epoch_order, plan_batches

LENGTHS = st.lists(st.integers(1, 40), max_size=60).map(lambda lengths: np.array(lengths, dtype=np.int64))
BOUNDARIES = st.none() | st.sets(st.integers(1, 45), max_size=4).map(sorted)


def batches(plan: BatchPlan) -> list[list[int]]:
    return [plan.rows[a:b].tolist() for a, b in zip(plan.offsets[:-1], plan.offsets[1:], strict=True)]


@given(
    lengths=LENGTHS,
    boundaries=BOUNDARIES,
    batch_size=st.integers(1, 9),
    shuffle=st.booleans(),
    pad_to_boundary=st.booleans(),
)
def test_every_sequence_is_in_one_batch_of_its_bucket(
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]],
    boundaries: list[int] | None,
    batch_size: int,
    shuffle: bool,
    pad_to_boundary: bool,
) -> None:
    plan = plan_batches(
        lengths,
        epoch=1,
        seed=2,
        batch_size=batch_size,
        boundaries=boundaries,
        shuffle=shuffle,
        pad_to_boundary=pad_to_boundary,
    )
    assert sorted(plan.rows.tolist()) == list(range(len(lengths)))
    assert len(plan) == len(batches(plan))
    bounds = boundaries or []
    small: list[int] = []
    for batch, steps in zip(batches(plan), plan.steps, strict=True):
        longest = max(lengths[batch])
        buckets = {sum(bound < lengths[row] for bound in bounds) for row in batch}
        assert len(buckets) == 1
        bucket = buckets.pop()
        ceiling = bounds[bucket] if bucket < len(bounds) else max(lengths)
        assert steps == (ceiling if pad_to_boundary else longest)
        assert len(batch) <= batch_size
        if len(batch) < batch_size:
            small.append(bucket)
        if not shuffle:
            assert batch == sorted(batch)
    assert len(small) == len(set(small)), "a bucket has more than one batch that is not full"


def test_a_length_of_exactly_a_boundary_is_in_that_bucket() -> None:
    plan = plan_batches(np.array([4, 5, 4, 5]), epoch=0, seed=0, batch_size=9, boundaries=[4], shuffle=False)
    assert batches(plan) == [[0, 2], [1, 3]]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(1, 50, 200)

    def plan(epoch: int, seed: int) -> list[list[int]]:
        return batches(plan_batches(lengths, epoch=epoch, seed=seed, batch_size=8, boundaries=[10, 20]))

    assert plan(3, 7) == plan(3, 7)
    assert plan(3, 7) != plan(4, 7)
    assert plan(3, 7) != plan(3, 8)
    assert plan(3, 7) != plan(7, 3)


def test_batches_of_different_lengths_are_mixed() -> None:
    lengths = np.repeat([5, 50], 400)
    plan = plan_batches(lengths, epoch=0, seed=0, batch_size=8, boundaries=[10])
    assert 0.3 < (plan.steps[:50] == 5).mean() < 0.7


def test_shuffling_is_a_permutation_and_none_keeps_the_order() -> None:
    order = epoch_order(100, epoch=0, seed=0)
    assert sorted(order.tolist()) == list(range(100))
    assert order.tolist() != list(range(100))
    orders = {tuple(epoch_order(50, epoch=epoch, seed=seed)) for epoch in range(4) for seed in range(4)}
    assert len(orders) == 16
    assert epoch_order(5, epoch=3, seed=1, shuffle=False).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("boundaries", [[4, 4], [5, 4], [0, 3], [1.5]])
def test_boundaries_that_do_not_ascend_are_refused(boundaries: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^boundaries must be whole, positive and ascending, met \["):
        plan_batches(np.array([1]), epoch=0, seed=0, batch_size=1, boundaries=boundaries)


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^batch_size must be 1 or more, met 0; 64 is a common one$"):
        plan_batches(np.array([1]), epoch=0, seed=0, batch_size=0)


def test_a_negative_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^epoch and seed must be 0 or more, met -1 and 0; count epochs from 0$"):
        epoch_order(3, epoch=-1, seed=0)


def test_a_budget_fills_each_bucket_by_its_longest() -> None:
    lengths = np.array([4, 3, 9, 4, 10, 2, 7])
    options: dict[str, Any] = {"epoch": 0, "seed": 0, "max_tokens": 20, "boundaries": [6], "shuffle": False}
    plan = plan_batches(lengths, **options)
    assert batches(plan) == [[0, 1, 3, 5], [2, 4], [6]]
    assert plan.steps.tolist() == [4, 10, 7]
    to_boundary = plan_batches(lengths, **options, pad_to_boundary=True)
    assert batches(to_boundary) == [[0, 1, 3], [2, 4], [5], [6]]
    assert to_boundary.steps.tolist() == [6, 10, 6, 10]


def test_shards_and_skipped_batches_keep_the_order() -> None:
    plan = plan_batches(np.arange(1, 12), epoch=0, seed=0, batch_size=2)
    assert batches(plan.shard(1, 3)) == batches(plan)[1::3]
    assert plan.shard(1, 3).steps.tolist() == plan.steps[1::3].tolist()
    assert batches(plan.skip(2)) == batches(plan)[2:]
    assert batches(plan.shard(1, 3).skip(1)) == batches(plan)[4::3]
    assert len(plan.skip(len(plan))) == 0
