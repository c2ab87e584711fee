"""The plan of an epoch under a budget of steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.padding_statistics import padding_statistics
from seqship.pipelines.plan import BatchPlan
from seqship.pipelines.planning import plan_epoch
from seqship.pipelines.token_plan import plan_token_batches

LENGTHS = st.lists(st.integers(1, 40), max_size=60).map(lambda lengths: np.array(lengths, dtype=np.int64))


def batches(plan: BatchPlan) -> list[list[int]]:
    return [plan.rows[a:b].tolist() for a, b in zip(plan.offsets[:-1], plan.offsets[1:], strict=True)]


def review_lengths(n: int) -> NDArray[np.int64]:
    """Lengths as reviews have them: mean 230, median 175, at most 2500."""
    rng = np.random.default_rng(0)
    return np.clip(rng.lognormal(np.log(175), np.sqrt(2 * np.log(230 / 175)), n).astype(np.int64), 1, 2500)


@given(
    lengths=LENGTHS,
    max_tokens=st.integers(40, 300),
    pool=st.none() | st.integers(1, 70),
    shuffle=st.booleans(),
)
def test_every_sequence_is_in_one_batch_within_the_budget(
    lengths: NDArray[np.int64], max_tokens: int, pool: int | None, shuffle: bool
) -> None:
    plan = plan_token_batches(lengths, epoch=1, seed=2, max_tokens=max_tokens, pool=pool, shuffle=shuffle)
    assert sorted(plan.rows.tolist()) == list(range(len(lengths)))
    assert plan.rows.dtype == plan.offsets.dtype == plan.steps.dtype == np.int64
    for batch, steps in zip(batches(plan), plan.steps, strict=True):
        assert steps == lengths[batch].max()
        assert 0 < len(batch) * steps <= max_tokens
    if shuffle or pool is not None:
        return
    ordered = batches(plan)
    assert [min(batch) for batch in ordered] == sorted(min(batch) for batch in ordered)
    # From the longest on, the next sequence would not have fitted.
    falling = sorted(ordered, key=lambda batch: (-int(lengths[batch[0]]), batch[0]))
    for batch in falling[:-1]:
        assert (len(batch) + 1) * int(lengths[batch].max()) > max_tokens


def test_reviews_waste_little() -> None:
    lengths = review_lengths(10_000)
    whole = padding_statistics(lengths, plan_token_batches(lengths, epoch=0, seed=0, max_tokens=16_384))
    assert whole.waste < 0.02
    assert whole.batch_tokens_max <= 16_384
    pools = plan_token_batches(lengths, epoch=0, seed=0, max_tokens=16_384, pool=4000)
    assert padding_statistics(lengths, pools).waste < 0.05


def test_a_pool_is_sorted_on_its_own() -> None:
    lengths = review_lengths(2_000)
    plan = plan_token_batches(lengths, epoch=0, seed=0, max_tokens=10_000, pool=500, shuffle=False)
    assert all(len({row // 500 for row in batch}) == 1 for batch in batches(plan))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = review_lengths(1_000)

    def plan(epoch: int, seed: int) -> list[list[int]]:
        return batches(plan_token_batches(lengths, epoch=epoch, seed=seed, max_tokens=5_000))

    assert plan(3, 7) == plan(3, 7)
    assert plan(3, 7) != plan(4, 7)
    assert plan(3, 7) != plan(3, 8)


def test_epochs_differ_in_what_is_together_and_lengths_are_mixed() -> None:
    lengths = review_lengths(1_000)
    plans = [plan_token_batches(lengths, epoch=epoch, seed=0, max_tokens=5_000) for epoch in range(3)]
    groups = [{frozenset(batch) for batch in batches(plan)} for plan in plans]
    assert len(groups[0] & groups[1]) < len(groups[0]) / 10
    steps = plans[0].steps
    assert abs(np.corrcoef(np.arange(len(steps)), steps)[0, 1]) < 0.3


OPTIONS: list[dict[str, Any]] = [
    {"max_tokens": 120},
    {"max_tokens": 120, "pool": 20},
    {"batch_size": 4},
    {"batch_size": 4, "boundaries": "auto"},
    {"max_tokens": 160, "boundaries": [10, 20], "pad_to_boundary": True},
]


@pytest.mark.parametrize("options", OPTIONS)
@given(lengths=LENGTHS, count=st.integers(1, 5), shuffle=st.booleans())
def test_shards_share_the_epoch_and_are_resumed(
    options: dict[str, Any], lengths: NDArray[np.int64], count: int, shuffle: bool
) -> None:
    given_options: dict[str, Any] = {"epoch": 1, "seed": 3, "shuffle": shuffle, **options}
    whole = plan_epoch(lengths, **given_options)
    shards = [plan_epoch(lengths, **given_options, shard=(index, count)) for index in range(count)]
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    together: list[Any] = [None] * len(whole)
    for index, shard in enumerate(shards):
        together[index::count] = list(zip(batches(shard), shard.steps.tolist(), strict=True))
        for seen in range(len(shard) + 1):
            rest = plan_epoch(lengths, **given_options, shard=(index, count), start_batch=seen)
            assert batches(rest) == batches(shard)[seen:]
            assert rest.steps.tolist() == shard.steps.tolist()[seen:]
            assert rest.rows.dtype == rest.offsets.dtype == rest.steps.dtype == np.int64
    assert together == list(zip(batches(whole), whole.steps.tolist(), strict=True))


@given(lengths=LENGTHS, max_length=st.integers(1, 50))
def test_cut_sequences_are_planned_as_they_are_cut(lengths: NDArray[np.int64], max_length: int) -> None:
    cut, given_cut = (
        plan_epoch(each, epoch=0, seed=0, max_tokens=100, max_length=most)
        for each, most in ((lengths, max_length), (np.minimum(lengths, max_length), None))
    )
    assert batches(cut) == batches(given_cut)
    assert cut.steps.max(initial=0) <= max_length


@given(lengths=LENGTHS, pad_to_boundary=st.booleans(), shuffle=st.booleans())
def test_a_budget_by_bucket_is_kept(lengths: NDArray[np.int64], pad_to_boundary: bool, shuffle: bool) -> None:
    plan = plan_epoch(
        lengths,
        epoch=0,
        seed=0,
        max_tokens=90,
        boundaries=[8, 16],
        pad_to_boundary=pad_to_boundary,
        shuffle=shuffle,
    )
    assert sorted(plan.rows.tolist()) == list(range(len(lengths)))
    assert all(len(batch) * steps <= 90 for batch, steps in zip(batches(plan), plan.steps, strict=True))
    if pad_to_boundary:
        assert set(plan.steps.tolist()) <= {8, 16, lengths.max(initial=0)}


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"max_tokens": 29},
        DataError,
        r"sequence 1 has 30 steps, more than max_tokens 29; raise it or cut sequences with max_length",
    ),
    (
        {"max_tokens": 15, "boundaries": [8, 16], "pad_to_boundary": True, "max_length": 15},
        DataError,
        r"a bucket is padded to 16 steps, more than max_tokens 15; raise it or cut sequences with max_length",
    ),
    ({"max_tokens": 0}, ValueError, r"max_tokens must be 1 or more, met 0; 16384 is a common one"),
    ({"max_tokens": 99, "pool": 0}, ValueError, r"pool must be 1 or more, met 0; None sorts the whole epoch"),
    (
        {"batch_size": 4, "pool": 9},
        ValueError,
        r"pool 9 needs max_tokens without boundaries; leave it out or give these",
    ),
    ({}, ValueError, r"give exactly one of batch_size and max_tokens, met None and None"),
    (
        {"batch_size": 4, "max_tokens": 99},
        ValueError,
        r"give exactly one of batch_size and max_tokens, met 4 and 99",
    ),
    ({"batch_size": 4, "max_length": 0}, ValueError, r"max_length must be 1 or more, met 0; None cuts nothing"),
    (
        {"max_tokens": 99, "pad_to_boundary": True},
        ValueError,
        r"pad_to_boundary with max_tokens needs boundaries, met None; give some or 'auto'",
    ),
    (
        {"max_tokens": 99, "shard": (2, 2)},
        ValueError,
        r"shard must be \(index, count\) with 0 <= index < count, met \(2, 2\)",
    ),
    (
        {"max_tokens": 99, "shard": (0, 0)},
        ValueError,
        r"shard must be \(index, count\) with 0 <= index < count, met \(0, 0\)",
    ),
    ({"max_tokens": 99, "start_batch": 2}, ValueError, r"start_batch must be 0 to 1, the epoch's batches, met 2"),
    ({"max_tokens": 99, "start_batch": -1}, ValueError, r"start_batch must be 0 to 1, the epoch's batches, met -1"),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_options_that_cannot_be_met_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        plan_epoch(np.array([3, 30, 12]), epoch=0, seed=0, shuffle=False, **options)


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^lengths must be 1 or more, met 0; leave empty sequences out$"):
        plan_token_batches(np.array([0, 1]), epoch=0, seed=0, max_tokens=9)
