"""Which sequences go into which batch of an epoch, decided at once in numpy.

A planned list of batches can be counted before it runs, and depends on nothing but its arguments: training that was
interrupted after epoch k resumes with exactly the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BatchPlan:
    """The batches of one epoch.

    Attributes:
        rows: Indices of the sequences, batch after batch, int64, shaped (n,); each index once.
        offsets: Batch b holds `rows[offsets[b]:offsets[b + 1]]`; int64, shaped (batches + 1,).
        steps: Number of steps each batch is padded to, int64, shaped (batches,).
    """

    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    steps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.steps)


def epoch_order(n: int, *, epoch: int, seed: int, shuffle: bool = True) -> NDArray[np.int64]:
    """Returns the order of `n` elements in an epoch, int64, shaped (n,); it depends on the arguments alone.

    Raises:
        ValueError: `epoch` or `seed` is negative.
    """
    if epoch < 0 or seed < 0:
        raise ValueError(f"epoch and seed must be 0 or more, met {epoch} and {seed}; count epochs from 0")
    if not shuffle:
        return np.arange(n, dtype=np.int64)
    return np.random.default_rng([seed, epoch, 0]).permutation(n).astype(np.int64)


def plan_batches(
    lengths: NDArray[np.int64],
    *,
    epoch: int,
    seed: int,
    batch_size: int,
    boundaries: Sequence[int] | None = None,
    shuffle: bool = True,
    pad_to_boundary: bool = False,
) -> BatchPlan:
    """Plans the batches of one epoch; every sequence is in exactly one.

    Args:
        lengths: Steps of each sequence, shaped (n,).
        epoch: Number of the epoch, from 0.
        seed: Seed of all epochs.
        batch_size: Sequences a batch; the last batch of a bucket may hold fewer.
        boundaries: Longest length of each bucket, ascending; a last bucket takes what is longer. None is one bucket.
        shuffle: Whether sequences and batches come in random order; otherwise sequences keep theirs within a bucket
            and batches are ordered by their first sequence.
        pad_to_boundary: Whether a batch is padded to its bucket's boundary (the last bucket's: the longest of all
            sequences) instead of its own longest sequence: fewer distinct shapes, more padding.

    Raises:
        ValueError: `batch_size` is below 1, `boundaries` are not ascending, or `epoch` or `seed` is negative.
    """
    check_batch_size(batch_size)
    bounds = check_boundaries(boundaries)
    order = epoch_order(len(lengths), epoch=epoch, seed=seed, shuffle=shuffle)
    if not len(lengths):
        return BatchPlan(order, np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))
    buckets = np.searchsorted(bounds, lengths[order], side="left")  # side left: a boundary belongs to its own bucket
    batches = [
        members[start : start + batch_size]
        for bucket in np.unique(buckets)
        for members in (order[buckets == bucket],)
        for start in range(0, len(members), batch_size)
    ]
    if shuffle:
        ranking = np.random.default_rng([seed, epoch, 1]).permutation(len(batches))
    else:
        ranking = np.argsort([batch[0] for batch in batches])
    batches = [batches[i] for i in ranking]
    steps = np.array([lengths[batch].max() for batch in batches], dtype=np.int64)
    if pad_to_boundary:
        ceilings = np.append(bounds, lengths.max())
        steps = np.maximum(ceilings[np.searchsorted(bounds, steps, side="left")], steps)
    offsets = np.concatenate([[0], np.cumsum([len(batch) for batch in batches])]).astype(np.int64)
    return BatchPlan(np.concatenate(batches), offsets, steps)


def length_octiles(lengths: NDArray[np.int64]) -> list[int]:
    """Returns boundaries of eight buckets that hold about as many sequences each; for at least one sequence."""
    return sorted({int(length) for length in np.quantile(lengths, np.linspace(0, 1, 9)[1:-1])})


def check_batch_size(batch_size: int) -> None:
    """Raises a ValueError unless the batch size is 1 or more."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, met {batch_size}; 64 is a common one")


def check_boundaries(boundaries: Sequence[int] | None) -> NDArray[np.int64]:
    """Returns the boundaries as an array, empty for None.

    Raises:
        ValueError: They are not whole, positive and strictly ascending.
    """
    bounds = np.asarray([] if boundaries is None else boundaries)
    if not bounds.size:
        return np.zeros(0, dtype=np.int64)
    if bounds.ndim != 1 or bounds.dtype.kind not in "iu" or bounds[0] < 1 or (np.diff(bounds) < 1).any():
        raise ValueError(f"boundaries must be whole, positive and ascending, met {boundaries}; such as [64, 128]")
    return bounds.astype(np.int64)
