"""The lengths that real sequences bring into the proof."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqship.pipelines.boundaries import choose_boundaries

BUCKETS = 8


def typical_times(lengths: NDArray[np.int64]) -> tuple[int, int]:
    """Returns the median of the lengths, and twice that: more than most sequences of training had.

    Args:
        lengths: Steps of each sequence, shaped (n,), n at least 1.
    """
    typical = max(1, int(np.median(lengths)))
    return typical, 2 * typical


def boundary_times(lengths: NDArray[np.int64]) -> tuple[int, ...]:
    """Returns each boundary of the buckets that need least padding, one step less and one more, ascending.

    Args:
        lengths: Steps of each sequence, shaped (n,).
    """
    bounds = choose_boundaries(lengths, BUCKETS)
    return tuple(sorted({bound + step for bound in bounds for step in (-1, 0, 1) if bound + step > 0}))
