"""Which sequences go into which batch of an epoch, decided at once in numpy.

A planned list of batches can be counted before it runs, and depends on nothing but its arguments: training that was
interrupted after epoch k resumes with exactly the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.boundaries import choose_boundaries

AUTO_BUCKETS = 8
"""Buckets of the boundaries "auto"."""

Boundaries = Sequence[int] | Literal["auto"] | None
"""Longest length of each bucket, ascending; "auto" chooses those that pad least, None is one bucket."""


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

    def shard(self, index: int, count: int) -> BatchPlan:
        """Returns every `count`-th batch from batch `index` on; the shards' batch counts differ by one at most.

        Raises:
            ValueError: `count` is below 1, or `index` is not within `range(count)`.
        """
        if count < 1 or not 0 <= index < count:
            raise ValueError(f"shard must be (index, count) with 0 <= index < count, met ({index}, {count})")
        return self._of(np.arange(index, len(self), count))

    def skip(self, batches: int) -> BatchPlan:
        """Returns the plan without its first batches, to go on where an epoch was left.

        Raises:
            ValueError: `batches` is negative or more than there are.
        """
        if not 0 <= batches <= len(self):
            raise ValueError(f"start_batch must be 0 to {len(self)}, the epoch's batches, met {batches}")
        return self._of(np.arange(batches, len(self)))

    def _of(self, chosen: NDArray[np.int64]) -> BatchPlan:
        """Returns the plan of some batches, in the order given."""
        sizes = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
        return BatchPlan(self.rows[np.repeat(self.offsets[chosen], sizes) + within], offsets, self.steps[chosen])


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
    batch_size: int | None = None,
    max_tokens: int | None = None,
    boundaries: Boundaries = None,
    shuffle: bool = True,
    pad_to_boundary: bool = False,
) -> BatchPlan:
    """Plans the batches of one epoch; every sequence is in exactly one.

    Args:
        lengths: Steps of each sequence, shaped (n,).
        epoch: Number of the epoch, from 0.
        seed: Seed of all epochs.
        batch_size: Sequences a batch; the last batch of a bucket may hold fewer. Exactly one of `batch_size` and
            `max_tokens` is given.
        max_tokens: Most steps a batch, padding counted: a bucket takes as many sequences a batch as fit at its longest
            length. `token_plan.plan_token_batches` pads less; this has fewer shapes.
        boundaries: Longest length of each bucket, ascending; a last bucket takes what is longer. "auto" chooses those
            of eight buckets that pad least (see `boundaries.choose_boundaries`); None is one bucket.
        shuffle: Whether sequences and batches come in random order; otherwise sequences keep theirs within a bucket
            and batches are ordered by their first sequence.
        pad_to_boundary: Whether a batch is padded to its bucket's boundary (the last bucket's: the longest of all
            sequences) instead of its own longest sequence: fewer distinct shapes, more padding.

    Raises:
        DataError: A sequence, or the bucket it is in, exceeds `max_tokens`.
        ValueError: Not exactly one of `batch_size` and `max_tokens` is given, `batch_size` is below 1, `boundaries` are
            not ascending, or `epoch` or `seed` is negative.
    """
    check_one_size(batch_size, max_tokens)
    bounds = check_boundaries(choose_boundaries(lengths, AUTO_BUCKETS) if boundaries == "auto" else boundaries)
    order = epoch_order(len(lengths), epoch=epoch, seed=seed, shuffle=shuffle)
    if not len(lengths):
        return BatchPlan(order, np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))
    buckets = np.searchsorted(bounds, lengths[order], side="left")  # side left: a boundary belongs to its own bucket
    batches: list[NDArray[np.int64]] = []
    for bucket in np.unique(buckets):
        members = order[buckets == bucket]
        longest = int(lengths[members].max())
        ceiling = int(bounds[bucket]) if pad_to_boundary and bucket < len(bounds) else longest
        size = batch_size or _fitting(ceiling, max_tokens or 0)
        batches += [members[start : start + size] for start in range(0, len(members), size)]
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


def check_one_size(batch_size: int | None, max_tokens: int | None) -> None:
    """Raises a ValueError unless exactly one of the two is given, and is 1 or more."""
    if (batch_size is None) == (max_tokens is None):
        raise ValueError(f"give exactly one of batch_size and max_tokens, met {batch_size} and {max_tokens}")
    if batch_size is not None:
        check_batch_size(batch_size)
    if max_tokens is not None and max_tokens < 1:
        raise ValueError(f"max_tokens must be 1 or more, met {max_tokens}; 16384 is a common one")


def _fitting(ceiling: int, max_tokens: int) -> int:
    """Returns how many sequences of a bucket make a batch."""
    if ceiling > max_tokens:
        raise DataError(
            f"a bucket is padded to {ceiling} steps, more than max_tokens {max_tokens}; raise it or cut sequences with "
            "max_length"
        )
    return max_tokens // max(ceiling, 1)


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
