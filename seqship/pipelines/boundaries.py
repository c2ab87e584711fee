"""Boundaries of buckets that need least padding for the lengths at hand."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray


def choose_boundaries(lengths: NDArray[np.int64], buckets: int) -> list[int]:
    """Returns the longest length of each bucket such that padding every sequence to its bucket's needs fewest steps.

    A dynamic program over the distinct lengths: the best k buckets of the i shortest lengths end in a bucket from some
    j < i on, and cost what the best k - 1 of the j shortest do, and that bucket's boundary for each of its sequences.

    Args:
        lengths: Steps of each sequence, shaped (n,), each 1 or more.
        buckets: Most buckets; fewer are enough where there are fewer distinct lengths.

    Returns:
        Boundaries, ascending; the last is the longest length. Empty for no lengths.

    Raises:
        ValueError: `buckets` is below 1, or a length is.
    """
    if buckets < 1:
        raise ValueError(f"buckets must be 1 or more, met {buckets}; 8 is a common one")
    if not len(lengths):
        return []
    values, counts = np.unique(lengths, return_counts=True)
    if values[0] < 1:
        raise ValueError(f"lengths must be 1 or more, met {values[0]}; leave empty sequences out")
    # Python's integers: the costs are exact however long the sequences are.
    bounds: list[int] = values.tolist()
    before = [0, *accumulate(counts.tolist())]
    n = len(bounds)
    costs = [bound * count for bound, count in zip(bounds, before[1:], strict=True)]
    firsts = [[0] * n]  # firsts[k][i]: where the last of k + 1 buckets begins that hold the lengths up to i.
    for taken in range(1, min(buckets, n)):
        costs, first = _with_one_more(bounds, before, costs, taken)
        firsts.append(first)
    chosen: list[int] = []
    end = n
    for first in reversed(firsts):
        chosen.append(bounds[end - 1])
        end = first[end - 1]
    return chosen[::-1]


def _with_one_more(bounds: list[int], before: list[int], costs: list[int], taken: int) -> tuple[list[int], list[int]]:
    """Returns the least cost of each prefix with one bucket more, and where its last bucket begins.

    A bucket from j to i costs bounds[i] * (before[i + 1] - before[j]), so what j offers is a line in bounds[i]:
    costs[j - 1] - before[j] * bounds[i]. Slopes fall with j and bounds rise with i, so that the lower envelope of the
    lines is walked once, and a layer takes linear time.
    """
    n = len(bounds)
    least, first = [0] * n, [0] * n
    envelope: list[tuple[int, int, int]] = []  # slope, intercept, j
    front = 0
    for i in range(taken, n):
        slope, intercept = -before[i], costs[i - 1]
        while len(envelope) - front >= 2 and _is_hidden(envelope[-2], envelope[-1], (slope, intercept, i)):
            envelope.pop()
        envelope.append((slope, intercept, i))
        while front + 1 < len(envelope) and _at(envelope[front + 1], bounds[i]) <= _at(envelope[front], bounds[i]):
            front += 1
        least[i] = bounds[i] * before[i + 1] + _at(envelope[front], bounds[i])
        first[i] = envelope[front][2]
    return least, first


def _at(line: tuple[int, int, int], bound: int) -> int:
    return line[0] * bound + line[1]


def _is_hidden(one: tuple[int, int, int], middle: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether the middle one of three lines of falling slope is nowhere the lowest."""
    return (other[1] - one[1]) * (one[0] - middle[0]) <= (middle[1] - one[1]) * (one[0] - other[0])
