"""How much of a plan's batches is padding."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqship.errors import DataError
from seqship.pipelines.plan import BatchPlan


@dataclass(frozen=True)
class Bin:
    """Number of sequences whose length is from `first` to `last` steps, both counted in."""

    first: int
    last: int
    sequences: int


@dataclass(frozen=True)
class PaddingStatistics:
    """What a plan's batches hold.

    Attributes:
        sequences: Number of sequences.
        batches: Number of batches.
        tokens: Steps that are data.
        padded_tokens: Steps of all batches, padding counted: what is computed and held in memory.
        waste: Share of `padded_tokens` that is padding, from 0 to below 1; 0 for a plan without batches.
        batch_tokens_min: Fewest steps of a batch, padding counted.
        batch_tokens_median: Median of the steps of a batch, padding counted.
        batch_tokens_max: Most steps of a batch, padding counted.
        shapes: Number of distinct (sequences, steps) of the batches: what a compiler that fixes shapes compiles.
        histogram: Sequences by length, in bins that end at powers of two, from the shortest to the longest.
    """

    sequences: int
    batches: int
    tokens: int
    padded_tokens: int
    waste: float
    batch_tokens_min: int
    batch_tokens_median: float
    batch_tokens_max: int
    shapes: int
    histogram: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return asdict(self) | {"histogram": [asdict(one) for one in self.histogram]}


def padding_statistics(lengths: NDArray[np.int64], plan: BatchPlan) -> PaddingStatistics:
    """Counts what the batches of a plan hold.

    Args:
        lengths: Steps of each sequence, shaped (n,); what is left of them where they are cut.
        plan: Batches of these sequences, all or some (a shard).

    Raises:
        DataError: The plan is not of these sequences: it names one that is not there, or pads to less than its length.
    """
    rows = plan.rows
    if len(rows) and rows.max() >= len(lengths):
        raise DataError(
            f"the plan names sequence {rows.max()}, there are {len(lengths)}; give the lengths it was made of"
        )
    sizes = np.diff(plan.offsets)
    members = lengths[rows]
    if (members > np.repeat(plan.steps, sizes)).any():
        row = int(rows[np.argmax(members > np.repeat(plan.steps, sizes))])
        raise DataError(
            f"sequence {row} has {lengths[row]} steps, more than its batch; give the lengths as they are cut"
        )
    per_batch = sizes * plan.steps
    tokens, padded = int(members.sum()), int(per_batch.sum())
    return PaddingStatistics(
        sequences=len(rows),
        batches=len(plan),
        tokens=tokens,
        padded_tokens=padded,
        waste=1 - tokens / padded if padded else 0.0,
        batch_tokens_min=int(per_batch.min(initial=padded)),
        batch_tokens_median=float(np.median(per_batch)) if len(plan) else 0.0,
        batch_tokens_max=int(per_batch.max(initial=0)),
        shapes=len(set(zip(sizes.tolist(), plan.steps.tolist(), strict=True))),
        histogram=_histogram(members),
    )


def _histogram(lengths: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Returns the number of sequences by length, without the empty bins at both ends."""
    if not len(lengths):
        return ()
    # Bin k holds the lengths above 2^(k-1) and up to 2^k; frexp is exact for these, a logarithm is not.
    bins = np.frexp(np.maximum(lengths, 1) - 1)[1]
    counts = np.bincount(bins)
    return tuple(
        Bin(1 if k == 0 else 2 ** (k - 1) + 1, 2**k, int(counts[k])) for k in range(int(bins.min()), len(counts))
    )
