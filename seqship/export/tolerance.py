"""The one rule by which two runtimes are said to compute the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON form."""
        return asdict(self)


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
