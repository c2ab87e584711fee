"""Batches of sequences of like length that hold at most a number of steps, padding counted.

The memory that a batch takes follows its padded steps, not its sequences: a budget of steps makes small batches of long
sequences and large ones of short sequences, each as full as the device allows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.plan import BatchPlan, epoch_order


def plan_token_batches(
    lengths: NDArray[np.int64],
    *,
    epoch: int,
    seed: int,
    max_tokens: int,
    shuffle: bool = True,
    pool: int | None = None,
) -> BatchPlan:
    """Plans the batches of one epoch under a budget of steps; every sequence is in exactly one.

    Sequences are sorted by length, cut into batches from the longest on, each with as many sequences as fit, and the
    batches shuffled. Sequences of one length are in random order, and the cuts begin at a random place, so that
    epochs differ in more than the order of their batches.

    Args:
        lengths: Steps of each sequence, shaped (n,), each 1 or more.
        epoch: Number of the epoch, from 0.
        seed: Seed of all epochs.
        max_tokens: Most steps a batch, padding counted: sequences times the longest one's steps.
        shuffle: Whether sequences and batches come in random order; otherwise sequences of one length keep theirs and
            batches are ordered by their least row.
        pool: Sequences that are sorted together. Smaller pools mix lengths more and pad more: batches come from
            random pools of the epoch instead of the whole of it. None sorts the whole epoch.

    Returns:
        The plan; each batch is padded to its longest sequence.

    Raises:
        DataError: A sequence alone exceeds the budget; the longest is named.
        ValueError: `max_tokens` or `pool` is below 1, or `epoch` or `seed` is negative.
    """
    check_max_tokens(lengths, max_tokens)
    if pool is not None and pool < 1:
        raise ValueError(f"pool must be 1 or more, met {pool}; None sorts the whole epoch")
    order = epoch_order(len(lengths), epoch=epoch, seed=seed, shuffle=shuffle)
    if not len(lengths):
        return BatchPlan(order, np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))
    random = np.random.default_rng([seed, epoch, 2])
    size = pool or len(order)
    batches: list[NDArray[np.int64]] = []
    for begin in range(0, len(order), size):
        members = order[begin : begin + size]
        members = members[np.argsort(-lengths[members], kind="stable")]
        sorted_lengths: list[int] = lengths[members].tolist()
        start = 0
        while start < len(members):
            fitting = max_tokens // sorted_lengths[start]
            if shuffle and start == 0:
                fitting = int(random.integers(1, fitting + 1))
            batches.append(members[start : start + fitting])
            start += fitting
    if shuffle:
        ranking = np.random.default_rng([seed, epoch, 1]).permutation(len(batches))
    else:
        ranking = np.argsort([batch.min() for batch in batches])
    batches = [batches[i] for i in ranking]
    offsets = np.concatenate([[0], np.cumsum([len(batch) for batch in batches])]).astype(np.int64)
    # Sorted by falling length: the first of a batch is its longest.
    steps = np.array([lengths[batch[0]] for batch in batches], dtype=np.int64)
    return BatchPlan(np.concatenate(batches), offsets, steps)


def check_max_tokens(lengths: NDArray[np.int64], max_tokens: int) -> None:
    """Raises unless every sequence fits the budget.

    Raises:
        DataError: A sequence alone exceeds the budget; the longest is named.
        ValueError: `max_tokens` is below 1, or a length is.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens must be 1 or more, met {max_tokens}; 16384 is a common one")
    if not len(lengths):
        return
    if lengths.min() < 1:
        raise ValueError(f"lengths must be 1 or more, met {lengths.min()}; leave empty sequences out")
    longest = int(lengths.argmax())
    if lengths[longest] > max_tokens:
        raise DataError(
            f"sequence {longest} has {lengths[longest]} steps, more than max_tokens {max_tokens}; raise it or cut "
            "sequences with max_length"
        )
