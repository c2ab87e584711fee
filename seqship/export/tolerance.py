"""The rules by which two runtimes are said to compute the same.

The first is `ROUNDING`: an export may be as far from the float64 oracle as float32 arithmetic is, and a little more. A
fixed `Tolerance` stands in where there is no oracle, or where a user asks for one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

LAST_PLACE = float(np.finfo(np.float32).eps)
"""A unit in the last place of a float32 number, in proportion to it: 2**-23."""


class Limit(Protocol):
    """Says how far an element may be from what is expected of it."""

    def allowed(self, expected: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """Returns the largest difference that passes, for each element or for all."""
        ...


@dataclass(frozen=True)
class Tolerance:
    """An element passes when |actual - expected| <= atol + rtol * |expected|, as in `numpy.isclose`.

    Attributes:
        atol: Absolute part, in the unit of the output.
        rtol: Part in proportion to the expected value.
        why: The measurement that justifies both.
    """

    atol: float
    rtol: float
    why: str

    def allowed(self, expected: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """Returns the largest difference that passes, for each element."""
        return self.atol + self.rtol * np.abs(expected)

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Within:
    """One largest difference for all elements of an array."""

    largest: float

    def allowed(self, expected: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """Returns the largest difference that passes."""
        del expected
        return self.largest


@dataclass(frozen=True)
class Rounding:
    """An element passes when its error against the float64 oracle is no larger than what float32 explains.

    What float32 explains in one output of one case is `multiple * (error + places * LAST_PLACE * scale)`. `error` is
    the largest that Keras' own float32 result has in that case, or the same model with other roundings
    (`rounded_graph`): a model that amplifies rounding does so in all of them. `scale` is the largest value that the
    output takes over all cases with such values, and at least that with values as data: sums that end near zero keep
    the rounding of their terms.

    Attributes:
        multiple: How many times as far as Keras an export may be.
        places: Units in the last place of the output's scale beside that.
        why: The measurement that justifies both.
    """

    multiple: float
    places: float
    why: str

    def limit(self, error: float, scale: float) -> Within:
        """Returns how far an output may be from the oracle in one case."""
        return Within(self.multiple * (error + self.places * LAST_PLACE * scale))

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return {"rule": "rounding", **asdict(self)}


ROUNDING = Rounding(
    multiple=8,
    places=4,
    why=(
        "an export's error by (the largest of Keras' own and of four draws of other roundings + 4 units in the last "
        "place), largest over all cases, the searched ones too: 0.2 to 1.7 for 35 recipes with weights as initialised, "
        "0.2 to 2.5 with recurrent weights six times as large, where rounding alone changes every digit after a few "
        "steps, and 0.2 to 3.5 for 60 models drawn at random; 8 is twice the largest. Keras' own error alone would be "
        "exceeded 150 times by the random models, and a million times by the recipes with large weights. Measured with "
        "Keras 3.15, tf-keras 2.21 and onnxruntime 1.31 on x86-64."
    ),
)


FLOAT32 = Tolerance(
    atol=1e-5,
    rtol=1e-4,
    why=(
        "float32 sums taken in another order: over the 60 cases, onnxruntime differed from Keras by at most 6e-8 with "
        "weights as initialised, 5e-7 with weights twice as large and 8e-6 (relative 5e-5) with weights four times as "
        "large, where two GRU(20) layers saturate and amplify rounding over 250 steps; trained on real "
        "heartbeats, by 4e-6 over 4,000 beats (a tenth of what is allowed there) and, for one of 2,872 beats of "
        "patients it had not seen, by 1.8e-5 (half of it). The SavedModel differed by 6e-8 at most. "
        "In that model one weight changed by 1 % was found in 81 of 95 tries, by 10 % in 90; the others moved no "
        "output by more than rounding does."
    ),
)
"""Measured with TensorFlow 2.21, tf-keras 2.21, Keras 3.15 and onnxruntime 1.31 on x86-64, both flavours alike."""
