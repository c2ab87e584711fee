"""How many elements differ by how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EDGES = np.arange(-12.0, 1.25, 0.25)


@dataclass(eq=False)
class ErrorHistogram:
    """Number of elements by the decimal logarithm of their absolute difference."""

    zeros: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(_EDGES) - 1, np.int64))

    def add(self, actual: NDArray[Any], expected: NDArray[Any]) -> None:
        """Counts the elements of one comparison; those that are no numbers are left out."""
        if expected.dtype.kind in "SUO":  # Words are the same or not.
            return
        with np.errstate(invalid="ignore"):
            difference = np.abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64)).ravel()
        difference = difference[np.isfinite(difference)]
        self.zeros += int(np.sum(difference == 0))
        exponents = np.log10(difference[difference > 0])
        self.counts += np.histogram(np.clip(exponents, _EDGES[0], np.nextafter(_EDGES[-1], 0)), _EDGES)[0]

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"zeros": self.zeros, "edges": _EDGES.tolist(), "counts": self.counts.tolist()}
