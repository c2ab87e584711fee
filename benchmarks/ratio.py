"""How the ratios of all rounds are summed up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ratio:
    """Another one's time by seqship's: the median over the rounds, and the middle half of the rounds."""

    median: float
    low: float
    high: float


def ratio_of(rounds: NDArray[np.float64]) -> Ratio:
    """Sums up the ratios of all rounds."""
    low, median, high = np.percentile(rounds, [25, 50, 75])
    return Ratio(float(median), float(low), float(high))
