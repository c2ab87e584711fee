"""The plan of an epoch from the options of `training_batches`: what the batches hold, without TensorFlow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.plan import BatchPlan, Boundaries, check_one_size, plan_batches
from seqship.pipelines.token_plan import plan_token_batches


def plan_epoch(
    lengths: NDArray[np.int64],
    *,
    epoch: int,
    seed: int,
    batch_size: int | None = None,
    max_tokens: int | None = None,
    boundaries: Boundaries = None,
    shuffle: bool = True,
    pad_to_boundary: bool = False,
    pool: int | None = None,
    max_length: int | None = None,
    shard: tuple[int, int] = (0, 1),
    start_batch: int = 0,
) -> BatchPlan:
    """Plans the batches that `training_batches` gives for the same options, which are described there.

    Args:
        lengths: Steps of each sequence, shaped (n,), before they are cut to `max_length`.
        epoch: Number of the epoch, from 0.
        seed: Seed of all epochs.
        batch_size: Sequences a batch. Exactly one of `batch_size` and `max_tokens` is given.
        max_tokens: Most steps a batch, padding counted.
        boundaries: Longest length of each bucket, ascending; "auto" or None.
        shuffle: Whether sequences and batches come in random order.
        pad_to_boundary: Whether a batch is padded to its bucket's boundary.
        pool: With `max_tokens` and no boundaries, how many sequences are sorted together; None is the whole epoch.
        max_length: Most steps of a sequence; None cuts nothing.
        shard: (index, count): batches index, index + count, ... of the epoch.
        start_batch: Number of batches, of this shard, that are left out.

    Raises:
        DataError: A sequence, or the bucket it is in, exceeds `max_tokens`.
        ValueError: The options contradict one another, `boundaries` are not ascending, or a number is out of its
            range.
    """
    check_one_size(batch_size, max_tokens)
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length must be 1 or more, met {max_length}; None cuts nothing")
    kept = lengths if max_length is None else np.minimum(lengths, max_length)
    if max_tokens is not None and boundaries is None:
        if pad_to_boundary:
            raise ValueError("pad_to_boundary with max_tokens needs boundaries, met None; give some or 'auto'")
        whole = plan_token_batches(kept, epoch=epoch, seed=seed, max_tokens=max_tokens, shuffle=shuffle, pool=pool)
    else:
        if pool is not None:
            raise ValueError(f"pool {pool} needs max_tokens without boundaries; leave it out or give these")
        whole = plan_batches(
            kept,
            epoch=epoch,
            seed=seed,
            batch_size=batch_size,
            max_tokens=max_tokens,
            boundaries=boundaries,
            shuffle=shuffle,
            pad_to_boundary=pad_to_boundary,
        )
    plan = whole if shard == (0, 1) else whole.shard(*shard)
    return plan if start_batch == 0 else plan.skip(start_batch)
